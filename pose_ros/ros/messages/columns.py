"""Make many messages of one kind at once, without a call of Python per message and field."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any

CHECKS = "_check_fields"
"""Slot of a message that says whether assignments are checked, since ROS 2 Jazzy."""


def make_messages(kind: Any, count: int, columns: Mapping[str, Iterable[Any]]) -> list[Any]:
    """Make messages from the values of each field, faster than with the constructor.

    The constructor of a message visits all its fields in Python. This function fills the slots of the class instead.
    It checks no value, so each must have the exact type of its field.

    Args:
        kind: Class of the messages.
        count: Number of messages.
        columns: Values of every field, by its name: one for each message.

    Raises:
        ValueError: If a field is missing or unknown.
    """
    setters, checks = _find_setters(kind)
    if columns.keys() != setters.keys():
        raise ValueError(f"{kind.__name__}: expected the fields {sorted(setters)}, got {sorted(columns)}")
    messages = list(map(kind.__new__, repeat(kind, count)))
    for name, values in columns.items():
        deque(map(setters[name], messages, values), maxlen=0)
    if checks is not None:
        deque(map(checks, messages, repeat(False)), maxlen=0)
    return messages


@functools.cache
def _find_setters(kind: Any) -> tuple[dict[str, Callable[[Any, Any], None]], Callable[[Any, Any], None] | None]:
    """Return the function that fills the slot of each field, and that of ``CHECKS``, if the class has it."""
    setters = {name: getattr(kind, f"_{name}").__set__ for name in kind.get_fields_and_field_types()}
    return setters, getattr(kind, CHECKS).__set__ if hasattr(kind, CHECKS) else None
