"""Publish the people of one camera in messages that other packages read.

Each output exists only if its parameter enables it and its package is installed. It is computed only while its topic
has a subscriber.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.image_result import ImageResult
from pose_ros.ros.node.publishers import create_publisher, has_subscribers
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.texts import printable

ERROR_PERIOD_S = 5.0
TF_DEPTH = 100  # as tf2_ros


class Output(Protocol):
    """One output of one camera. Call ``publish`` in the worker's thread, and the others in any thread."""

    topic: str
    needs_depth: bool

    @property
    def has_subscribers(self) -> bool:
        """Whether ``publish`` has any effect."""

    @property
    def keeps_active(self) -> bool:
        """Whether images should be processed for this output."""

    def publish(self, result: ImageResult) -> None:
        """Publish the people of an image."""

    def clear(self, timeout: Duration | None = None) -> None:
        """Tell subscribers that remember people that there are none. Repeated calls have no effect.

        Args:
            timeout: Longest wait until they have received it. None = do not wait.
        """


class TopicOutput:
    """An output of one topic, with one message for each image.

    Attributes:
        topic: Resolved name of the topic.
        needs_depth: Whether it is empty while the distance of people is unknown.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        make: Callable[[ImageResult], Any | None],
        *,
        needs_depth: bool = True,
        depth: int = 10,
        can_keep_active: bool = True,
    ) -> None:
        """Create the publisher.

        Args:
            node: Node that publishes.
            kind: Type of the messages.
            topic: Name of the topic. Remapping is applied.
            make: Function that makes the message of an image. None = publish nothing for this image.
            needs_depth: Whether the messages are empty while the distance of people is unknown.
            depth: Messages that are kept for slow subscribers.
            can_keep_active: Whether images are processed while only this output has a subscriber.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._publisher = create_publisher(node, kind, topic, depth)
        self.topic = self._publisher.topic_name
        self.needs_depth = needs_depth
        self._make, self._can_keep_active = make, can_keep_active

    @property
    def has_subscribers(self) -> bool:
        """Whether the topic has a subscriber."""
        return has_subscribers(self._publisher)

    @property
    def keeps_active(self) -> bool:
        """Whether images should be processed for this output."""
        return self._can_keep_active and self.has_subscribers

    def publish(self, result: ImageResult) -> None:
        """Publish the message of an image."""
        message = self._make(result)
        if message is not None:
            self._publisher.publish(message)

    def clear(self, timeout: Duration | None = None) -> None:
        """Do nothing: subscribers forget people by the stamp of the last message."""


class StandardOutputs:
    """All standard outputs of one camera. Call ``publish`` in the worker's thread."""

    def __init__(self, node: Node, camera: str, config: NodeConfig) -> None:
        """Create the outputs that are enabled. Log those that cannot be created.

        Args:
            node: Node that publishes.
            camera: Name of the camera. Empty for a single camera.
            config: Settings of the node.

        Raises:
            RuntimeError: If a QoS override is invalid.
            ParameterException: The same.
        """
        self._node = node
        self._outputs: list[Output] = []
        self._warned: set[str] = set()
        self._reported_s: dict[str, float] = {}
        for kind in KINDS:
            parameter = kind.enabled_by(config)
            if not parameter:
                continue
            try:
                self._outputs += kind.create(node, camera, config)
            except (RuntimeError, ParameterException):  # an invalid QoS override
                raise
            except Exception as error:  # a broken package raises many types, see rosidl_generator_py
                node.get_logger().error(printable(_describe_missing(parameter, kind.package, error)))
            if kind.needs_ids and not config.tracking.enabled:
                self._warn_once(f"outputs.{parameter}: stays empty without ids; set tracking.enabled to true")

    @property
    def keeps_active(self) -> bool:
        """Whether images should be processed for one of the outputs."""
        return any(output.keeps_active for output in self._outputs)

    def publish(self, result: ImageResult) -> None:
        """Publish the people of an image on each output that has a subscriber. A failure of one stops no other."""
        for output in self._outputs:
            if not output.has_subscribers:
                continue
            people = result.estimate.people
            if output.needs_depth and len(people) and people.positions_3d is None:
                self._warn_once(f"{output.topic}: has no people, because their distance is unknown without depth")
            try:
                output.publish(result)
            except Exception as error:  # another version of the package may have other fields
                self._log_error(output.topic, f"could not publish the people of an image: {describe_error(error)}")

    def clear(self, timeout: Duration | None = None) -> None:
        """Clear each output, see ``Output.clear``."""
        for output in self._outputs:
            output.clear(timeout)

    def _log_error(self, topic: str, text: str) -> None:
        """Log an error of a topic, at most once per ``ERROR_PERIOD_S``."""
        now_s = time.monotonic()
        if now_s - self._reported_s.get(topic, -ERROR_PERIOD_S) >= ERROR_PERIOD_S and self._node.context.ok():
            self._reported_s[topic] = now_s
            self._node.get_logger().error(printable(f"{topic}: {text}"))

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._node.get_logger().warning(printable(text))


