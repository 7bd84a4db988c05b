"""Read the camera images of a rosbag2 without ROS."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from pose_ros.media.bag_folder import open_bag
from pose_ros.media.depth_topics import is_depth
from pose_ros.media.recorded_message import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagFile, RecordedMessage

_LATCHED = frozenset({"/tf_static", "/robot_description"})
"""Topics that are latched by convention. Some recorders write no QoS."""
_RATE_SAMPLE = 50


class Bag:
    """Images of one topic of a rosbag2, and the calibration of their camera.

    Attributes:
        path: Folder of the bag, or its .mcap or .db3 file.
        image_topic: Topic of the images.
        image_type: Type of that topic.
        camera_info_topic: Topic of the calibration in the same namespace, or None.
        count: Number of images.
        types: Type of each topic.
        latched_topics: Topics that were recorded from a publisher with transient local durability.

    Raises:
        FileNotFoundError: If the bag does not exist.
        ValueError: If the bag cannot be read, lacks the topic, or has several image topics and none is selected.
    """

    def __init__(self, path: str | Path, topic: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"bag: expected a rosbag2, got {path}, which does not exist")
        try:
            self._folder = open_bag(self.path)
        except ValueError as error:
            raise self._error(str(error)) from error
        files = self._folder.files
        self.types = types = {topic: name for file in files for topic, name in file.types.items()}
        self.latched_topics = types.keys() & _LATCHED.union(self._folder.latched, *(file.latched for file in files))
        self.image_topic = _find_image_topic(self.path, types, topic)
        self.count = self._count_images()
        self.image_type = types[self.image_topic]
        sibling = camera_info_topic(self.image_topic)
        self.camera_info_topic = sibling if types.get(sibling) == CAMERA_INFO else None

    def messages(
        self, topics: Collection[str], on_broken: Callable[[Exception], None] | None = None, since_ns: int = 0
    ) -> Iterator[RecordedMessage]:
        """Iterate over the messages of some topics in recorded order.

        Args:
            topics: Topics to read.
            on_broken: Called after all messages that can be read, if a part of the bag cannot. None = raise the error.
            since_ns: Time since which messages were received, ns.

        Raises:
            ValueError: After all messages that can be read, if a part of the bag cannot.
        """
        faults = list(self._folder.faults)
        for file in self._folder.files:
            yield from _read_part(file, topics, faults, since_ns)
        if faults:
            error = self._error("; ".join(faults))
            if on_broken is None:
                raise error
            on_broken(error)

    def deserialise(self, message: RecordedMessage) -> Any:
        """Convert a message to an object with the fields of its ROS type.

        Raises:
            ValueError: If the message is damaged.
        """
        from rosbags.typesys import Stores, get_typestore

        if message.fault:
            raise ValueError(message.fault)
        try:
            return get_typestore(Stores.ROS2_JAZZY).deserialize_cdr(message.data, message.type_name)
        except Exception as error:  # also errors of struct, NumPy and Unicode
            raise ValueError(f"message: expected a {message.type_name}, got {error!r}") from error

    def rate_hz(self) -> float | None:
        """Return the images per second at the start of the bag, or None with fewer than two images."""
        times = self.first_times_s()
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None

    def first_times_s(self) -> list[float]:
        """Return the times at which the recorder received the first images, s."""
        times: list[float] = []
        with suppress(ValueError):  # a short bag that is cut off. Reported when its images are read
            first = islice(self.messages([self.image_topic]), _RATE_SAMPLE)
            times.extend(message.received_ns / 1e9 for message in first)  # also those before an error
        return times

    def _count_images(self) -> int:
        try:
            counts = self._folder.counts
            return counts[self.image_topic] if self.image_topic in counts else self._count_in_files()
        except sqlite3.Error as error:
            raise self._error(str(error)) from error

    def _count_in_files(self) -> int:
        return sum(file.count(self.image_topic) for file in self._folder.files)

    def _error(self, got: str) -> ValueError:
        return ValueError(f"bag {self.path}: expected a readable rosbag2, got: {got}")


def camera_info_topic(image_topic: str) -> str:
    """Return the calibration topic that belongs to an image topic. ``a/image/compressed`` counts as ``a/image``."""
    namespace, slash, _ = image_topic.removesuffix("/compressed").rpartition("/")
    return f"{namespace}{slash}camera_info"


def _read_part(file: BagFile, topics: Collection[str], faults: list[str], since_ns: int) -> Iterator[RecordedMessage]:
    """Iterate over the messages of one file. An error is added to the faults at the end."""
    try:
        yield from file.messages(topics, since_ns)
    except (OSError, ValueError, sqlite3.Error) as error:
        faults.append(str(error))


def _find_image_topic(path: Path, types: dict[str, str], wanted: str | None) -> str:
    images = sorted(topic for topic, type_name in types.items() if type_name in (IMAGE, COMPRESSED_IMAGE))
    if wanted is None:
        images = [topic for topic in images if not is_depth(topic)] or images
    else:
        images = [topic for topic in images if topic.lstrip("/") == wanted.lstrip("/")]
    if len(images) == 1:
        return images[0]
    expected = "one image topic" if wanted is None else f"the image topic {wanted}"
    listed = ", ".join(f"{topic} ({type_name})" for topic, type_name in sorted(types.items())) or "no topics"
    advice = "; choose one with --topic" if len(images) > 1 else ""
    raise ValueError(f"bag {path}: expected {expected}, got {listed}{advice}")
