"""One camera of the node: its images, its answers, and how it fares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pose_ros.estimator import Estimate
from pose_ros.media.bag import stamp_ns
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.outputs import CameraPublishers
from pose_ros.ros.node.statistics import CameraStatistics
from pose_ros.ros.node.watchdog import Watchdog
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.ros.qos import OVERRIDABLE, qos_events

ERROR_PERIOD_S = 5.0
LARGEST_CREDIT = 2.0
"""So many may come at once after a pause: a camera whose images jitter around the limit loses none."""
OLDEST_MS = 3_600_000.0
"""An image older than that is a recording, and its age no delay."""


class Camera:
    """Receives the images of one camera while they are wanted, and answers them.

    ``update`` and what receives run in the executor's thread; ``accept``, ``count_answer`` and the reports in the
    worker's.

    Attributes:
        name: As in the parameter ``cameras``; empty for the only one.
        topic: Of its images, in full.
        outputs: What is published for it.
        statistics: How it fares.
        active: Whether its node is.
        enabled: Whether its node is.
        size_wh: Of its last image, px.
        dropped: Images dropped since the last answer.
        calibration: Its camera_info, while somebody looks at markers.
    """

    def __init__(self, node: Node, name: str, settings: LiveSettings, put: Callable[[Camera, Any], None]) -> None:
        """Advertise its outputs.

        Args:
            node: Its node.
            name: Its name.
            settings: Of the node.
            put: Takes each image that is to be answered.

        Raises:
            RuntimeError: If a quality of service in the parameters is none.
        """
        self._node, self._settings, self._put = node, settings, put
        self.name = name
        prefix = f"{name}/" if name else ""
        self.outputs = CameraPublishers(node, prefix)
        self._is_compressed = settings.config.image_transport == "compressed"
        image_topic = node.resolve_topic_name(f"{prefix}image")
        self._name = f"{image_topic}/compressed" if self._is_compressed else f"{prefix}image"
        self.topic = node.resolve_topic_name(self._name)
        self._info_topic = _info_topic(node, f"{prefix}camera_info", image_topic)
        say = node.get_logger().warning  # of a peer once, however often its images are subscribed to
        topics = (self._name, self._info_topic)
        self._events = {topic: qos_events(node, topic, say, is_publisher=False) for topic in topics}
        self.statistics = CameraStatistics(time.monotonic())
        self._rate_limit = RateLimit()
        self._images: Any = None
        self._infos: Any = None
        self.calibration: CameraInfo | None = None
        self.active = self.enabled = self._was_wanted = False
        self.size_wh = (0, 0)
        self._watchdog_s = settings.config.watchdog_s
        self._watchdog = self._new_watchdog()
        self.dropped = 0
        self._stamp_ns, self._stamps_went_back = 0, False
        self._reported_s = -ERROR_PERIOD_S

    @property
    def wanted(self) -> bool:
        """Whether its images are to be answered now."""
        return self.active and self.enabled and (self._settings.config.lazy == "off" or self.outputs.watched)

    @property
    def silent(self) -> bool:
        """Whether its watchdog misses images."""
        return self._watchdog.silent

    def update(self, active: bool, enabled: bool) -> None:
        """Subscribe to what is needed, and to nothing else."""
        self.active, self.enabled = active, enabled
        wanted = self.wanted
        if wanted and not self._was_wanted:
            self.statistics.resume(time.monotonic())
        self._was_wanted = wanted
        try:
            self._subscribe_images(wanted or (active and self._settings.config.lazy == "keep"))
            self._subscribe_infos(wanted and self.outputs.markers_watched)
        except (RuntimeError, ParameterException) as error:  # a quality of service in the parameters that is none
            self._tell(f"cannot subscribe to the images of {self.topic}: {error}")
        if self._watchdog_s != self._settings.config.watchdog_s:
            self._watchdog_s = self._settings.config.watchdog_s
            self._watchdog.close()
            self._watchdog = self._new_watchdog()

    def _subscribe_images(self, needed: bool) -> None:
        if needed == (self._images is not None):
            return
        if needed:
            kind = CompressedImage if self._is_compressed else Image
            self._images = self._subscription(kind, self._name, self._receive)
            self._watchdog.resume()
        else:
            self._watchdog.pause()
            self._node.destroy_subscription(self._images)
            self._images = None

    def _subscribe_infos(self, needed: bool) -> None:
        if needed == (self._infos is not None):
            return
        if needed:
            self._infos = self._subscription(CameraInfo, self._info_topic, self._keep_info)
        else:
            self._node.destroy_subscription(self._infos)
            self._infos = self.calibration = None

    def _subscription(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> Any:
        return self._node.create_subscription(
            kind,
            topic,
            callback,
            QoSProfile(depth=qos_profile_sensor_data.depth, reliability=qos_profile_sensor_data.reliability),
            qos_overriding_options=OVERRIDABLE,
            event_callbacks=self._events[topic],
        )

    def _new_watchdog(self) -> Watchdog:
        watchdog = Watchdog(self._node, self._name, self._watchdog_s, self._node.get_logger().warning)
        if self._images is None:
            watchdog.pause()
        return watchdog

    def _keep_info(self, message: CameraInfo) -> None:
        self.calibration = message

    def _receive(self, message: Image | CompressedImage) -> None:
        now_s = time.monotonic()
        self.statistics.received(now_s)
        self._watchdog.saw_image()
        if self.wanted and self._rate_limit.passes(now_s, self._settings.config.max_rate):
            self._look_at_stamp(message)
            self._put(self, message)

    def _look_at_stamp(self, message: Image | CompressedImage) -> None:
        """Nothing here depends on the order of stamps; but whoever uses them should know."""
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns(message.header)
        if self._stamp_ns < before_ns and not self._stamps_went_back:
            self._stamps_went_back = True
            self._node.get_logger().warning(
                f"the stamps of {self.topic} went back by {(before_ns - self._stamp_ns) / 1e9:.3f} s: "
                "a bag that loops, a clock that was set, or two publishers; going on, and not saying it again"
            )

    def accept(self, dropped: int) -> bool:
        """Count the images dropped before this one. Return whether its image is still wanted."""
        self.dropped += dropped
        self.statistics.dropped(dropped, time.monotonic())
        return self.wanted

    def count_answer(self, estimate: Estimate, latency_ms: float, now_s: float) -> None:
        """Count an image whose poses are published."""
        self.dropped = 0
        known_ms = math.nan if latency_ms > OLDEST_MS else latency_ms
        self.statistics.answered(now_s, len(estimate.people), known_ms, estimate.network_ms, estimate.decode_ms)

    def report_failure(self, message: Image | CompressedImage, error: Exception) -> None:
        """Count an image that cannot be answered, and log why, at most every few seconds."""
        self.statistics.broken(time.monotonic())
        self._tell(f"skipped an image ({_in_words(message)}) of {self.topic}: {describe_error(error)}")

    def report_drawing(self, error: Exception) -> None:
        """Log why the drawings of an answer were not published, at most every few seconds."""
        self._tell(f"published no picture of an image of {self.topic}: {describe_error(error)}")

    def _tell(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s >= ERROR_PERIOD_S and self._node.context.ok():  # after that nobody listens
            self._reported_s = now_s
            self._node.get_logger().error(text)


class RateLimit:
    """Lets images pass at a rate, on average: of 30 per second at a limit of 20, two of three."""

    def __init__(self) -> None:
        self._credit = LARGEST_CREDIT
        self._last_s = 0.0

    def passes(self, now_s: float, most_hz: float) -> bool:
        """Whether an image that comes now may pass; a limit of 0 lets all pass."""
        self._credit = min(LARGEST_CREDIT, self._credit + (now_s - self._last_s) * most_hz)
        self._last_s = now_s
        if most_hz > 0 and self._credit < 1:
            return False
        self._credit = max(0.0, self._credit - 1)
        return True


def _in_words(message: Image | CompressedImage) -> str:
    if isinstance(message, CompressedImage):
        return f"{message.format!r}, {len(message.data)} bytes"
    return f"{message.encoding} {message.width} x {message.height}"


def _info_topic(node: Node, name: str, image_topic: str) -> str:
    """The calibration beside the images, unless it is remapped itself."""
    resolved = node.resolve_topic_name(name)
    if resolved != node.resolve_topic_name(name, only_expand=True):
        return str(resolved)
    return f"{image_topic.rpartition('/')[0]}/camera_info"