@dataclass(frozen=True)
class OutputKind:
    """One package of messages.

    Attributes:
        parameters: Names of the parameters ``outputs.<name>`` that enable it.
        package: Package of the messages.
        create: Creates the outputs of a camera. Raises ImportError if the package is missing.
        needs_ids: Whether people without an id are left out.
    """

    parameters: tuple[str, ...]
    package: str
    create: Callable[[Node, str, NodeConfig], Sequence[Output]]
    needs_ids: bool = True

    def enabled_by(self, config: NodeConfig) -> str:
        """Return the first parameter that enables it. Empty = not enabled."""
        return next((name for name in self.parameters if getattr(config.outputs, name)), "")


def _create_pose_array(node: Node, camera: str, config: NodeConfig) -> list[Output]:
    from geometry_msgs.msg import PoseArray

    from pose_ros.ros.messages.body_poses import pose_array

    def make(result: ImageResult) -> PoseArray:
        return pose_array(result.estimate.people, result.skeleton, result.header_3d)

    return [TopicOutput(node, PoseArray, _private(camera, "pose_array"), make)]


def _create_detections(node: Node, camera: str, config: NodeConfig) -> list[Output]:
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    from pose_ros.ros.messages.detections import detections_2d, detections_3d

    def make_2d(result: ImageResult) -> Detection2DArray:
        return detections_2d(result.estimate.people, result.header)

    def make_3d(result: ImageResult) -> Detection3DArray:
        return detections_3d(result.estimate.people, result.header_3d)

    return [
        TopicOutput(node, Detection2DArray, _private(camera, "detections_2d"), make_2d, needs_depth=False),
        TopicOutput(node, Detection3DArray, _private(camera, "detections_3d"), make_3d),
    ]


def _create_social_people(node: Node, camera: str, config: NodeConfig) -> list[Output]:
    from people_msgs.msg import People as SocialPeople

    from pose_ros.ros.messages.social_people import social_people

    def make(result: ImageResult) -> SocialPeople:
        return social_people(result.estimate.people, result.header_3d)

    return [TopicOutput(node, SocialPeople, _private(camera, "people"), make)]


def _create_bodies(node: Node, camera: str, config: NodeConfig) -> list[Output]:
    from pose_ros.ros.node.bodies import BodyPublishers

    return [BodyPublishers(node, camera, config.outputs.hri_prefix)]


def _create_transforms(node: Node, camera: str, config: NodeConfig) -> list[Output]:
    from tf2_msgs.msg import TFMessage

    from pose_ros.ros.messages.body_poses import body_transforms

    def make(result: ImageResult) -> TFMessage | None:
        if not result.header_3d.frame_id:
            raise ValueError("frame_id of the image: expected the frame of the camera, got an empty name")
        transforms = body_transforms(result.estimate.people, result.skeleton, result.header_3d, camera)
        return TFMessage(transforms=transforms) if transforms else None

    return [TopicOutput(node, TFMessage, "/tf", make, depth=TF_DEPTH, can_keep_active=config.outputs.tf)]


KINDS = (
    OutputKind(("pose_array",), "geometry_msgs", _create_pose_array, needs_ids=False),
    OutputKind(("vision_msgs",), "vision_msgs", _create_detections, needs_ids=False),
    OutputKind(("people_msgs",), "people_msgs", _create_social_people),
    OutputKind(("hri",), "hri_msgs", _create_bodies),
    OutputKind(("tf", "hri"), "tf2_msgs", _create_transforms),
)
"""All packages, in the order in which they publish: the list of bodies comes before their frames."""


def _private(camera: str, topic: str) -> str:
    return f"~/{camera}/{topic}" if camera else f"~/{topic}"


def _describe_missing(parameter: str, package: str, error: Exception) -> str:
    is_missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
    found = "which is not installed" if is_missing else f"which cannot be used: {describe_error(error)}"
    distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
    command = f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
    return f"outputs.{parameter}: expected the package {package}, {found}; {command}"
