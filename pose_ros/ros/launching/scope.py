"""Separate the arguments of our launch files from those of the files around them.

A launch file sees every argument of the files that include it, and of the files that were included before. So a second
robot would get the topic of the first, and ``model`` may be the URDF of the robot.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    PopLaunchConfigurations,
    PushLaunchConfigurations,
)
from launch.logging import get_logger
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

INHERITED = ("use_sim_time", "log_level")
"""Arguments with the same meaning in every launch file. They apply also without being passed on."""
SWITCH = ("true", "false", "True", "False")
"""Values of a switch. Launch files in Python often pass ``True``."""
ArgumentTable = dict[str, tuple[Any, str, Sequence[str] | None]]
"""By name: default (None = required), description, choices (None = any)."""


def is_true(value: str) -> bool:
    """Return whether a switch is on."""
    return value.lower() == "true"


def describe_launch(arguments: ArgumentTable, start: OpaqueFunction) -> LaunchDescription:
    """Make a launch description whose arguments are visible in this description alone.

    Args:
        arguments: The arguments.
        start: Makes the actions. It sees the arguments that were given to this file.
    """
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in arguments.items()
    ]
    forget = OpaqueFunction(function=forget_inherited, args=[arguments])
    return LaunchDescription([PushLaunchConfigurations(), forget, *declarations, start, PopLaunchConfigurations()])


def forget_inherited(context: LaunchContext, names: Iterable[str]) -> None:
    """Remove arguments that other launch files have set, and that were not passed to this one."""
    given = find_given_arguments(context)
    if given is None:
        return
    for name in names:
        if name in context.launch_configurations and name not in given and name not in INHERITED:
            value = context.launch_configurations.pop(name)
            get_logger("pose_ros").info(
                f"{name}: ignored {value!r} of another launch file; to use it, pass {name} to the include"
            )


def select_arguments(context: LaunchContext, declared: Collection[str]) -> dict[str, str]:
    """Return the values of the declared arguments, and of all others that were given to this launch file."""
    given = find_given_arguments(context)
    return {
        name: value
        for name, value in context.launch_configurations.items()
        if given is None or name in declared or name in given
    }


def report_unknown(context: LaunchContext, known: Collection[str]) -> None:
    """Warn about given arguments that nothing reads, with the nearest known name."""
    for name in sorted((find_given_arguments(context) or set()) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; --show-args lists all"
        get_logger("pose_ros").warning(f"{name}: expected an argument of this launch file, got an unknown name{hint}")


def find_given_arguments(context: LaunchContext) -> set[str] | None:
    """Return the names of the arguments passed to the launch file that starts now. None = it was not included."""
    includes = find_includes()
    if not includes:
        return None
    names = [normalize_to_list_of_substitutions(name) for name, _ in includes[0].launch_arguments]
    return {perform_substitutions(context, name) for name in names}


def is_included() -> bool:
    """Return whether the launch file that starts now is included by another one. ``ros2 launch`` counts as none."""
    return len(find_includes()) > 1


def find_includes() -> list[IncludeLaunchDescription]:
    """Find the include actions that lead to the current action, the innermost first.

    launch visits the entities recursively, and does not tell an action who included it. The callers do.
    """
    includes: list[IncludeLaunchDescription] = []
    frame = inspect.currentframe()
    while frame:
        entity: LaunchDescriptionEntity | None = frame.f_locals.get("entity")
        if isinstance(entity, IncludeLaunchDescription):
            includes.append(entity)
        frame = frame.f_back
    return includes
