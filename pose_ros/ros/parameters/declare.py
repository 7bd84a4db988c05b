"""Declare the ROS parameters with the names, defaults, ranges and descriptions of the settings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import reduce
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.node import Node

from pose_ros.config_file import build_config
from pose_ros.ros.parameters.config import NEEDS_CONFIGURE, NEEDS_RESTART, NodeConfig
from pose_ros.ros.parameters.retyped import explain_type, restore_type
from pose_ros.texts import printable

MAX_INTEGER = 2**63 - 1
MAX_FLOAT = 1.7e308


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Name with its stage, e.g. ``"decoder.score_threshold"``.
        default: Default value. Its type is the type of the parameter.
        help: Description, one line.
        unit: Unit of the value. Empty = no unit.
        low: Smallest value. None = no limit.
        high: Largest value. None = no limit.
        choices: Allowed values. Empty = any value.
        words: Words that may be given instead of a number, and their numbers.
    """

    name: str
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    words: Mapping[str, int]

    @property
    def changes(self) -> str:
        """When a new value takes effect: at once (``"live"``), at the next ``"configure"``, or at a ``"restart"``."""
        names = {self.name, self.name.partition(".")[0]}
        return "restart" if names & {*NEEDS_RESTART} else "configure" if names & {*NEEDS_CONFIGURE} else "live"

    @property
    def allowed(self) -> str:
        """Range or choices as text. Empty = any value."""
        if self.choices:
            return ", ".join(choice or '""' for choice in self.choices)
        if self.low is None:
            return ""
        return f"{self.low} to {self.high}" if self.high is not None else f"{self.low} or more"

    def descriptor(self) -> ParameterDescriptor:
        """Make the descriptor that ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f"{self.help} [{self.unit}]" if self.unit else self.help,
            read_only=self.changes == "restart",
            additional_constraints=f"one of {self.allowed}" if self.choices else "",
        )
        if isinstance(self.default, float) and self.low is not None:
            top = MAX_FLOAT if self.high is None else self.high
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(self.low), to_value=float(top))]
        elif self.low is not None:
            last = MAX_INTEGER if self.high is None else self.high
            descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(last))]
        return descriptor


def parameters() -> tuple[Parameter, ...]:
    """Return every parameter, in the order of the settings."""
    return tuple(_flatten(NodeConfig))


def declare_parameters(node: Node) -> NodeConfig:
    """Declare every parameter on a node, and return the values.

    A value that was given under a former name is used. A warning names the new name.

    Raises:
        ValueError: If a value has the wrong type, is out of range, or contradicts another one.
    """
    values = {parameter.name: _declare(node, parameter) for parameter in parameters()}
    defaults = {parameter.name: parameter.default for parameter in parameters()}
    for old, new in FORMER_NAMES.items():
        given = _take_value(node, old)
        if given is not None:
            values[old] = given
            if values[new] == defaults[new]:
                del values[new]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            config = config_of(values)
    except TypeError as error:
        raise ValueError(f"parameter {error}") from error
    for warning in caught:
        node.get_logger().warning(printable(f"parameter {warning.message}"))
    return config


def config_of(values: Mapping[str, Any]) -> NodeConfig:
    """Make the settings from values by parameter name. A missing parameter has its default.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of range, or contradicts another one.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *stages, entry = name.split(".")
        reduce(lambda level, stage: level.setdefault(stage, {}), stages, nested)[entry] = value
    return build_config(NodeConfig, nested)


def values_of(config: NodeConfig) -> dict[str, Any]:
    """Return the value of every parameter, by name."""
    values = {}
    for parameter in parameters():
        value: Any = config
        for name in parameter.name.split("."):
            value = getattr(value, name)
        values[parameter.name] = value
    return values


def _declare(node: Node, parameter: Parameter) -> Any:
    name, default, advice = parameter.name, parameter.default, ""
    try:
        try:
            return node.declare_parameter(name, default, parameter.descriptor()).value
        except InvalidParameterTypeException:
            given = _take_value(node, name)
            value = restore_type(given, default, parameter.choices, parameter.words)
            advice = explain_type(given, default)
            if type(value) is not type(default):
                raise
            return node.declare_parameter(name, value, parameter.descriptor(), ignore_override=True).value
    except ParameterException as error:
        kind = type(default).__name__
        expected = f"{kind} ({parameter.allowed})" if parameter.allowed else kind
        raise ValueError(f"parameter {name}: expected {expected}, got: {error}{advice}") from error


def _take_value(node: Node, former_name: str) -> Any:
    """Return the value given for a former name, None if there is none.

    The name does not stay declared. An unset parameter would be in every file of `ros2 param dump`.
    """
    value = node.declare_parameter(former_name, None, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(former_name)
    return value


def _stage_class(entry: Field[Any]) -> Any | None:
    """Return the class of a nested settings object, None for a single setting."""
    return None if entry.default_factory is MISSING else entry.default_factory


def _flatten(kind: Any, prefix: str = "") -> Iterator[Parameter]:
    for entry in fields(kind):
        name = prefix + entry.name
        if stage := _stage_class(entry):
            yield from _flatten(stage, f"{name}.")
        else:
            default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            yield Parameter(name, default, **entry.metadata)


def _find_former_names(kind: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    yield from ((f"{prefix}{old}", f"{prefix}{new}") for old, new in getattr(kind, "RENAMED", {}).items())
    for entry in fields(kind):
        if stage := _stage_class(entry):
            yield from _find_former_names(stage, f"{prefix}{entry.name}.")


FORMER_NAMES = dict(_find_former_names(NodeConfig))
"""Current name of each renamed parameter, by its former name."""
