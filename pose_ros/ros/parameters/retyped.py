"""Undo the types that YAML gives to values: ``off`` becomes false, and ``1`` becomes an integer. Replace words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pose_ros.settings import NO_WORDS

SPELLINGS = {True: ("on", "yes", "true", "y"), False: ("off", "no", "false", "n")}
"""Texts that YAML 1.1 reads as true and false."""


def restore_type(value: Any, default: Any, choices: Sequence[str], words: Mapping[str, int] = NO_WORDS) -> Any:
    """Convert a value to the type of its parameter if the meaning is clear. Otherwise return an equal value.

    Args:
        value: Value as read from YAML.
        default: Default of the parameter. It has the wanted type.
        choices: Allowed texts. Empty = any.
        words: Words for numbers, and their numbers.
    """
    if isinstance(value, str):
        return words.get(value, value)
    if isinstance(value, (list, tuple)) and isinstance(default, list):
        return [restore_type(item, default[0], choices) for item in value] if default else value
    if isinstance(value, bool):
        meant = [text for text in SPELLINGS[value] if text in choices]
        return meant[0] if meant else value
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and isinstance(default, int) and not isinstance(default, bool) else value


def explain_type(value: Any, default: Any) -> str:
    """Return what to do about a value whose type cannot be restored. Empty = no advice."""
    if isinstance(default, str) and not isinstance(value, str):
        return "; YAML does not read this as text: put it in quotes, on the command line '\"…\"'"
    if isinstance(default, bool) and isinstance(value, str):
        return "; write true or false without quotes"
    if isinstance(default, (int, float)) and isinstance(value, str):
        return "; write a number without quotes"
    return ""
