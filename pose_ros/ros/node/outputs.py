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

from pose_ros import arrays
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.media.image_messages import to_bgr
from pose_ros.media.overlay import draw
from pose_ros.msg import PersonPoseArray
from pose_ros.ros.messages.conversions import image_to_compressed, image_to_message, latency_ms, people_to_message
from pose_ros.ros.messages.markers import people_markers
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.qos import OVERRIDABLE, qos_events

LAST_ANSWER_TIMEOUT = Duration(seconds=0.5)


@dataclass(frozen=True)
class Answer:
    """One image with its people: (H, W, 3) or (H, W) in the order ``colour``, and what found them."""

    header: Header
    picture: arrays.Image
    colour: str
    estimate: Estimate
    estimator: PoseEstimator

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the image, px."""
        return (self.picture.shape[1], self.picture.shape[0])


class Outputs:
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
        estimate, estimator = answer.estimate, answer.estimator
        names = estimator.skeleton.keypoint_names
        message = people_to_message(estimate.people, names, answer.header, answer.size_wh, estimator.model_name)
        message.preprocess_ms = estimate.preprocess_ms
        message.network_ms = estimate.network_ms
        message.decode_ms = estimate.decode_ms
        message.dropped = dropped
        message.latency_ms = latency_ms(answer.header, self._node.get_clock().now().nanoseconds)
        self._poses.publish(message)
        return float(message.latency_ms)

    def publish_pictures(self, answer: Answer, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        """Publish markers and overlay, each only if somebody looks at it."""
        if _has_subscribers(self._markers):
            self._publish_markers(answer, config, camera_info)
        raw, compressed = _has_subscribers(self._overlay), _has_subscribers(self._compressed)
        if not (raw or compressed):
            return
        image_bgr = to_bgr(answer.picture, answer.colour)
        drawn = draw(image_bgr, answer.estimate.people, answer.estimator.skeleton, config.overlay)
        if raw:
            self._overlay.publish(image_to_message(drawn, answer.header))
        if compressed:
            self._compressed.publish(image_to_compressed(drawn, answer.header, config.jpeg_quality))

    def _publish_markers(self, answer: Answer, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        people, skeleton = answer.estimate.people, answer.estimator.skeleton
        self._markers.publish(
            people_markers(
                people, skeleton, answer.header, answer.size_wh, config.markers, camera_info, before=self._shown
            )
        )
        self._shown = len(people)

    def flush(self) -> None:
        """Wait until the last answer has reached its readers, else it dies with its publisher."""
        if _has_subscribers(self._poses):
            self._poses.wait_for_all_acked(LAST_ANSWER_TIMEOUT)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)
