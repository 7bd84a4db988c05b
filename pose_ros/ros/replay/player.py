"""A recording published like a camera: a video, a folder of images or a rosbag2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pose_ros.config import check_settings, setting
from pose_ros.media.bag import camera_info_topic
from pose_ros.media.sources import BagImages, Source
from pose_ros.ros.command_node import command_node
from pose_ros.ros.replay.clock import RecordedClock
from pose_ros.ros.replay.recording import MESSAGE_TYPES, RecordingItem, bag_items, frame_items, read_camera_info

_NS = 1_000_000_000
_QOS = QoSProfile(depth=10)  # reliable, which serves reliable and best-effort subscribers
# Fast DDS gives each participant half a megabyte of shared memory: a camera image does not fit, and what overflows is
# lost to best-effort subscribers. It is the publisher's memory that counts. Other middlewares ignore the variable.
_FAST_DDS_MEMORY = ("FASTDDS_BUILTIN_TRANSPORTS", "DEFAULT?sockets_size=16MB")
_FAST_DDS_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_SETTLE_S = 0.3  # from the first sign of a subscriber until it, too, knows of this publisher
_ACKNOWLEDGE_S = 5.0
_REPORT_NS = 5 * _NS


@dataclass(frozen=True)
class ReplayConfig:
    """How a recording is published."""

    topic: str = setting("", "Topic; empty means image, or image/compressed for compressed images.")
    rate_hz: float = setting(0.0, "Images per second; 0 keeps the recorded times.", unit="Hz", low=0.0, high=1000.0)
    speed: float = setting(1.0, "Multiple of the recorded speed.", low=0.01, high=100.0)
    compressed: bool = setting(False, "Publish a video or images as JPEG.")
    loop: bool = setting(False, "Begin again at the end, until interrupted.")
    stamps: str = setting("original", "Stamps of the messages.", choices=("original", "now"))
    clock: bool = setting(False, "Publish the time of the recording on /clock, for nodes with use_sim_time.")
    frame_id: str = setting("", "Frame of the messages; empty means the recorded one, or camera.")
    camera_info: str = setting("", "Calibration to publish beside the images, a YAML file of camera_calibration.")
    wait_s: float = setting(10.0, "Longest wait for a subscriber before the start.", unit="s", low=0.0, high=3600.0)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.clock and self.stamps == "now":
            raise ValueError("stamps: expected original with clock, got now: the stamps would lie ahead of the clock")


@dataclass(frozen=True)
class Replayed:
    """How a replay went.

    Attributes:
        images: Images published.
        duration_s: Time from the first to the last.
        late_ms: The most that one came after its time.
    """

    images: int
    duration_s: float
    late_ms: float


def replay(source: Source, config: ReplayConfig, ros_args: Sequence[str] = ()) -> Replayed:
    """Publish a recording, each image at its time.

    With original stamps, a bag keeps its own; other sources get the time of the start plus that within the recording.
    In a loop the stamps, and the clock if it is published, go on increasing.

    Args:
        source: From ``open_source``.
        config: Topic, times and stamps.
        ros_args: For ``rclpy.init``, such as ``["--ros-args", "-r", "image:=camera/image"]``.

    Raises:
        FileNotFoundError: If there is no such calibration.
        ValueError: If a part of the recording, or the calibration, cannot be read.
    """
    if not any(name in os.environ for name in _FAST_DDS_PROFILES):
        os.environ.setdefault(*_FAST_DDS_MEMORY)
    with command_node("replay", ros_args) as node:
        player = Player(node, source, config)
        player.wait_for_subscriber()
        result = player.play()
        player.wait_until_received()
    return result


class Player:
    """Publishes one source through a node that needs no spinning.

    Raises:
        FileNotFoundError: If there is no such calibration.
        ValueError: If the calibration cannot be read, or a bag is to be compressed.
    """

    def __init__(self, node: Node, source: Source, config: ReplayConfig) -> None:
        self._source, self._config, self._log = source, config, node.get_logger()
        self._calibration = read_camera_info(config.camera_info) if config.camera_info else None
        image_type = self._image_type()
        topic = config.topic or ("image/compressed" if image_type is CompressedImage else "image")
        self._images = node.create_publisher(image_type, topic, _QOS)
        self._infos = None
        if self._calibration is not None or (isinstance(source, BagImages) and source.bag.camera_info_topic):
            self._infos = node.create_publisher(CameraInfo, camera_info_topic(topic), _QOS)
        self._clock = RecordedClock(node) if config.clock else None

    def _image_type(self) -> Any:
        if not isinstance(self._source, BagImages):
            return CompressedImage if self._config.compressed else Image
        if self._config.compressed:
            raise ValueError("compressed: expected a video or images, got a bag, whose images are published as stored")
        return MESSAGE_TYPES[self._source.bag.image_type]

    def wait_for_subscriber(self) -> bool:
        """Wait until somebody subscribes to the images, or ``wait_s`` is over."""
        deadline = time.monotonic() + self._config.wait_s
        while self._images.get_subscription_count() == 0:
            if time.monotonic() >= deadline:
                if self._config.wait_s:
                    self._log.warning(f"nobody subscribes to {self._images.topic_name}: starting all the same")
                return False
            time.sleep(0.01)
        time.sleep(_SETTLE_S)
        return True

    def play(self) -> Replayed:
        """Publish everything; in a loop, until an interrupt."""
        self._log.info(f"{self._source.path}: publishing on {self._images.topic_name}")
        start_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        origin_ns = 0 if isinstance(self._source, BagImages) else wall_ns
        images, latest_ns, reported_ns = 0, 0, start_ns
        for item in self._items():
            due_ns = start_ns + round(item.time_ns / self._config.speed)
            if self._clock:
                self._clock.run_until(due_ns, origin_ns + item.recorded_ns)
            late_ns = _sleep_until(due_ns)
            latest_ns = max(latest_ns, late_ns)
            if late_ns > _NS and time.monotonic_ns() > reported_ns + _REPORT_NS:
                self._log.warning(f"{late_ns / _NS:.1f} s late: this machine is too slow; try a lower speed")
                reported_ns = time.monotonic_ns()
            self._publish(item, time.time_ns() if self._config.stamps == "now" else origin_ns + item.stamp_ns)
            images += item.is_image
        return Replayed(images, (time.monotonic_ns() - start_ns) / _NS, latest_ns / 1e6)

    def wait_until_received(self) -> None:
        """Give the subscribers the time to take what is under way."""
        if self._images.get_subscription_count():
            self._images.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))
            time.sleep(_SETTLE_S)  # best-effort subscribers acknowledge nothing

    def _items(self) -> Iterator[RecordingItem]:
        """Everything to publish, pass after pass, with times and stamps that go on increasing."""
        interval_ns = round(_NS / (self._config.rate_hz or self._source.rate_hz))
        begin_ns = {"time_ns": 0, "stamp_ns": 0, "recorded_ns": 0}  # where the pass begins
        while True:
            item = first = None
            for item in self._timed(interval_ns):
                first = first or item
                yield replace(item, **{name: value + getattr(item, name) for name, value in begin_ns.items()})
            if first is None or item is None:
                raise ValueError(f"{self._source.path}: expected images, got none")
            if not self._config.loop:
                return
            for name in begin_ns:
                begin_ns[name] += getattr(item, name) - getattr(first, name) + interval_ns

    def _timed(self, interval_ns: int) -> Iterator[RecordingItem]:
        """One pass, at the recorded times or at the wanted rate."""
        images = 0
        for item in self._recorded():
            yield replace(item, time_ns=images * interval_ns) if self._config.rate_hz else item
            images += item.is_image

    def _recorded(self) -> Iterator[RecordingItem]:
        if isinstance(self._source, BagImages):
            return bag_items(self._source.bag, self._config.frame_id)
        return frame_items(iter(self._source), self._config.frame_id, self._config.compressed)

    def _publish(self, item: RecordingItem, stamp_ns: int) -> None:
        if item.is_image and self._infos is not None and self._calibration is not None:
            calibration = replace(item, is_image=False, message=self._calibration)
            self._infos.publish(calibration.stamped(stamp_ns))
        if item.is_image:
            self._images.publish(item.stamped(stamp_ns))
        elif self._infos is not None and self._calibration is None:
            self._infos.publish(item.stamped(stamp_ns))


def _sleep_until(due_ns: int) -> int:
    """Sleep on the steady clock; returns how late it is afterwards, ns."""
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / _NS)
    return max(0, time.monotonic_ns() - due_ns)
