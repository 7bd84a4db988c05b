"""Exceptions as text for logs and diagnostics."""

from __future__ import annotations

from pose_ros.texts import printable


def describe_error(error: Exception) -> str:
    """Describe an exception in one line that may be logged, whatever it contains.

    Its type is added, except for ValueError and FileNotFoundError, which are clear.
    """
    is_clear = isinstance(error, (ValueError, FileNotFoundError))
    return printable(error if is_clear else f"{type(error).__name__}: {error}")
