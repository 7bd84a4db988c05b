"""What is published for one camera."""

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
from pose_ros.msg import PersonPoseArray
from pose_ros.pipeline import CameraImage
from pose_ros.ros.messages.conversions import image_to_compressed, image_to_message, latency_ms, people_to_message
from pose_ros.ros.messages.markers import people_markers
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.qos import OVERRIDABLE, qos_events
from pose_ros.skeleton import Skeleton

LAST_ANSWER_TIMEOUT = Duration(seconds=0.5)


@dataclass(frozen=True)
class Answer:
    """One image with its people.

    Attributes:
        header: Header of the image message.
        image: The image.
        estimate: Its people, and the times it took to find them.
        skeleton: Skeleton of the people.
        model_name: Name of the model that found them.
    """

    header: Header
    image: CameraImage
    estimate: Estimate
    skeleton: Skeleton
    model_name: str


class CameraPublishers:
    """The topics of one camera's people. Its methods are for the worker's thread, its properties for any."""

    def __init__(self, node: Node, prefix: str) -> None:
        """Advertise.

        Args:
            node: The node that publishes.
            prefix: In front of each name: ``""``, or ``"front/"`` for ``~/front/poses``.

        Raises:
            RuntimeError: If a quality of service in the parameters is none.
        """
        self._node = node
        self._poses = self._publisher(PersonPoseArray, f"~/{prefix}poses", 10)
        self._overlay = self._publisher(Image, f"~/{prefix}overlay", 1)
        self._compressed = self._publisher(CompressedImage, f"~/{prefix}overlay/compressed", 1)
        self._markers = self._publisher(MarkerArray, f"~/{prefix}markers", 1)
        self._shown = 0

    def _publisher(self, kind: Any, topic: str, depth: int) -> Any:
        return self._node.create_publisher(
            kind,
            topic,
            QoSProfile(depth=depth),
            qos_overriding_options=OVERRIDABLE,
            event_callbacks=qos_events(self._node, topic, self._node.get_logger().warning, is_publisher=True),
        )

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return any(map(_has_subscribers, (self._poses, self._overlay, self._compressed, self._markers)))

    @property
    def markers_watched(self) -> bool:
        """Whether anybody looks at the markers."""
        return _has_subscribers(self._markers)

    def publish_poses(self, answer: Answer, dropped: int) -> float:
        """Publish the people; returns the latency that the message tells, milliseconds."""
        estimate, names, size_wh = answer.estimate, answer.skeleton.keypoint_names, answer.image.size_wh
        message = people_to_message(estimate.people, names, answer.header, size_wh, answer.model_name)
        message.preprocess_ms = estimate.preprocess_ms
        message.network_ms = estimate.network_ms
        message.decode_ms = estimate.decode_ms
        message.dropped = dropped
        message.latency_ms = latency_ms(answer.header, self._node.get_clock().now().nanoseconds)
        self._poses.publish(message)
        return float(message.latency_ms)

    def publish_drawings(self, answer: Answer, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        """Publish markers and overlay, each only if somebody looks at it."""
        if _has_subscribers(self._markers):
            self._publish_markers(answer, config, camera_info)
        raw, compressed = _has_subscribers(self._overlay), _has_subscribers(self._compressed)
        if not (raw or compressed):
            return
        image_bgr = to_bgr(answer.image.image, answer.image.colour)
        drawn = draw(image_bgr, answer.estimate.people, answer.skeleton, config.overlay)
        if raw:
            self._overlay.publish(image_to_message(drawn, answer.header))
        if compressed:
            self._compressed.publish(image_to_compressed(drawn, answer.header, config.jpeg_quality))

    def _publish_markers(self, answer: Answer, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        people, skeleton, size_wh = answer.estimate.people, answer.skeleton, answer.image.size_wh
        markers = people_markers(
            people, skeleton, answer.header, size_wh, config.markers, camera_info, before=self._shown
        )
        self._markers.publish(markers)
        self._shown = len(people)

    def flush(self) -> None:
        """Wait until the last answer has reached its readers, else it dies with its publisher."""
        if _has_subscribers(self._poses):
            self._poses.wait_for_all_acked(LAST_ANSWER_TIMEOUT)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)
