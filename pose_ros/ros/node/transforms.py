"""Find the transform from a camera to another frame at the stamp of an image, with tf2_ros if it is installed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from pose_ros.arrays import DoubleArray
from pose_ros.ros.node.throttled_warning import ThrottledWarning

_POLL_S = 0.005
_GIVE_UP_S = 1.0


class FrameTransforms:
    """Transforms of the node. It listens to ``/tf`` only while a frame is requested.

    ``update`` runs in the executor's thread, ``find`` in the worker's thread.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._warn = node, ThrottledWarning(node)
        self._buffer: Any = None
        self._listener: Any = None
        self._no_wait_until_s = -_GIVE_UP_S

    def update(self, needed: bool) -> None:
        """Listen to transforms if they are needed, and stop if not."""
        if needed == (self._buffer is not None):
            return
        if not needed:
            self._listener.unregister()
            self._buffer = self._listener = None
            return
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            self._warn(
                f"depth.target_frame: expected tf2_ros to be installed, got: {error}; install the package tf2_ros, or "
                "set depth.target_frame to an empty text; points in metres stay unknown"
            )
            return
        buffer = Buffer(node=self._node)
        self._listener, self._buffer = TransformListener(buffer, self._node), buffer

    def find(self, target: str, header: Header, wait_s: float) -> DoubleArray | None:
        """Return the (4, 4) transform from the frame of an image to another one at its stamp. None = unknown.

        Args:
            target: Frame of the result.
            header: Header of the image.
            wait_s: Longest wait for the transform, s.
        """
        if header.frame_id == target:
            return np.eye(4)
        buffer = self._buffer
        if buffer is None:  # a warning says why
            return None
        if not (header.stamp.sec or header.stamp.nanosec):
            self._warn("depth.target_frame: expected images with stamps, got stamp 0; points in metres stay unknown")
            return None
        try:
            return _to_matrix(self._look_up(buffer, target, header, wait_s))
        except Exception as error:  # tf2 has many types
            self._no_wait_until_s = time.monotonic() + _GIVE_UP_S
            self._warn(
                f"depth.target_frame: expected a transform from {header.frame_id!r} to {target!r} at the stamp of the "
                f"image, got: {error}; points in metres stay unknown"
            )
            return None

    def _look_up(self, buffer: Any, target: str, header: Header, wait_s: float) -> Any:
        from rclpy.time import Time

        stamp, source, now_s = Time.from_msg(header.stamp), header.frame_id, time.monotonic()
        end_s = now_s if now_s < self._no_wait_until_s else now_s + wait_s
        while not buffer.can_transform(target, source, stamp) and time.monotonic() < end_s:
            time.sleep(_POLL_S)  # the wait of tf2 itself never ends if the simulated clock stands still
        return buffer.lookup_transform(target, source, stamp).transform


def _to_matrix(transform: Any) -> DoubleArray:
    """Return the (4, 4) matrix of a ``geometry_msgs/Transform``."""
    q, t = transform.rotation, transform.translation
    w, x, y, z = np.array([q.w, q.x, q.y, q.z]) / np.linalg.norm([q.w, q.x, q.y, q.z])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), t.x],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), t.y],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), t.z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
