"""Errors of the library as one line for the user of a command."""

from __future__ import annotations

import re
from dataclasses import fields

from pose_ros.files import describe_os_error

_SETTING = re.compile(r"\b([A-Za-z]+Config)\.(?=[a-z])")


def error_text(error: Exception) -> str:
    """Return the message of an error in the words of the command line.

    KeyError loses its quotes, a missing PyTorch gets its fix, and settings have the names that ``--set`` takes. An
    error of the file system names the file of the user, not our temporary one.
    """
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return "torch: expected PyTorch, got none; pip install torch"
    if isinstance(error, OSError) and error.strerror:
        return describe_os_error(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or repr(error)
    return _name_settings(text)


def add_advice(text: str, error: Exception, command: str | None) -> str:
    """Add the command that helps to an error message that does not say what to do."""
    if "; " in text or "\n" in text:
        return text
    helpful = "doctor" if isinstance(error, ImportError) else f"{command} --help"
    return f"{text}; see pose_ros {helpful}"


def _name_settings(text: str) -> str:
    """Name settings as ``--set`` does: ``preprocess.short_side`` instead of ``PreprocessConfig.short_side``."""
    if not _SETTING.search(text):
        return text
    from pose_ros.cli.options import Settings

    names = {getattr(entry.default_factory, "__name__", ""): entry.name for entry in fields(Settings)}
    return _SETTING.sub(lambda found: f"{names[found[1]]}." if found[1] in names else found[0], text)
