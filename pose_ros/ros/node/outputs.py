"""Publish the people of one camera: poses, overlay and markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from pose_ros.estimator import Estimate
from pose_ros.media.image_messages import to_bgr
from pose_ros.media.overlay import draw
from pose_ros.media.trails import Trails
from pose_ros.msg import PersonPoseArray
from pose_ros.pipeline import CameraImage
from pose_ros.ros.messages.conversions import image_to_compressed, image_to_message, latency_ms, people_to_message
from pose_ros.ros.messages.markers import people_markers
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.qos import OVERRIDABLE, qos_events
from pose_ros.skeleton import Skeleton

LAST_RESULT_TIMEOUT = Duration(seconds=0.5)


@dataclass(frozen=True)
class ImageResult:
    """One processed image, ready to publish.

    Attributes:
        header: Header of the image message.
        image: The image.
        estimate: The people in the image, and the time of each step.
        skeleton: Skeleton of the people.
        model_name: Name of the model that found them.
    """

    header: Header
    image: CameraImage
    estimate: Estimate
    skeleton: Skeleton
    model_name: str


class CameraPublishers:
    """Publishers of one camera. Call the methods in the worker's thread. The properties may be read in any thread."""

    def __init__(self, node: Node, prefix: str) -> None:
        """Create the publishers.

        Args:
            node: Node that publishes.
            prefix: Prefix of each topic: ``""``, or ``"front/"`` for ``~/front/poses``.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._node = node
        self._poses = self._create_publisher(PersonPoseArray, f"~/{prefix}poses", 10)
        self._overlay = self._create_publisher(Image, f"~/{prefix}overlay", 1)
        self._compressed = self._create_publisher(CompressedImage, f"~/{prefix}overlay/compressed", 1)
        self._markers = self._create_publisher(MarkerArray, f"~/{prefix}markers", 1)
        self._shown_people = 0
        self._trails = Trails()

    def _create_publisher(self, kind: Any, topic: str, depth: int) -> Any:
        return self._node.create_publisher(
            kind,
            topic,
            QoSProfile(depth=depth),
            qos_overriding_options=OVERRIDABLE,
            event_callbacks=qos_events(self._node, topic, self._node.get_logger().warning, is_publisher=True),
        )

    @property
    def has_subscribers(self) -> bool:
        """Whether any output has a subscriber."""
        return any(map(_has_subscribers, (self._poses, self._overlay, self._compressed, self._markers)))

    @property
    def has_marker_subscribers(self) -> bool:
        """Whether the markers have a subscriber."""
        return _has_subscribers(self._markers)

    def publish_poses(self, result: ImageResult, dropped: int) -> float:
        """Publish the people. Return the latency in the message, ms."""
        estimate, names, size_wh = result.estimate, result.skeleton.keypoint_names, result.image.size_wh
        message = people_to_message(estimate.people, names, result.header, size_wh, result.model_name)
        message.preprocess_ms = estimate.preprocess_ms
        message.network_ms = estimate.network_ms
        message.decode_ms = estimate.decode_ms
        message.dropped = dropped
        message.latency_ms = latency_ms(result.header, self._node.get_clock().now().nanoseconds)
        self._poses.publish(message)
        return float(message.latency_ms)

    def publish_drawings(self, result: ImageResult, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        """Publish the markers and the overlay, each only if it has a subscriber."""
        if _has_subscribers(self._markers):
            self._publish_markers(result, config, camera_info)
        raw, compressed = _has_subscribers(self._overlay), _has_subscribers(self._compressed)
        if not (raw or compressed):
            return
        image_bgr = to_bgr(result.image.image, result.image.colour)
        people, stamp_s = result.estimate.people, result.image.stamp_ns / 1e9
        self._trails.update(people, result.skeleton, stamp_s, config.overlay.trails_s)
        overlay_bgr = draw(image_bgr, people, result.skeleton, config.overlay, self._trails)
        if raw:
            self._overlay.publish(image_to_message(overlay_bgr, result.header))
        if compressed:
            self._compressed.publish(image_to_compressed(overlay_bgr, result.header, config.jpeg_quality))

    def _publish_markers(self, result: ImageResult, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        people, skeleton, size_wh = result.estimate.people, result.skeleton, result.image.size_wh
        markers = people_markers(
            people, skeleton, result.header, size_wh, config.markers, camera_info, previous_count=self._shown_people
        )
        self._markers.publish(markers)
        self._shown_people = len(people)

    def flush(self) -> None:
        """Wait until subscribers have received the last poses. Otherwise destroying the publisher would lose them."""
        if _has_subscribers(self._poses):
            self._poses.wait_for_all_acked(LAST_RESULT_TIMEOUT)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)
