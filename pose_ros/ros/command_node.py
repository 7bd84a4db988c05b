"""The node of a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


@contextmanager
def command_node(name: str, ros_args: Sequence[str]) -> Iterator[Node]:
    """A node in a process that keeps Python's signal handling: an interrupt is a KeyboardInterrupt.

    Args:
        name: Of the node.
        ros_args: Such as ``["--ros-args", "-r", "image:=camera/image"]``.
    """
    rclpy.init(args=[name, *ros_args], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield rclpy.create_node(name)
    finally:
        rclpy.try_shutdown()
