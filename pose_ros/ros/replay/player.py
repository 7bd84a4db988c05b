"""Publish a video, a folder of images or a rosbag2 like a camera."""

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

from pose_ros.media.bag import camera_info_topic
from pose_ros.media.recorded_message import RecordedMessage
from pose_ros.media.sources import BagImages, LiveStream, Source
from pose_ros.ros.command_node import command_node
from pose_ros.ros.replay.clock import RecordedClock
from pose_ros.ros.replay.others import OtherTopics
from pose_ros.ros.replay.recording import MESSAGE_TYPES, RecordingItem, bag_items, frame_items, read_camera_info
from pose_ros.ros.topic_names import check_topic_name
from pose_ros.settings import CheckedSettings, setting

_NS = 1_000_000_000
_QOS = QoSProfile(depth=10)  # reliable: matches reliable and best-effort subscribers
# By default Fast DDS has 0.5 MB of shared memory per participant. A camera image does not fit, and best-effort
# subscribers lose it. The memory of the publisher counts. Other middlewares ignore the variable.
_FAST_DDS_MEMORY = ("FASTDDS_BUILTIN_TRANSPORTS", "DEFAULT?sockets_size=16MB")
_FAST_DDS_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_SETTLE_S = 0.3  # delay until a new subscriber has discovered this publisher
_ACKNOWLEDGE_TIMEOUT_S = 5.0
_REPORT_NS = 5 * _NS


