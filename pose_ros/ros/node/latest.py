"""Hold the newest item of each source between fast producers and one slow consumer."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
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
    """Newest item of each source that has not been taken yet.

    One thread puts the items of a source, and one thread takes. No lock is shared between them, so a producer never
    waits for the consumer. The other methods may be called from any thread.
    """

    def __init__(self, sources: Sequence[Origin]) -> None:
        self._turns = list(sources)  # the source taken longest ago comes first
        self._newest: dict[Origin, deque[tuple[int, Item]]] = {source: deque(maxlen=1) for source in sources}
        self._put, self._taken = dict.fromkeys(sources, 0), dict.fromkeys(sources, 0)
        self._arrivals: queue.SimpleQueue[None] = queue.SimpleQueue()  # wakes the consumer
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def put(self, source: Origin, item: Item) -> None:
        """Add an item. A waiting item of the same source is dropped and counted. Never blocks."""
        self._put[source] += 1
        self._newest[source].append((self._put[source], item))
        if self._closed:
            self._newest[source].clear()
        self._arrivals.put(None)

    def take(self, limit: int = 1) -> list[TakenItem[Origin, Item]] | None:
        """Wait for an item of any source, and take it.

        Args:
            limit: Most items to take, one per source.

        Returns:
            The waiting items. The sources taken longest ago come first. None after ``close``.
        """
        while not self._closed:
            sources = [source for source in self._turns if self._newest[source]][:limit]
            with contextlib.suppress(IndexError):  # closed meanwhile
                taken = [self._take_newest(source) for source in sources]
                if taken:
                    self._turns = [source for source in self._turns if source not in sources] + sources
                    return taken
            self._wait()
        return None

    def _take_newest(self, source: Origin) -> TakenItem[Origin, Item]:
        number, item = self._newest[source].pop()
        dropped, self._taken[source] = number - self._taken[source] - 1, number
        return TakenItem(source, item, dropped)

    def _wait(self) -> None:
        """Wait for the next arrival, and forget those before."""
        self._arrivals.get()
        with contextlib.suppress(queue.Empty):
            while True:
                self._arrivals.get_nowait()

    def peek(self, source: Origin) -> Item | None:
        """Return the waiting item of a source, None if there is none. The item stays."""
        with contextlib.suppress(IndexError):
            return self._newest[source][0][1]
        return None

    def close(self) -> None:
        """Drop the waiting items. Every ``take`` returns None from now on."""
        self._closed = True
        for newest in self._newest.values():
            newest.clear()
        self._arrivals.put(None)
