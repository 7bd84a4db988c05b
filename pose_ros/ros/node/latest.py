"""Hold the newest item of each source between fast producers and one slow consumer."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Origin = TypeVar("Origin", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True)
class TakenItem(Generic[Origin, Item]):
    """One item, its source, and the number of items of this source dropped since the last take."""

    source: Origin
    item: Item
    dropped: int


class LatestItems(Generic[Origin, Item]):
    """Newest item of each source that has not been taken yet. Every method may be called from any thread."""

    def __init__(self, sources: Sequence[Origin]) -> None:
        self._changed = threading.Condition()
        self._turns = list(sources)  # the source taken longest ago comes first
        self._items: dict[Origin, Item] = {}
        self._dropped = dict.fromkeys(sources, 0)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def put(self, source: Origin, item: Item) -> None:
        """Add an item. A waiting item of the same source is dropped and counted. Never blocks."""
        with self._changed:
            if self._closed:
                return
            self._dropped[source] += source in self._items
            self._items[source] = item
            self._changed.notify()

    def take(self, limit: int = 1) -> list[TakenItem[Origin, Item]] | None:
        """Wait for an item of any source, and take it.

        Args:
            limit: Most items to take, one per source.

        Returns:
            The waiting items. The sources taken longest ago come first. None after ``close``.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                return None
            sources = [source for source in self._turns if source in self._items][:limit]
            self._turns = [source for source in self._turns if source not in sources] + sources
            return [TakenItem(source, self._items.pop(source), self._reset_dropped(source)) for source in sources]

    def peek(self, source: Origin) -> Item | None:
        """Return the waiting item of a source, None if there is none. The item stays."""
        with self._changed:
            return self._items.get(source)

    def close(self) -> None:
        """Drop the waiting items. Every ``take`` returns None from now on."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _reset_dropped(self, source: Origin) -> int:
        count, self._dropped[source] = self._dropped[source], 0
        return count
