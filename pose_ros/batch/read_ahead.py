"""Decode frames in a thread of their own, while the network runs on earlier ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any, TypeVar

_T = TypeVar("_T")
_END = object()


def read_ahead(items: Iterator[_T], most: int) -> Iterator[_T]:
    """Iterate over items that another thread reads ahead. An error of the thread is raised here, in its place.

    Args:
        items: What to read. Only the thread uses it.
        most: Most items that wait.
    """
    waiting: Queue[tuple[Any, BaseException | None]] = Queue(most)
    stop = threading.Event()

    def read() -> None:
        error = None
        try:
            for item in items:
                waiting.put((item, None))
                if stop.is_set():
                    break
        except BaseException as caught:
            error = caught
        waiting.put((_END, error))

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            _drain(waiting)
            thread.join(0.01)


def _drain(waiting: Queue[Any]) -> None:
    """Make room, so that the thread does not wait for it."""
    while not waiting.empty():
        waiting.get_nowait()
