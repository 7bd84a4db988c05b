"""Exceptions as text for logs and diagnostics."""

from __future__ import annotations


def describe_error(error: Exception) -> str:
    """Describe an exception. Its type is added, except for ValueError and FileNotFoundError, which are clear."""
    return str(error) if isinstance(error, (ValueError, FileNotFoundError)) else f"{type(error).__name__}: {error}"
