"""End a launch with an exit code."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import OpaqueFunction, Shutdown


def end_launch(name: str, reason: str = "") -> OpaqueFunction:
    """Make the ``on_exit`` action of a process without which the launch has no purpose.

    If the process fails, the launch ends with exit code 1.

    Args:
        name: Name of the process, for the error.
        reason: Reason to end the launch also if the process succeeds. Empty = the launch continues then.
    """

    def end(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        code = context.locals.event.returncode
        if code and not context.is_shutdown:
            # An exception is the only way to give `ros2 launch` an exit code other than 0
            raise RuntimeError(f"{name}: expected exit code 0, got {code}; its error is above")
        return [Shutdown(reason=reason)] if reason and not context.is_shutdown else []

    return OpaqueFunction(function=end)
