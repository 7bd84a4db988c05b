"""What the commands that need ROS say where there is none."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROS = (
    "{}: expected a ROS 2 environment, got none ({}); source it first: . /opt/ros/<distro>/setup.sh, "
    "or in a clone of this package: make setup, then . .venv/ros.sh"
)


@contextmanager
def ros_needed(command: str) -> Iterator[None]:
    """For imports of ``pose_ros.ros``.

    Raises:
        ImportError: If one fails; it says what to do.
    """
    try:
        importlib.import_module("rclpy")  # first, so that the reason told is ROS itself
        yield
    except ImportError as error:
        raise ImportError(NO_ROS.format(command, error)) from error
