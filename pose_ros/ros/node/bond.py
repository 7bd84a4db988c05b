"""Heartbeat for the lifecycle manager of Nav2, which calls it a bond."""

from __future__ import annotations

import threading
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

TOPIC = "bond"  # as in nav2_util::LifecycleNode
NOT_INSTALLED = (
    "bond: bondpy is not installed; if a Nav2 lifecycle manager waits for a bond, install ros-$ROS_DISTRO-bondpy, or "
    "set its parameter bond_timeout to 0.0"
)


class ManagerBond:
    """Bond with ``nav2_lifecycle_manager``, between ``activate`` and ``deactivate``.

    The manager brings the system down when the heartbeat stops, and reports when it never starts. Without the package
    ``bondpy`` there is no bond.
    """

    def __init__(self, node: Node) -> None:
        """Prepare a bond with the name and namespace of a node."""
        self._node = node
        self._stop: Any = None

    def start(self) -> None:
        """Start the heartbeat."""
        try:
            from bondpy.bondpy import Bond
        except ImportError:
            self._node.get_logger().info(NOT_INSTALLED, once=True)
            return
        self.stop()
        # bondpy destroys its subscription behind the back of its node, so it gets one of its own
        context, name = self._node.context, self._node.get_name()
        options = {"use_global_arguments": False, "start_parameter_services": False}
        own = rclpy.create_node(f"{name}_bond", namespace=self._node.get_namespace(), context=context, **options)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(own)
        bond = Bond(own, TOPIC, name)
        bond.start()
        thread = threading.Thread(target=_spin, args=[executor], name="pose_bond", daemon=True)
        thread.start()

        def stop() -> None:
            executor.shutdown()
            thread.join()
            bond.shutdown()
            own.destroy_node()

        self._stop = stop

    def stop(self) -> None:
        """End the heartbeat, and tell the manager that this is intended."""
        stop, self._stop = self._stop, None
        if stop is not None and self._node.context.ok():
            stop()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return
