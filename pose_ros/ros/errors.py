"""Exceptions as text for logs and diagnostics."""

from __future__ import annotations


def describe_error(error: Exception) -> str:
    """The library's own errors say what is wrong; of others the kind matters too."""
    return str(error) if isinstance(error, (ValueError, FileNotFoundError)) else f"{type(error).__name__}: {error}"
