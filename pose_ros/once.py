"""Pass on each message to people once."""

from __future__ import annotations

import warnings
from collections.abc import Callable


class Once:
    """Function that passes each text on once. Thread-safe.

    Args:
        notify: Receives the texts. None = as Python warnings.
    """

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._texts: set[str] = set()

    def __call__(self, text: str, topic: str = "") -> None:
        """Pass on a text, unless an equal one was passed on.

        Args:
            text: One line of text.
            topic: Texts of one topic count as equal. Empty = compare the texts.
        """
        if (topic or text) in self._texts:
            return
        self._texts.add(topic or text)
        if self._notify is None:
            warnings.warn(text, stacklevel=3)
        else:
            self._notify(text)
