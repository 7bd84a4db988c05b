"""Publish the people of one camera as the bodies of REP-155 (ROS4HRI). Importing this file needs hri_msgs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pose_ros.arrays import AnyArray
from pose_ros.media.image_messages import to_bgr
from pose_ros.ros.messages import bodies as messages
from pose_ros.ros.messages.conversions import image_to_message
from pose_ros.ros.messages.standard import (
    body_name,
    crop_to_box,
    find_bodies,
    normalise_boxes,
    normalise_keypoints,
)
from pose_ros.ros.node.image_result import ImageResult
from pose_ros.ros.node.publishers import create_publisher, has_subscribers
from pose_ros.ros.qos import no_qos_events

TOPICS: dict[str, Any] = {
    "roi": NormalizedRegionOfInterest2D,
    "cropped": Image,
    "skeleton2d": Skeleton2D,
    "position": PointStamped,
    "velocity": TwistStamped,
}
"""Type of each topic of a body, by its name."""
DEPTH = 10


class BodyPublishers:
    """The list ``bodies/tracked``, and the topics of each body in it.

    The list is published for every image, also if it is empty. The topics of a body exist while it is in the list.

    Attributes:
        topic: Resolved name of the list.
        needs_depth: False, because the list and most topics of a body are in the image.
    """

    needs_depth = False

    def __init__(self, node: Node, camera: str, prefix: str) -> None:
        """Create the publisher of the list.

        Args:
            node: Node that publishes.
            camera: Name of the camera. Empty for a single camera.
            prefix: Namespace of REP-155. Each of several cameras has its own below it.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._node, self._camera = node, camera
        self._namespace = "/".join(filter(None, (prefix, camera, "bodies")))
        self._tracked = create_publisher(node, IdsList, f"{self._namespace}/tracked", DEPTH)
        self.topic = self._tracked.topic_name
        self._bodies: dict[str, dict[str, Any]] = {}
        self._listed = Header()
        self._is_listed = False

    @property
    def has_subscribers(self) -> bool:
        """Whether the list has a subscriber. Readers of REP-155 find the bodies in it."""
        return has_subscribers(self._tracked)

    @property
    def keeps_active(self) -> bool:
        """Whether images should be processed for this output."""
        return self.has_subscribers

    def publish(self, result: ImageResult) -> None:
        """Publish the list, then the topics of its bodies. Destroy the topics of bodies that are no longer in it."""
        people = result.estimate.people
        people = people[find_bodies(people)]
        names = [body_name(self._camera, person_id) for person_id in people.ids.tolist()]
        for name in self._bodies.keys() - set(names):
            for publisher in self._bodies.pop(name).values():
                self._node.destroy_publisher(publisher)
        for name in names:
            if name not in self._bodies:
                self._bodies[name] = {topic: self._create(name, topic) for topic in TOPICS}
        self._listed, self._is_listed = result.header, bool(names)
        self._tracked.publish(messages.ids_list(names, result.header))
        size_wh = result.image.size_wh
        boxes, keypoints = normalise_boxes(people, size_wh), normalise_keypoints(people, result.skeleton, size_wh)
        makers: dict[str, Callable[[int], Any | None]] = {
            "roi": lambda i: messages.region(boxes[i], float(people.person_scores[i]), result.header),
            "cropped": lambda i: _crop(result, boxes[i]),
            "skeleton2d": lambda i: messages.skeleton_2d(keypoints[i], result.header),
            "position": lambda i: _if_known(messages.position, people.positions_3d, i, result.header_3d),
            "velocity": lambda i: _if_known(messages.velocity, people.velocities_3d, i, result.header_3d),
        }
        for i, name in enumerate(names):
            for topic, publisher in self._bodies[name].items():
                if has_subscribers(publisher) and (message := makers[topic](i)) is not None:
                    publisher.publish(message)

    def clear(self, timeout: Duration | None = None) -> None:
        """Publish an empty list, if the last one was not empty. Readers remember the bodies of the last list.

        Args:
            timeout: Longest wait until the readers have received it. None = do not wait.
        """
        if self._is_listed:
            self._is_listed = False
            stamp = self._node.get_clock().now().to_msg()
            self._tracked.publish(messages.ids_list([], Header(stamp=stamp, frame_id=self._listed.frame_id)))
            if timeout and self.has_subscribers:
                self._tracked.wait_for_all_acked(timeout)

    def _create(self, name: str, topic: str) -> Any:
        """Create a publisher of a body.

        Its policies cannot be overridden: each body would leave parameters behind. It has no events, so that the
        executor's thread, which waits for events, does not see publishers that come and go.
        """
        return self._node.create_publisher(
            TOPICS[topic],
            f"{self._namespace}/{name}/{topic}",
            QoSProfile(depth=DEPTH),
            event_callbacks=no_qos_events(),
        )


def _crop(result: ImageResult, box: AnyArray) -> Image:
    pixels = to_bgr(crop_to_box(result.image.image, box), result.image.colour)
    return image_to_message(np.ascontiguousarray(pixels), result.header)


def _if_known(make: Any, vectors: AnyArray | None, i: int, header: Header) -> Any | None:
    return make(vectors[i], header) if vectors is not None and np.isfinite(vectors[i]).all() else None
