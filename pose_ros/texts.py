"""Write text for one line of a log, a terminal, a message or a page: of unknown origin, made safe, and counts.

Names in messages, files and networks may contain line breaks, terminal escapes, or a million characters.
"""

from __future__ import annotations

MAX_LINE = 1000
"""Most characters of a line."""
MAX_QUOTE = 80
"""Most characters of a quoted text."""


def printable(text: object, max_length: int = MAX_LINE) -> str:
    """Cut a text, and replace each character that cannot be printed by its escape sequence."""
    whole = str(text)
    kept = whole if len(whole) <= max_length else whole[:max_length]
    line = kept if kept.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in kept)
    return line if kept is whole else f"{line}… ({len(whole)} characters)"


def quote(text: str) -> str:
    """Quote a text of unknown origin. A long text is cut."""
    return repr(text) if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE]!r}… ({len(text)} characters)"


def format_count(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``1 frame``, ``2 frames``. ``many`` is the plural, by default ``one`` and an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
