"""Receive the images of one camera, and report its failures."""

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
from pose_ros.media.image_messages import stamp_ns
from pose_ros.media.regions import IgnoredRegion
from pose_ros.people import People
from pose_ros.pipeline import CameraImage
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.calibration import CameraCalibration
from pose_ros.ros.node.depth_images import DepthImages
from pose_ros.ros.node.image_subscription import ImageSubscription
from pose_ros.ros.node.loss import LossReporter
from pose_ros.ros.node.outputs import CameraPublishers
from pose_ros.ros.node.statistics import CameraStatistics
from pose_ros.ros.node.watchdog import Watchdog
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.ros.qos import OVERRIDABLE, SUFFIX, declare_qos, qos_events
from pose_ros.texts import printable, quote

ERROR_PERIOD_S = 5.0
MAX_CREDIT = 2.0
"""Images that may pass at once after a pause. A camera with jitter at the limit then loses no image."""
MAX_LATENCY_MS = 3_600_000.0
"""An older image comes from a recording, so its age is not a latency."""


class Camera:
    """One camera: its subscriptions, publishers and statistics. It subscribes only while its images are needed.

    ``update`` and the subscription callbacks run in the executor's thread. ``accept``, ``count_result`` and the
    ``report_*`` methods run in the worker's thread.

    Attributes:
        name: Name in the parameter ``cameras``. Empty for a single camera.
        topic: Resolved name of its image topic.
        outputs: Its publishers.
        statistics: Counts and times of its images.
        active: Whether the node is active.
        enabled: Whether the node is enabled.
        size_wh: Width and height of its last image, px.
        dropped: Images dropped since the last published poses.
        calibration: Its camera_info, received only while it is needed: for markers, and for keypoints in metres.
        depth: Its depth images.
        camera_model: Its model, from the calibration.
        region: Part of its images where nobody is looked for. None = none.
    """

    def __init__(self, node: Node, name: str, settings: LiveSettings, put: Callable[[Camera, Any], None]) -> None:
        """Create the publishers.

        Args:
            node: Node that subscribes and publishes.
            name: Name of the camera.
            settings: Settings of the node.
            put: Called with each image to process.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._node, self._settings, self._put = node, settings, put
        self.name = name
        prefix = f"{name}/" if name else ""
        self.outputs = CameraPublishers(node, name, settings.config)
        self._is_compressed = settings.config.image_transport == "compressed"
        image_topic = node.resolve_topic_name(f"{prefix}image")
        self._name = _compressed_topic(node, f"{prefix}image") if self._is_compressed else f"{prefix}image"
        self.topic = node.resolve_topic_name(self._name)
        self._info_topic = _info_topic(node, f"{prefix}camera_info", image_topic)
        notify = node.get_logger().warning
        self._info_events = qos_events(node, self._info_topic, notify, is_publisher=False)
        declare_qos(node, self._info_topic, _request_infos(), is_publisher=False)
        self.depth = DepthImages(node, prefix, settings)
        self.camera_model = CameraCalibration(node, image_topic, self._info_topic)
        self.statistics = CameraStatistics(time.monotonic())
        self._loss = LossReporter(node, self.topic, notify)
        self._rate_limit = RateLimit()
        kind = CompressedImage if self._is_compressed else Image
        self._images = ImageSubscription(node, kind, self._name, self._receive, self._count_lost)
        self._infos: Any = None
        self.calibration: CameraInfo | None = None
        self.active = self.enabled = self._was_wanted = False
        self.size_wh = (0, 0)
        self._watchdog_s = settings.config.watchdog_s
        self._watchdog = self._create_watchdog()
        self.dropped = 0
        self.region: IgnoredRegion | None = None
        self._stamp_ns, self._stamps_went_back = 0, False
        self._reported_s = -ERROR_PERIOD_S

    @property
    def wanted(self) -> bool:
        """Whether its images should be processed now."""
        return self.active and self.enabled and (self.outputs.has_subscribers or not self._settings.config.is_lazy)

    @property
    def silent(self) -> bool:
        """Whether the watchdog has warned about missing images."""
        return self._watchdog.silent

    def drop_ignored(self, people: People, image: CameraImage) -> People:
        """Drop the people in the ignored region. Stage of the pipeline."""
        return people if self.region is None else self.region.drop(people, image.size_wh)

    def update(self, active: bool, enabled: bool) -> None:
        """Subscribe to the topics that are needed now, and unsubscribe from the others."""
        self.active, self.enabled = active, enabled
        wanted = self.wanted
        if wanted and not self._was_wanted:
            self.statistics.resume(time.monotonic())
        self._was_wanted = wanted
        needs_depth = wanted and self._settings.config.depth.enabled
        try:
            self._subscribe_images(wanted or (active and self._settings.config.lazy == "keep"))
            self._subscribe_infos(wanted and (needs_depth or self.outputs.has_marker_subscribers))
            self.depth.update(needs_depth)
        except (RuntimeError, ParameterException) as error:  # an invalid QoS override
            self._log_error(f"{self.topic}: cannot subscribe: {describe_error(error)}")
        if not (active and enabled):
            self.outputs.clear()
        self._check_loss()
        if self._watchdog_s != self._settings.config.watchdog_s:
            self._watchdog_s = self._settings.config.watchdog_s
            self._watchdog.close()
            self._watchdog = self._create_watchdog()
        if self._images.reliability is None:
            self._watchdog.watch_publishers() if active and enabled else self._watchdog.pause()

    def _subscribe_images(self, needed: bool) -> None:
        before = self._images.reliability
        if not needed and before is not None:
            self._watchdog.pause()
        self._images.update(needed)
        if self._images.reliability != before:
            self.statistics.restart_loss(time.monotonic())
            if before is None:
                self._watchdog.resume()

    def _subscribe_infos(self, needed: bool) -> None:
        if needed == (self._infos is not None):
            return
        if needed:
            self._infos = self._node.create_subscription(
                CameraInfo,
                self._info_topic,
                self._store_calibration,
                _request_infos(),
                qos_overriding_options=OVERRIDABLE,
                event_callbacks=self._info_events,
            )
        else:
            self._node.destroy_subscription(self._infos)
            self._infos = self.calibration = None

    def _create_watchdog(self) -> Watchdog:
        log = self._node.get_logger()
        watchdog = Watchdog(self._node, self._name, self._watchdog_s, log.warning, log.info)
        if self._images.reliability is None:
            watchdog.pause()
        return watchdog

    def _store_calibration(self, message: CameraInfo) -> None:
        self.calibration = message

    def _receive(self, message: Image | CompressedImage) -> None:
        now_s = time.monotonic()
        self.statistics.count_received(now_s, stamp_ns(message.header))
        self._watchdog.record_image()
        if self.wanted and self._rate_limit.allows(now_s, self._settings.config.max_rate):
            self._check_stamp(message)
            self._put(self, message)

    def _count_lost(self, count: int) -> None:
        self.statistics.count_lost(count, time.monotonic())

    def _check_loss(self) -> None:
        now_s, reliability = time.monotonic(), self._images.reliability
        if reliability is not None:
            limit = self._settings.config.diagnostics.warn_lost
            self._loss.check(self.statistics.loss(now_s), limit, reliability, now_s)

    def _check_stamp(self, message: Image | CompressedImage) -> None:
        """Warn once if the stamps go back. The node does not depend on their order, but users of the poses may."""
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns(message.header)
        if self._stamp_ns < before_ns and not self._stamps_went_back:
            self._stamps_went_back = True
            self._node.get_logger().warning(
                f"{self.topic}: stamps went back by {(before_ns - self._stamp_ns) / 1e9:.3f} s; possible causes: a bag "
                "that loops, a clock change, or two publishers; this is logged only once"
            )

    def accept(self, dropped: int) -> bool:
        """Count the images dropped before this one. Return whether the image should still be processed."""
        self.dropped += dropped
        self.statistics.count_dropped(dropped, time.monotonic())
        return self.wanted

    def count_result(self, estimate: Estimate, latency_ms: float, now_s: float) -> None:
        """Count an image after its poses were published."""
        self.dropped = 0
        known_ms = math.nan if latency_ms > MAX_LATENCY_MS else latency_ms
        self.statistics.count_answered(now_s, len(estimate.people), known_ms, estimate.network_ms, estimate.decode_ms)

    def report_failure(self, message: Image | CompressedImage, error: Exception) -> None:
        """Count an image that failed. Log the error, at most once per ``ERROR_PERIOD_S``."""
        self.statistics.count_broken(time.monotonic())
        self._log_error(f"{self.topic}: skipped an image ({_describe_image(message)}): {describe_error(error)}")

    def report_drawing_failure(self, error: Exception) -> None:
        """Log why the overlay or markers of an image were not published, at most once per ``ERROR_PERIOD_S``."""
        self._log_error(f"{self.topic}: could not publish the overlay or markers of an image: {describe_error(error)}")

    def _log_error(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s >= ERROR_PERIOD_S and self._node.context.ok():  # a closed context cannot log
            self._reported_s = now_s
            self._node.get_logger().error(printable(text))


class RateLimit:
    """Limits the average rate of images. At 30 images per second and a limit of 20 Hz, two of three pass."""

    def __init__(self) -> None:
        self._credit = MAX_CREDIT
        self._last_s = 0.0

    def allows(self, now_s: float, max_hz: float) -> bool:
        """Return whether an image that arrives now may pass. A limit of 0 = no limit."""
        self._credit = min(MAX_CREDIT, self._credit + (now_s - self._last_s) * max_hz)
        self._last_s = now_s
        if max_hz > 0 and self._credit < 1:
            return False
        self._credit = max(0.0, self._credit - 1)
        return True


def _request_infos() -> QoSProfile:
    """Make a new profile. rclpy writes the overrides of the parameters into it."""
    return QoSProfile(depth=qos_profile_sensor_data.depth, reliability=qos_profile_sensor_data.reliability)


def _describe_image(message: Image | CompressedImage) -> str:
    if isinstance(message, CompressedImage):
        return f"{quote(message.format)}, {len(message.data)} bytes"
    return f"{quote(message.encoding)} {message.width} x {message.height}"


def _compressed_topic(node: Node, name: str) -> str:
    """Return the topic of compressed images: that of the image after remapping, plus ``/compressed``.

    A remapping of ``image/compressed`` itself comes first, for drivers that use another name.
    """
    resolved = str(node.resolve_topic_name(f"{name}{SUFFIX}"))
    if resolved != node.resolve_topic_name(f"{name}{SUFFIX}", only_expand=True):
        return resolved
    return str(node.resolve_topic_name(name)).removesuffix(SUFFIX) + SUFFIX


def _info_topic(node: Node, name: str, image_topic: str) -> str:
    """Return the camera_info topic next to the image topic, unless camera_info is remapped itself."""
    resolved = node.resolve_topic_name(name)
    if resolved != node.resolve_topic_name(name, only_expand=True):
        return str(resolved)
    return f"{image_topic.rpartition('/')[0]}/camera_info"
