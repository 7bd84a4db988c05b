"""Read a recording as messages: those of a bag unchanged, and messages made from frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from pose_ros.media.bag import Bag
from pose_ros.media.recorded_message import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, RecordedMessage
from pose_ros.media.sources import Frame, OnBroken, raise_error
from pose_ros.ros.messages.conversions import image_to_compressed, image_to_message
from pose_ros.yaml_text import read_yaml

MESSAGE_TYPES: dict[str, Any] = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage, CAMERA_INFO: CameraInfo}
DEFAULT_FRAME_ID = "camera"
_JPEG_QUALITY = 95
_NS = 1_000_000_000


@dataclass(frozen=True)
class RecordingItem:
    """One message of a recording.

    Attributes:
        is_image: True for an image, False for a calibration or a message of another topic.
        time_ns: Time of publishing, since the start of the recording, ns.
        stamp_ns: Recorded stamp, ns. For frames: time since the start of the recording. For other topics: time of
            recording, because a message may have several stamps or none.
        recorded_ns: Time of recording, by the clock of the recorder, ns. For frames: same as the stamp.
        frame_id: Frame in the header.
        message: ROS message, or serialised message of a bag.
        is_other: True for a message of another topic than those of the camera.
    """

    is_image: bool
    time_ns: int
    stamp_ns: int
    recorded_ns: int
    frame_id: str
    message: Any
    is_other: bool = False

    def with_stamp(self, stamp_ns: int) -> Any:
        """Return the message with this stamp, ready to publish. A serialised message is returned as bytes."""
        if isinstance(self.message, RecordedMessage):
            message = self.message if stamp_ns == self.message.stamp_ns else self.message.with_stamp(stamp_ns)
            return message.data
        self.message.header.frame_id = self.frame_id
        self.message.header.stamp.sec, self.message.header.stamp.nanosec = divmod(stamp_ns, _NS)
        return self.message


def bag_items(
    bag: Bag, frame_id: str, on_broken: OnBroken = raise_error, others: Sequence[str] = ()
) -> Iterator[RecordingItem]:
    """Read the images of a bag, its calibrations if it has any, and the messages of other topics.

    Args:
        bag: The bag.
        frame_id: Frame of the messages. Empty = the recorded frame.
        on_broken: Called with the error of each message whose header, or with a frame_id whose content, is damaged,
            and of a part of the bag that cannot be read.
        others: Other topics.
    """
    of_camera = [bag.image_topic, *([bag.camera_info_topic] if bag.camera_info_topic else [])]
    topics = [*of_camera, *others]
    first_ns = None
    for index, recorded in enumerate(bag.messages(topics, on_broken)):
        first_ns = recorded.received_ns if first_ns is None else first_ns
        time_ns = recorded.received_ns - first_ns
        try:
            if recorded.topic in of_camera:
                item = _bag_item(recorded, recorded.topic == bag.image_topic, time_ns, frame_id)
            else:
                item = _other_item(recorded, time_ns)
        except Exception as error:  # of struct, Unicode, or the type support of the middleware
            where = f"bag {bag.path}, message {index} of {recorded.topic}"
            on_broken(ValueError(f"{where}: expected a {recorded.type_name}, got {error!r}"))
            continue
        yield item


def _bag_item(recorded: RecordedMessage, is_image: bool, time_ns: int, frame_id: str) -> RecordingItem:
    message = deserialize_message(recorded.data, MESSAGE_TYPES[recorded.type_name]) if frame_id else recorded
    frame = frame_id or recorded.frame_id
    return RecordingItem(is_image, time_ns, recorded.stamp_ns, recorded.received_ns, frame, message)


def _other_item(recorded: RecordedMessage, time_ns: int) -> RecordingItem:
    if recorded.fault:
        raise ValueError(recorded.fault)
    return RecordingItem(False, time_ns, recorded.received_ns, recorded.received_ns, "", recorded, is_other=True)


def frame_items(frames: Iterator[Frame], frame_id: str, compressed: bool) -> Iterator[RecordingItem]:
    """Make bgr8 or JPEG messages from frames."""
    to_message = partial(image_to_compressed, quality=_JPEG_QUALITY) if compressed else image_to_message
    for frame in frames:
        time_ns, message = frame.stamp_ns, to_message(frame.image_bgr, Header())
        yield RecordingItem(True, time_ns, time_ns, time_ns, frame_id or DEFAULT_FRAME_ID, message)


def read_camera_info(path: str | Path) -> CameraInfo:
    """Read a calibration from a YAML file written by camera_calibration.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an entry is missing or malformed.
    """
    data = read_yaml(Path(path), "camera_info")
    expected = f"camera_info {path}: expected a file of camera_calibration"
    if not isinstance(data, dict):
        raise ValueError(f"{expected}, got {type(data).__name__} {data!r:.40}; name the YAML file of the calibration")
    try:
        info = CameraInfo(width=data["image_width"], height=data["image_height"])
        info.distortion_model = data["distortion_model"]
        info.d = _numbers(data, "distortion_coefficients")
        info.k, info.r = _numbers(data, "camera_matrix"), _numbers(data, "rectification_matrix")
        info.p = _numbers(data, "projection_matrix")
    except (KeyError, TypeError, AssertionError, ValueError) as error:
        text = f"no entry {error}" if isinstance(error, KeyError) else f"an entry of another form ({error})"
        raise ValueError(f"{expected}, got {text}") from error
    return info


def _numbers(data: dict[str, Any], name: str) -> list[float]:
    return [float(value) for value in data[name]["data"]]
