"""Create the ROS node of a command-line command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


@contextmanager
def command_node(name: str, ros_args: Sequence[str]) -> Iterator[Node]:
    """Create a node and keep Python's signal handling: an interrupt raises KeyboardInterrupt.

    Args:
        name: Name of the node.
        ros_args: ROS arguments, such as ``["--ros-args", "-r", "image:=camera/image"]``.
    """
    rclpy.init(args=[name, *ros_args], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield rclpy.create_node(name)
    finally:
        rclpy.try_shutdown()
