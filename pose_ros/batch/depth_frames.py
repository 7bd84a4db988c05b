"""Pair the frames of a bag with their depth images and the calibration of their camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pose_ros.arrays import FloatArray
from pose_ros.config import DepthConfig
from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.pairing import DepthPairing, ImagePair
from pose_ros.media.bag import Bag
from pose_ros.media.depth_images import decode_depth
from pose_ros.media.depth_topics import find_depth_topic, is_rectified
from pose_ros.media.recorded_message import COMPRESSED_IMAGE, IMAGE, RecordedMessage
from pose_ros.media.sources import BagImages, Frame, Source, check_topic
from pose_ros.pipeline import CameraImage
from pose_ros.runtime.runner import Notify

_BagPair = ImagePair[tuple[int, RecordedMessage], RecordedMessage]
OFF = "off"
_WAIT_MS = 1000.0
"""A recorder may write the depth image long after its colour image. Waiting costs nothing here."""


@dataclass(frozen=True)
class DepthTopic:
    """Depth images of a bag, and the first calibration of their camera."""

    name: str
    camera_info: Any


def find_depth(frames: Source, wanted: str | None, notify: Notify) -> DepthTopic | None:
    """Return the depth topic of a source, or None.

    Args:
        frames: The source.
        wanted: Depth topic. ``"off"`` = none. None = the one that belongs to the colour images.
        notify: Called with one line of text: which topic is used, or why none is.

    Raises:
        ValueError: If the wanted topic cannot be used.
    """
    if wanted == OFF:
        return None
    check_topic(frames, wanted, "--depth-topic")
    if not isinstance(frames, BagImages):
        return None
    bag = frames.bag
    topic = find_depth_topic(bag.image_topic, bag.types) if wanted is None else _check_topic(bag, wanted)
    if topic is None:
        return None
    try:
        info = _first_calibration(bag)
    except ValueError as error:
        if wanted is not None:
            raise
        notify(f"{bag.path}: {topic} is not used: {error}")
        return None
    notify(f"{bag.path}: depth from {topic}")
    return DepthTopic(topic, info)


def camera_images(frames: Source, depth: DepthTopic | None, config: DepthConfig) -> Iterator[tuple[Frame, CameraImage]]:
    """Iterate over the frames of a source as images of a camera, each with its depth image if there is one.

    Args:
        frames: The source.
        depth: Its depth topic. None = none.
        config: Settings of the pairs.
    """
    if depth is None or not isinstance(frames, BagImages):
        for frame in frames:
            yield frame, CameraImage(frame.image_bgr, stamp_ns=frame.stamp_ns)
        return
    yield from _DepthFrames(frames, depth, config)


class _DepthFrames:
    """Frames of a bag, in the order of their stamps."""

    def __init__(self, frames: BagImages, depth: DepthTopic, config: DepthConfig) -> None:
        self._frames, self._bag, self._depth = frames, frames.bag, depth
        self._config = replace(config, wait_ms=max(config.wait_ms, _WAIT_MS))
        self._info = depth.camera_info
        self._camera: CameraModel | None = None

    def __iter__(self) -> Iterator[tuple[Frame, CameraImage]]:
        for index, colour, depth in self._pairs():
            try:
                frame = self._frames.read_frame(colour, index)
                camera = self._find_camera(frame)
            except ValueError as error:
                self._frames.on_broken(error)
                continue
            find_depth = partial(self._read_depth, depth) if depth is not None else lambda: None
            yield frame, CameraImage(frame.image_bgr, stamp_ns=frame.stamp_ns, depth=find_depth, camera=camera)

    def _pairs(self) -> Iterator[tuple[int, RecordedMessage, RecordedMessage | None]]:
        pairing: DepthPairing[tuple[int, RecordedMessage], RecordedMessage] = DepthPairing(self._config)
        bag, count = self._bag, 0
        for recorded in bag.messages([bag.image_topic, self._depth.name], self._frames.on_broken):
            is_colour = recorded.topic == bag.image_topic
            try:
                stamp_ns = recorded.stamp_ns
            except Exception as error:  # of struct
                self._frames.on_broken(ValueError(f"bag {bag.path}, a message of {recorded.topic}: {error!r}"))
                count += is_colour
                continue
            pairs = pairing.add_colour(stamp_ns, (count, recorded)) if is_colour else None
            pairs = pairing.add_depth(stamp_ns, recorded) if pairs is None else pairs
            count += is_colour
            yield from map(_unpack, pairs)
        yield from map(_unpack, pairing.clear())

    def _find_camera(self, frame: Frame) -> CameraModel:
        size_wh = frame.image_bgr.shape[1::-1]
        if self._camera is None or self._camera.size_wh != size_wh:
            topic, rectified = str(self._bag.camera_info_topic), is_rectified(self._bag.image_topic)
            self._camera = CameraModel.from_info(self._info, size_wh, rectified=rectified, name=topic)
        return self._camera

    def _read_depth(self, recorded: RecordedMessage) -> FloatArray:
        try:
            return decode_depth(self._bag.deserialise(recorded))
        except ValueError as error:
            raise ValueError(
                f"bag {self._bag.path}, depth image of {recorded.topic} at {recorded.stamp_ns} ns: {error}"
            ) from error


def _unpack(pair: _BagPair) -> tuple[int, RecordedMessage, RecordedMessage | None]:
    """Return the index of a colour image, the image, and its depth image."""
    index, colour = pair.colour.image
    return index, colour, None if pair.depth is None else pair.depth.image


def _check_topic(bag: Bag, wanted: str) -> str:
    images = sorted(topic for topic, kind in bag.types.items() if kind in (IMAGE, COMPRESSED_IMAGE))
    found = [topic for topic in images if topic.lstrip("/") == wanted.lstrip("/") and topic != bag.image_topic]
    if not found:
        raise ValueError(f"--depth-topic: expected a depth topic of bag {bag.path}, got {wanted}; it has {images}")
    return found[0]


def _first_calibration(bag: Bag) -> Any:
    """Return the first camera_info of the images.

    Raises:
        ValueError: If there is none, or it is not calibrated.
    """
    if bag.camera_info_topic is None:
        raise ValueError(f"expected a camera_info topic beside {bag.image_topic}, got none; record it too")
    for recorded in bag.messages([bag.camera_info_topic], lambda _: None):
        info = bag.deserialise(recorded)
        CameraModel.from_info(info, rectified=is_rectified(bag.image_topic), name=bag.camera_info_topic)
        return info
    raise ValueError(f"{bag.camera_info_topic}: expected a camera_info, got none; record it too")
