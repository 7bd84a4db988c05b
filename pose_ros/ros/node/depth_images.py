"""Receive the depth images of one camera, and find the one that belongs to a colour image."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from pose_ros.arrays import FloatArray
from pose_ros.config import DepthConfig
from pose_ros.depth.pairing import DepthPairing
from pose_ros.media.depth_images import decode_depth
from pose_ros.media.image_messages import stamp_ns
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.image_subscription import ImageSubscription
from pose_ros.ros.node.throttled_warning import ThrottledWarning
from pose_ros.ros.parameters.live import LiveSettings

COMPRESSED = "compressedDepth"
MAX_WAIT_S = 1.0
"""Longest wait for a depth image, also if ``depth.wait_ms`` is longer. The node closes only after it."""
GIVE_UP_S = 1.0
"""Time without further waiting, after a wait that was in vain."""


class DepthImages:
    """Subscription to the depth images of one camera.

    ``update`` and the callback run in the executor's thread, all else in the worker's thread.

    Attributes:
        topic: Resolved name of the topic.
    """

    def __init__(self, node: Node, prefix: str, settings: LiveSettings) -> None:
        """Declare the QoS of the subscription. ``update`` subscribes.

        Args:
            node: Node that subscribes.
            prefix: Prefix of the topic: ``""``, or ``"front/"`` for ``front/depth/image``.
            settings: Settings of the node.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        is_compressed = settings.config.depth.transport == COMPRESSED
        name = f"{prefix}depth/image"
        name = f"{node.resolve_topic_name(name)}/{COMPRESSED}" if is_compressed else name
        self.topic = str(node.resolve_topic_name(name))
        kind = CompressedImage if is_compressed else Image
        self._settings = settings
        self._images = ImageSubscription(node, kind, name, self._receive, lambda _: None)
        self._arrived = threading.Condition()
        self._used = DepthConfig()
        self._pairing: DepthPairing[None, Any] = DepthPairing(self._used)
        self._has_images = False
        self._subscribed_s = self._no_wait_until_s = -GIVE_UP_S
        self._warn_unpaired, self._warn_missing, self._warn_broken = (ThrottledWarning(node) for _ in range(3))

    def update(self, needed: bool) -> None:
        """Subscribe if depth images are needed, and unsubscribe if not.

        Raises:
            ParameterException: If a QoS override is invalid.
            RuntimeError: The same.
        """
        was_subscribed = self._images.reliability is not None
        self._images.update(needed)
        if needed and not was_subscribed:
            self._subscribed_s = time.monotonic()
        with self._arrived:
            if needed != was_subscribed or (needed and self._settings.config.depth != self._used):
                self._used = self._settings.config.depth
                self._pairing, self._has_images = DepthPairing(self._used), False
                self._arrived.notify_all()  # nothing more will come here

    def find_later(self, colour_ns: int) -> Callable[[], FloatArray | None] | None:
        """Return a function that returns the depth image of a colour image, see ``CameraImage.depth``.

        Args:
            colour_ns: Stamp of the colour image, ns.
        """
        if not self._settings.config.depth.enabled:
            return None
        if self._has_images:
            return partial(self._find, colour_ns)
        if not self._settings.config.depth.monocular and time.monotonic() - self._subscribed_s > GIVE_UP_S:
            self._warn_missing(
                f"{self.topic}: expected depth images that are registered to the colour images, got none; remap "
                "'depth/image' to their topic, or set depth.enabled to false"
            )
        return None

    def report_error(self, error: Exception) -> None:
        """Log why a depth image could not be used. At most one line per period."""
        self._warn_broken(f"{self.topic}: cannot use a depth image: {describe_error(error)}")

    def _receive(self, message: Image | CompressedImage) -> None:
        with self._arrived:
            self._pairing.add_depth(stamp_ns(message.header), message)
            self._has_images = True
            self._arrived.notify_all()

    def _find(self, colour_ns: int) -> FloatArray | None:
        with self._arrived:
            pairing, now_s = self._pairing, time.monotonic()
            wait_s = 0.0 if now_s < self._no_wait_until_s else min(self._used.wait_ms / 1e3, MAX_WAIT_S)
            is_final = self._arrived.wait_for(
                lambda: pairing.is_final(colour_ns) or pairing is not self._pairing, wait_s
            )
            if not is_final and wait_s:
                self._no_wait_until_s = time.monotonic() + GIVE_UP_S
        found = pairing.find_depth(colour_ns)
        if found is None:
            self._warn_unpaired(
                f"{self.topic}: expected a depth image within {self._used.tolerance_ms:g} ms of the colour image, got "
                "none; synchronise the camera, or raise depth.tolerance_ms"
            )
            return None
        return decode_depth(found.image)
