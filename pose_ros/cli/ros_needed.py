"""Error message of commands that need ROS 2."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROS = (
    "{}: expected a ROS 2 environment, got none ({}); source it first: . /opt/ros/<distro>/setup.sh, "
    "or in a clone of this package: make setup, then . .venv/ros.sh"
)


@contextmanager
def require_ros(command: str) -> Iterator[None]:
    """Explain a failed import of ``pose_ros.ros`` in a ``with`` block.

    Raises:
        ImportError: If an import fails. The message explains the fix.
    """
    try:
        importlib.import_module("rclpy")  # first, so that the error names ROS itself
        yield
    except ImportError as error:
        raise ImportError(NO_ROS.format(command, error)) from error
