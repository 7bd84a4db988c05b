"""Heartbeat for the lifecycle manager of Nav2, which calls it a bond."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

TOPIC = "bond"  # as in nav2_util::LifecycleNode


class ManagerBond:
    """Bond with ``nav2_lifecycle_manager``, between ``activate`` and ``deactivate``.

    The manager brings the system down when the heartbeat stops, and reports when it never starts. Without the package
    ``bondpy`` there is no bond. Then the manager needs ``bond_timeout: 0.0``.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bond: Any = None

    def start(self) -> None:
        """Start the heartbeat."""
        try:
            from bondpy.bondpy import Bond
        except ImportError:
            self._node.get_logger().info(
                "bond: bondpy is not installed; if a Nav2 lifecycle manager waits for a bond, install "
                "ros-$ROS_DISTRO-bondpy, or set its parameter bond_timeout to 0.0"
            )
            return
        self.stop()
        self._bond = Bond(self._node, TOPIC, self._node.get_name())
        self._bond.start()

    def stop(self) -> None:
        """End the heartbeat, and tell the manager that this is intended."""
        bond, self._bond = self._bond, None
        if bond is not None:
            bond.shutdown()
