"""Report every fault of a file of labels or results as one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 600
"""Most characters of a message. Values of the file may be as long as the file."""


@contextmanager
def name_file(file: str | Path, kind: str = "labels") -> Iterator[None]:
    """Turn errors about the content of a file into a ValueError of one line that names the file.

    Args:
        file: The file.
        kind: Kind of the file, for messages.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{kind} {file}: expected text in UTF-8, got other bytes ({error.reason})") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        text = to_line(error)
        raise ValueError(text if str(file) in text else f"{kind} {file}: {text}") from error


def to_line(error: Exception) -> str:
    """Return the message of an error as one line of limited length."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = "".join(letter if letter.isprintable() else " " for letter in str(message))
    name = "" if isinstance(error, ValueError) else f"{type(error).__name__} "
    text = " ".join(f"{name}{text}".split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