@dataclass(frozen=True)
class ReplayConfig(CheckedSettings):
    """Settings of a replay."""

    topic: str = setting("", "Topic to publish on. Empty = image, or image/compressed for compressed images.")
    rate_hz: float = setting(0.0, "Images per second. 0 = recorded times.", unit="Hz", low=0.0, high=1000.0)
    speed: float = setting(1.0, "Multiple of the recorded speed.", low=0.01, high=100.0)
    compressed: bool = setting(False, "Publish the frames of a video or image folder as JPEG.")
    loop: bool = setting(False, "Start again at the end, until interrupted.")
    stamps: str = setting("original", "Stamps: as recorded, or the time of publishing.", choices=("original", "now"))
    also: str = setting("", "Other topics of a bag to publish, separated by commas. all = all topics.")
    clock: bool = setting(False, "Publish the time of the recording on /clock, for nodes with use_sim_time.")
    frame_id: str = setting("", "Frame of the messages. Empty = recorded frame, or camera.")
    camera_info: str = setting("", "Calibration to publish with the images, a YAML file of camera_calibration.")
    wait_s: float = setting(
        10.0, "Longest wait for a subscriber before the start. 0 = no wait.", unit="s", low=0.0, high=3600.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.also and self.stamps == "now":
            raise ValueError(
                "stamps: expected original with also, got now; the other topics keep their recorded stamps"
            )
        if self.clock and self.stamps == "now":
            raise ValueError("stamps: expected original with clock, got now; the stamps would be ahead of the clock")


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay.

    Attributes:
        images: Number of published images.
        duration_s: Time from the first image to the last, s.
        late_ms: Largest delay of an image, ms.
    """

    images: int
    duration_s: float
    late_ms: float


def replay(source: Source, config: ReplayConfig, ros_args: Sequence[str] = ()) -> ReplayResult:
    """Publish a recording, each image at its time.

    With original stamps, a bag keeps the recorded stamps. Other sources get the time of the start plus the time of
    sending, so that the age of the images does not depend on ``speed`` and ``rate_hz``. With a clock, they get the
    time in the recording, as on the clock. In a loop the stamps keep increasing, and so does the clock if it is
    published.

    Args:
        source: Recording, from ``open_source``.
        config: Topic, times and stamps.
        ros_args: Arguments of ``rclpy.init``, such as ``["--ros-args", "-r", "image:=camera/image"]``.

    Raises:
        FileNotFoundError: If the calibration file does not exist.
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
    """Publishes one source through a node. The node does not need to spin.

    Raises:
        FileNotFoundError: If the calibration file does not exist.
        ValueError: If the topic has no valid name, the calibration cannot be read, or a bag is to be compressed.
    """

    def __init__(self, node: Node, source: Source, config: ReplayConfig) -> None:
        self._source, self._config, self._log = source, config, node.get_logger()
        self._calibration = read_camera_info(config.camera_info) if config.camera_info else None
        image_type = self._image_type()
        if config.topic:
            check_topic_name(config.topic, "--topic")
        topic = config.topic or ("image/compressed" if image_type is CompressedImage else "image")
        self._images = node.create_publisher(image_type, topic, _QOS)
        self._infos = None
        if self._calibration is not None or (isinstance(source, BagImages) and source.bag.camera_info_topic):
            self._infos = node.create_publisher(CameraInfo, camera_info_topic(topic), _QOS)
        self._clock = RecordedClock(node) if config.clock else None
        self._others = self._create_others(node)

    def _image_type(self) -> Any:
        if not isinstance(self._source, BagImages):
            return CompressedImage if self._config.compressed else Image
        if self._config.compressed:
            raise ValueError("compressed: expected a video or images, got a bag; its images are published as stored")
        return MESSAGE_TYPES[self._source.bag.image_type]

    def _create_others(self, node: Node) -> OtherTopics | None:
        if not self._config.also:
            return None
        if not isinstance(self._source, BagImages):
            raise ValueError(f"also: expected a bag, got {self._source.name}, which has no other topics")
        return OtherTopics(node, self._source.bag, self._config.also, self._config.clock)

    def wait_for_subscriber(self) -> bool:
        """Wait for a subscriber of the images, at most ``wait_s``. Return whether there is one."""
        deadline = time.monotonic() + self._config.wait_s
        while self._images.get_subscription_count() == 0:
            if time.monotonic() >= deadline:
                if self._config.wait_s:
                    self._log.warning(f"{self._images.topic_name}: no subscriber; starting anyway")
                return False
            time.sleep(0.01)
        time.sleep(_SETTLE_S)
        return True

    def play(self) -> ReplayResult:
        """Publish all items. In a loop, continue until interrupted."""
        self._log.info(f"{self._source.name}: publishing on {self._images.topic_name}")
        if isinstance(self._source, BagImages) and self._leaves_recorded_pace:
            self._log.warning(
                f"{self._source.name}: the messages keep their recorded stamps at another rate, so latencies are "
                "wrong; use --clock with use_sim_time, or --stamps now"
            )
        start_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        origin_ns = 0 if isinstance(self._source, BagImages) else wall_ns
        images, latest_ns, reported_ns = 0, 0, start_ns
        for item in self._items():
            if isinstance(self._source, LiveStream) and images == 0:
                start_ns, origin_ns = time.monotonic_ns(), time.time_ns()  # of the first frame
            due_ns = start_ns + round(item.time_ns / self._config.speed)
            if self._clock:
                self._clock.run_until(due_ns, origin_ns + item.recorded_ns)
            late_ns = _sleep_until(due_ns)
            latest_ns = max(latest_ns, late_ns)
            if late_ns > _NS and time.monotonic_ns() > reported_ns + _REPORT_NS:
                self._log.warning(
                    f"{self._source.name}: {late_ns / _NS:.1f} s late; this machine is too slow, try a lower speed"
                )
                reported_ns = time.monotonic_ns()
            self._publish(item, self._choose_stamp(item, origin_ns))
            images += item.is_image
        return ReplayResult(images, (time.monotonic_ns() - start_ns) / _NS, latest_ns / 1e6)

    @property
    def _leaves_recorded_pace(self) -> bool:
        """Whether recorded stamps advance at another rate than the clock of the subscribers."""
        config = self._config
        return config.stamps == "original" and not config.clock and (config.rate_hz > 0 or config.speed != 1)

    def _choose_stamp(self, item: RecordingItem, origin_ns: int) -> int:
        """Return the stamp of an item, ns. Frames have no recorded stamp, so theirs follows the time of sending."""
        if self._config.stamps == "now":
            return time.time_ns()
        follows_sending = not isinstance(self._source, BagImages) and self._clock is None
        return origin_ns + (round(item.time_ns / self._config.speed) if follows_sending else item.stamp_ns)

    def wait_until_received(self) -> None:
        """Give the subscribers time to receive the last messages."""
        timeout = Duration(seconds=_ACKNOWLEDGE_TIMEOUT_S)
        if self._others is not None:
            self._others.wait_until_received(timeout)
        if self._images.get_subscription_count():
            self._images.wait_for_all_acked(timeout)
            time.sleep(_SETTLE_S)  # best-effort subscribers do not acknowledge

    def _items(self) -> Iterator[RecordingItem]:
        """Return the items to publish. In a loop, times and stamps keep increasing."""
        interval_ns = round(_NS / (self._config.rate_hz or self._source.rate_hz))
        start_of_pass_ns = {"time_ns": 0, "stamp_ns": 0, "recorded_ns": 0}
        while True:
            last = first = None
            for item in self._retime_items(interval_ns):
                if item.is_image:
                    first, last = first or item, item
                yield replace(item, **{name: value + getattr(item, name) for name, value in start_of_pass_ns.items()})
            if first is None or last is None:
                raise ValueError(f"{self._source.name}: expected images, got none")
            if not self._config.loop:
                return
            for name in start_of_pass_ns:
                start_of_pass_ns[name] += getattr(last, name) - getattr(first, name) + interval_ns

    def _retime_items(self, interval_ns: int) -> Iterator[RecordingItem]:
        """Return the items of one pass, at the recorded times or at ``rate_hz``."""
        images = 0
        for item in self._read_items():
            yield replace(item, time_ns=images * interval_ns) if self._config.rate_hz else item
            images += item.is_image

    def _read_items(self) -> Iterator[RecordingItem]:
        if isinstance(self._source, BagImages):
            others = self._others.names if self._others is not None else ()
            return bag_items(self._source.bag, self._config.frame_id, self._source.on_broken, others)
        return frame_items(iter(self._source), self._config.frame_id, self._config.compressed)

    def _publish(self, item: RecordingItem, stamp_ns: int) -> None:
        recorded = item.message
        if self._others is not None and isinstance(recorded, RecordedMessage):
            try:
                self._others.publish(recorded, item.recorded_ns - recorded.received_ns)
            except Exception as error:  # of the type support of the middleware
                path, kind = self._source.name, recorded.type_name
                broken = ValueError(f"{path}, a message of {recorded.topic}: expected a {kind}, got {error!r}")
                self._source.on_broken(broken)
        if item.is_image and self._infos is not None and self._calibration is not None:
            calibration = replace(item, is_image=False, message=self._calibration)
            self._infos.publish(calibration.with_stamp(stamp_ns))
        if item.is_image:
            self._images.publish(item.with_stamp(stamp_ns))
        elif not item.is_other and self._infos is not None and self._calibration is None:
            self._infos.publish(item.with_stamp(stamp_ns))


def _sleep_until(due_ns: int) -> int:
    """Sleep until a time of the steady clock. Return the delay after that time, ns."""
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / _NS)
    return max(0, time.monotonic_ns() - due_ns)
