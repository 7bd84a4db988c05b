"""A slot for one item between a fast producer and a slow consumer: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestSlot(Generic[Item]):
    """Holds the newest item that nobody has taken yet. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._dropped = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Leave an item; one that still waits is dropped and counted. Never blocks."""
        with self._changed:
            self._dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self) -> tuple[Item, int] | None:
        """Wait for an item.

        Returns:
            The item, and how many were dropped since the last one was taken; None once the slot is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            if self._closed or self._item is None:
                return None
            taken = (self._item, self._dropped)
            self._item, self._dropped = None, 0
            return taken

    def close(self) -> None:
        """Drop what waits; every ``take`` gives None from now on."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()
