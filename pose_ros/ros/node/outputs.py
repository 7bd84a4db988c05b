"""Publish the people of one camera: poses, overlay and markers."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.image_messages import to_bgr
from pose_ros.media.overlay import draw_covered
from pose_ros.media.regions import IgnoredRegion
from pose_ros.media.trails import Trails
from pose_ros.msg import PersonPoseArray
from pose_ros.ros.messages.conversions import image_to_compressed, image_to_message, latency_ms, people_to_message
from pose_ros.ros.messages.markers import people_markers
from pose_ros.ros.messages.trails import SpaceTrails
from pose_ros.ros.node.image_result import ImageResult
from pose_ros.ros.node.publishers import create_publisher, has_subscribers
from pose_ros.ros.node.standard_outputs import StandardOutputs
from pose_ros.ros.parameters.config import NodeConfig

LAST_RESULT_TIMEOUT = Duration(seconds=0.5)


class CameraPublishers:
    """Publishers of one camera. Call the methods in the worker's thread. The properties may be read in any thread."""

    def __init__(self, node: Node, camera: str, config: NodeConfig) -> None:
        """Create the publishers.

        Args:
            node: Node that publishes.
            camera: Name of the camera, which is part of each topic. Empty for a single camera.
            config: Settings of the node. They say which standard outputs exist.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._node = node
        prefix = f"{camera}/" if camera else ""
        self._poses = create_publisher(node, PersonPoseArray, f"~/{prefix}poses", 10)
        self._overlay = create_publisher(node, Image, f"~/{prefix}overlay", 1)
        self._compressed = create_publisher(node, CompressedImage, f"~/{prefix}overlay/compressed", 1)
        self._markers = create_publisher(node, MarkerArray, f"~/{prefix}markers", 1)
        self._shown_people = 0
        self._standard = StandardOutputs(node, camera, config)
        self._trails, self._space_trails = Trails(), SpaceTrails()
        self._anonymiser: Anonymiser | None = None

    @property
    def has_subscribers(self) -> bool:
        """Whether any output has a subscriber."""
        publishers = (self._poses, self._overlay, self._compressed, self._markers)
        return any(map(has_subscribers, publishers)) or self._standard.keeps_active

    @property
    def has_marker_subscribers(self) -> bool:
        """Whether the markers have a subscriber."""
        return has_subscribers(self._markers)

    def publish_poses(self, result: ImageResult, dropped: int) -> float:
        """Publish the people. Return the latency in the message, ms."""
        estimate, names, size_wh = result.estimate, result.skeleton.keypoint_names, result.image.size_wh
        message = people_to_message(estimate.people, names, result.header, size_wh, result.model_name)
        message.preprocess_ms = estimate.preprocess_ms
        message.network_ms = estimate.network_ms
        message.decode_ms = estimate.decode_ms
        message.dropped = dropped
        message.frame_3d = result.frame_3d
        message.latency_ms = latency_ms(result.header, self._node.get_clock().now().nanoseconds)
        self._poses.publish(message)
        return float(message.latency_ms)

    def publish_drawings(
        self,
        result: ImageResult,
        config: NodeConfig,
        camera_info: CameraInfo | None,
        region: IgnoredRegion | None = None,
    ) -> None:
        """Publish the standard outputs, the markers and the overlay, each only if it has a subscriber."""
        self._standard.publish(result)
        if has_subscribers(self._markers):
            self._publish_markers(result, config, camera_info)
        raw, compressed = has_subscribers(self._overlay), has_subscribers(self._compressed)
        if not (raw or compressed):
            return
        image_bgr = to_bgr(result.image.image, result.image.colour)
        people, stamp_s = result.estimate.people, result.image.stamp_ns / 1e9
        self._trails.update(people, result.skeleton, stamp_s, config.overlay.trails_s)
        anonymiser = self._anonymiser or Anonymiser(result.skeleton)
        anonymiser.region, self._anonymiser = region, anonymiser
        overlay_bgr = draw_covered(anonymiser, image_bgr, people, config.overlay, stamp_s, self._trails)
        if raw:
            self._overlay.publish(image_to_message(overlay_bgr, result.header))
        if compressed:
            self._compressed.publish(image_to_compressed(overlay_bgr, result.header, config.jpeg_quality))

    def _publish_markers(self, result: ImageResult, config: NodeConfig, camera_info: CameraInfo | None) -> None:
        people, skeleton, size_wh = result.estimate.people, result.skeleton, result.image.size_wh
        points = people.keypoints_3d
        header = result.header if points is None else result.header_3d
        markers = people_markers(
            *(people, skeleton, header, size_wh, config.markers, camera_info, points),
            previous_count=self._shown_people,
            trails=self._space_trails.update(people, header, config.markers.trails_s),
        )
        self._markers.publish(markers)
        self._shown_people = len(people)

    def clear(self) -> None:
        """Tell subscribers that remember people that there are none. Repeated calls have no effect."""
        self._standard.clear()

    def flush(self) -> None:
        """Wait until subscribers have received the last poses. Otherwise destroying the publisher would lose them."""
        self._standard.clear(LAST_RESULT_TIMEOUT)
        if has_subscribers(self._poses):
            self._poses.wait_for_all_acked(LAST_RESULT_TIMEOUT)
