"""Settings: dataclass fields that carry their description, unit and range, and the check of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any

NO_WORDS: Mapping[str, int] = MappingProxyType({})


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    words: Mapping[str, int] = NO_WORDS,
) -> Any:
    """Make a dataclass field with its description.

    Args:
        default: Default value. Its type is the type of the setting.
        help: Description of one line.
        unit: Unit of the value, such as ``"px"``.
        low: Smallest value.
        high: Largest value.
        choices: Allowed values. Empty = any.
        words: Words that may be given instead of a number, and their numbers, such as ``{"auto": -1}``.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices, "words": words}
    return field(default=default, metadata=metadata)


def check_settings(config: Any) -> None:
    """Check the type, range and choices of every field of a settings object.

    Raises:
        TypeError: If the type of a value differs from the type of the default.
        ValueError: If a value is outside its range or not among its choices.
    """
    for entry in fields(config):
        if "help" not in entry.metadata:
            continue
        name, value = f"{type(config).__name__}.{entry.name}", getattr(config, entry.name)
        wanted: type = type(entry.default)
        if not isinstance(value, (int, float) if wanted is float else wanted) or (
            isinstance(value, bool) and wanted is not bool
        ):
            raise TypeError(f"{name}: expected {wanted.__name__}, got {type(value).__name__} {value!r:.80}")
        choices, low, high = entry.metadata["choices"], entry.metadata["low"], entry.metadata["high"]
        if choices and value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(c or repr(c) for c in choices)}, got {value!r:.80}")
        if low is not None and not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, got {value}")


class CheckedSettings:
    """Base of settings dataclasses: every value is checked on construction."""

    def __post_init__(self) -> None:
        check_settings(self)
