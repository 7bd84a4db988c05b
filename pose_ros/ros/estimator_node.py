"""The node: images in, people out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.msg import PersonPoseArray
from pose_ros.overlay import draw
from pose_ros.ros.conversions import (
    Picture,
    image_from_message,
    image_to_message,
    latency_ms,
    people_to_message,
    to_bgr,
)
from pose_ros.ros.latest import LatestSlot
from pose_ros.ros.parameters import NodeConfig, declare_parameters

ERROR_PERIOD_S = 5.0
LAST_ANSWER_TIMEOUT = Duration(seconds=0.5)
Load = Callable[[NodeConfig], PoseEstimator]


def load_estimator(config: NodeConfig) -> PoseEstimator:
    """Load the estimator that the parameters ask for."""
    return PoseEstimator.load(config.model or None, grouping=config.grouping or None, config=config.estimator)


class PoseEstimatorNode(Node):
    """Publishes the people of the newest image; images that arrive meanwhile are dropped and counted.

    The executor's thread only receives. One worker thread loads the model, then converts, estimates and publishes; so
    a runtime that is bound to its thread is. The node subscribes when it is ready: whoever is matched is served.

    Attributes:
        config: The parameters.
        failed: Set when the model cannot be loaded.
    """

    def __init__(self, load: Load = load_estimator, **node_options: Any) -> None:
        """Declare, advertise, and start to load.

        Args:
            load: Makes the estimator; runs in the worker thread.
            node_options: For ``rclpy.node.Node``.

        Raises:
            ValueError: If a parameter is not valid.
        """
        super().__init__("pose_estimator", **node_options)
        self.config = declare_parameters(self)
        self.failed = threading.Event()
        overridable = QoSOverridingOptions.with_default_policies()
        self._poses = self.create_publisher(
            PersonPoseArray, "~/poses", QoSProfile(depth=10), qos_overriding_options=overridable
        )
        self._overlay = self.create_publisher(
            Image, "~/overlay", QoSProfile(depth=1), qos_overriding_options=overridable
        )
        self._slot: LatestSlot[Image] = LatestSlot()
        self._dropped = 0
        self._loaded = self.create_guard_condition(self._subscribe)
        self._worker = threading.Thread(target=self._work, args=(load,), name="pose_worker", daemon=True)
        self._worker.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """Stop the worker after the image in hand.

        Returns:
            Whether it stopped in time.
        """
        self._slot.close()
        self._worker.join(timeout_s)
        if self._worker.is_alive():
            return False
        if self.context.ok():
            self._poses.wait_for_all_acked(LAST_ANSWER_TIMEOUT)  # else the last answer dies with the publisher
        return True

    def destroy_node(self) -> None:
        """Stop the worker and take the node off the graph."""
        self.close()
        super().destroy_node()

    def _subscribe(self) -> None:
        overridable = QoSOverridingOptions.with_default_policies()
        subscription = self.create_subscription(
            Image, "image", self._slot.put, qos_profile_sensor_data, qos_overriding_options=overridable
        )
        self.get_logger().info(f"ready: waiting for images on {subscription.topic_name}")

    def _work(self, load: Load) -> None:
        estimator = self._load(load)
        if estimator is None:
            return
        self._loaded.trigger()
        while (taken := self._slot.take()) is not None:
            message, dropped = taken
            self._dropped += dropped
            self._process(estimator, message)
        estimator.close()

    def _load(self, load: Load) -> PoseEstimator | None:
        model = self.config.model or "of this package"
        self.get_logger().info(f"loading the model {model}")
        try:
            estimator = load(self.config)
        except Exception as error:  # whatever is wrong with a model file or a runtime: say it and end
            self.get_logger().fatal(f"the model {model} cannot be loaded: {_described(error)}")
            self.failed.set()
            return None
        self.get_logger().info(f"loaded {estimator.model_name}: {estimator.runner.description}")
        return estimator

    def _process(self, estimator: PoseEstimator, message: Image) -> None:
        """Answer one image. No image ends the node: it is reported instead."""
        try:
            image, colour = image_from_message(message)
            estimate = estimator.process(image, colour)
            self._publish_poses(estimator, estimate, message)
            if self._overlay.get_subscription_count() > 0:
                self._publish_overlay(estimator, estimate, to_bgr(image, colour), message)
        except Exception as error:
            self._report(message, error)

    def _publish_poses(self, estimator: PoseEstimator, estimate: Estimate, source: Image) -> None:
        names, size_wh = estimator.skeleton.keypoint_names, (source.width, source.height)
        message = people_to_message(estimate.people, names, source.header, size_wh, estimator.model_name)
        message.preprocess_ms = estimate.preprocess_ms
        message.network_ms = estimate.network_ms
        message.decode_ms = estimate.decode_ms
        message.dropped, self._dropped = self._dropped, 0
        message.latency_ms = latency_ms(source.header, self.get_clock().now().nanoseconds)
        self._poses.publish(message)

    def _publish_overlay(self, estimator: PoseEstimator, estimate: Estimate, image: Picture, source: Image) -> None:
        drawn = draw(image, estimate.people, estimator.skeleton, self.config.overlay)
        self._overlay.publish(image_to_message(drawn, source.header))

    def _report(self, message: Image, error: Exception) -> None:
        if not self.context.ok():
            return  # shut down while the image was in hand: nobody listens any more
        topic = self.resolve_topic_name("image")
        image = f"{message.encoding} {message.width} x {message.height}"
        self.get_logger().error(
            f"skipped an image ({image}) of {topic}: {_described(error)}", throttle_duration_sec=ERROR_PERIOD_S
        )


def _described(error: Exception) -> str:
    """The library's own errors say what is wrong; of others the kind matters too."""
    return str(error) if isinstance(error, (ValueError, FileNotFoundError)) else f"{type(error).__name__}: {error}"
