"""What waits between fast producers and one slow consumer: the newest item of each source, in fair turns."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Origin = TypeVar("Origin", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Taken(Generic[Origin, Item]):
    """One item, where it came from, and how many were dropped there since the last one was taken."""

    source: Origin
    item: Item
    dropped: int


class LatestItems(Generic[Origin, Item]):
    """Holds the newest item of each source that nobody has taken yet. Every method may be called from any thread."""

    def __init__(self, sources: Sequence[Origin]) -> None:
        self._changed = threading.Condition()
        self._turns = list(sources)  # whose turn is longest ago comes first
        self._items: dict[Origin, Item] = {}
        self._dropped = dict.fromkeys(sources, 0)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nobody takes anything any more."""
        return self._closed

    def put(self, source: Origin, item: Item) -> None:
        """Leave an item; one of this source that still waits is dropped and counted. Never blocks."""
        with self._changed:
            if self._closed:
                return
            self._dropped[source] += source in self._items
            self._items[source] = item
            self._changed.notify()

    def take(self, most: int = 1) -> list[Taken[Origin, Item]] | None:
        """Wait for an item of any source.

        Returns:
            What waits now, of at most so many sources: those whose turn is longest ago. None once all is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                return None
            sources = [source for source in self._turns if source in self._items][:most]
            self._turns = [source for source in self._turns if source not in sources] + sources
            return [Taken(source, self._items.pop(source), self._count(source)) for source in sources]

    def waiting(self, source: Origin) -> Item | None:
        """What waits from this source."""
        with self._changed:
            return self._items.get(source)

    def close(self) -> None:
        """Drop what waits; every ``take`` gives None from now on."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _count(self, source: Origin) -> int:
        count, self._dropped[source] = self._dropped[source], 0
        return count
