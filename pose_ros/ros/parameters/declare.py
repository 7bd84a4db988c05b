"""The parameters of the node, made from the settings of the library: same names, defaults, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import reduce
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.node import Node

from pose_ros.config_file import build_config
from pose_ros.ros.parameters.config import FIXED, IN_USE, NodeConfig

LARGEST_INTEGER = 2**63 - 1
LARGEST_FLOAT = 1.7e308


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: With its stage, e.g. ``"decoder.score_threshold"``.
        default: Its default; its type is the type of the parameter.
        help: What it does, in one sentence.
        unit: Unit of its value, or empty.
        low: Smallest value, if there is one.
        high: Largest value, if there is one.
        choices: The only values, if they are few.
    """

    name: str
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]

    @property
    def changes(self) -> str:
        """When a new value counts: ``"live"``: at once; ``"configure"``: then; ``"restart"``: in no running node."""
        stage = self.name.partition(".")[0]
        return "restart" if stage in FIXED else "configure" if stage in IN_USE else "live"

    @property
    def allowed(self) -> str:
        """Range or choices in words; empty where anything goes."""
        if self.choices:
            return ", ".join(choice or '""' for choice in self.choices)
        if self.low is None:
            return ""
        return f"{self.low} to {self.high}" if self.high is not None else f"{self.low} or more"

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f"{self.help} [{self.unit}]" if self.unit else self.help,
            read_only=self.changes == "restart",
            additional_constraints=f"one of {self.allowed}" if self.choices else "",
        )
        if isinstance(self.default, float) and self.low is not None:
            top = LARGEST_FLOAT if self.high is None else self.high
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(self.low), to_value=float(top))]
        elif self.low is not None:
            last = LARGEST_INTEGER if self.high is None else self.high
            descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(last))]
        return descriptor


def parameters() -> tuple[Parameter, ...]:
    """Every parameter, in the order of the settings."""
    return tuple(_flat(NodeConfig))


def declare_parameters(node: Node) -> NodeConfig:
    """Declare every parameter on a node and read it back. A value under a former name is used, with a warning.

    Raises:
        ValueError: If a value has the wrong type, is out of range, or contradicts another one.
    """
    values = {parameter.name: _declare(node, parameter) for parameter in parameters()}
    defaults = {parameter.name: parameter.default for parameter in parameters()}
    for old, new in former_names().items():
        value = _declare_former(node, old, new)
        if value is not None and values[new] == defaults[new]:
            warn_former_name(node, old, new)
            values[new] = value
    return config_of(values)


def former_names() -> dict[str, str]:
    """Return the former names of parameters, each with the present one."""
    return dict(_renamed(NodeConfig))


def warn_former_name(node: Node, old: str, new: str) -> None:
    """Log that a parameter was given under a former name, once per name and node."""
    node.get_logger().warning(f"parameter {old} is now {new}: use the new name", once=True)


def config_of(values: Mapping[str, Any]) -> NodeConfig:
    """The settings with these values, by the names of the parameters; every one must be there.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If one lies outside its range, or does not go with the others.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *stages, entry = name.split(".")
        reduce(lambda level, stage: level.setdefault(stage, {}), stages, nested)[entry] = value
    return build_config(NodeConfig, nested)


def values_of(config: NodeConfig) -> dict[str, Any]:
    """The value of every parameter, by name."""
    values = {}
    for parameter in parameters():
        value: Any = config
        for name in parameter.name.split("."):
            value = getattr(value, name)
        values[parameter.name] = value
    return values


def _declare(node: Node, parameter: Parameter) -> Any:
    try:
        return node.declare_parameter(parameter.name, parameter.default, parameter.descriptor()).value
    except ParameterException as error:
        kind = type(parameter.default).__name__
        wanted = f"{kind} ({parameter.allowed})" if parameter.allowed else kind
        mistyped = kind == "float" and isinstance(error, InvalidParameterTypeException)
        hint = "; a float is written with a point: 1.0" if mistyped else ""
        raise ValueError(f"parameter {parameter.name}: expected {wanted}, got: {error}{hint}") from error


def _declare_former(node: Node, old: str, new: str) -> Any:
    """Declare a former name without a default. Return its value, None if it is not given."""
    descriptor = ParameterDescriptor(name=old, description=f"Former name of {new}.", dynamic_typing=True)
    return node.declare_parameter(old, None, descriptor).value


def _stage(entry: Field[Any]) -> Any | None:
    """The class of a nested settings object; None for a setting."""
    return None if entry.default_factory is MISSING else entry.default_factory


def _flat(kind: Any, prefix: str = "") -> Iterator[Parameter]:
    for entry in fields(kind):
        name = prefix + entry.name
        if stage := _stage(entry):
            yield from _flat(stage, f"{name}.")
        else:
            default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            yield Parameter(name, default, **entry.metadata)


def _renamed(kind: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    yield from ((f"{prefix}{old}", f"{prefix}{new}") for old, new in getattr(kind, "RENAMED", {}).items())
    for entry in fields(kind):
        if stage := _stage(entry):
            yield from _renamed(stage, f"{prefix}{entry.name}.")
