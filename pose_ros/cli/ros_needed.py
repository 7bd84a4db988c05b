"""Error message of commands that need ROS 2."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROS = (
    "{}: expected a ROS 2 environment, got none ({}); source it first: . /opt/ros/<distro>/setup.sh, "
    "or in a clone of this package: make setup, then . .venv/ros.sh"
)
NO_MESSAGES = (
    "{}: expected the messages of pose_ros, got an installation by pip without them ({}); build this package in a "
    "ROS 2 workspace: colcon build --packages-select pose_ros, then source install/setup.bash"
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
        is_own = (error.name or "").startswith("pose_ros.")
        raise ImportError((NO_MESSAGES if is_own else NO_ROS).format(command, error)) from error
