"""Create the ROS node of a command-line command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_NO_LOG_FOLDER = re.compile(r"failed to initialize logging: .*?'([^']*)'")
_UNREADABLE = re.compile(r"(?:Couldn't parse [^:]*: |^\[)'([^']*)'")
"""The errors of rclpy for arguments, with the argument. Those for unknown arguments are a list of them."""


def add_log_advice(text: str) -> str:
    """Shorten the error of ``rclpy.init`` for a log folder that cannot be written, and add what to do."""
    found = _NO_LOG_FOLDER.search(text)
    return text if found is None else f"log: expected a folder that takes files, got {found[1]}; set ROS_LOG_DIR to one"


@contextmanager
def command_node(name: str, ros_args: Sequence[str]) -> Iterator[Node]:
    """Create a node and keep Python's signal handling: an interrupt raises KeyboardInterrupt.

    Args:
        name: Name of the node.
        ros_args: ROS arguments, such as ``["--ros-args", "-r", "image:=camera/image"]``.

    Raises:
        ValueError: If ROS cannot read the arguments.
    """
    try:
        rclpy.init(args=[name, *ros_args], signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        rule = _UNREADABLE.search(str(error))
        if rule is None:
            raise RuntimeError(add_log_advice(str(error))) from error
        raise ValueError(
            f"ROS arguments: expected ROS arguments, got {rule[1]}; write -- --ros-args -r image:=camera/image"
        ) from error
    try:
        yield rclpy.create_node(name)
    finally:
        rclpy.try_shutdown()
