"""Delay signals while output files are completed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)
_delaying = threading.Event()


@contextmanager
def delay_signals() -> Iterator[None]:
    """Delay the first SIGINT or SIGTERM to the end of a ``with`` block. A second signal interrupts the block.

    Does nothing outside the main thread, which receives no signals.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.signal(number, receive) for number in NUMBERS} if is_main else {}
    if is_main:
        _delaying.set()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if is_main:
            _delaying.clear()
    if received:
        handler = handlers[signal.Signals(received[0])]
        if callable(handler):
            handler(received[0], None)  # not sent again: it would count as a second signal
        else:
            signal.raise_signal(received[0])


def is_delaying() -> bool:
    """Return whether the main thread is in such a block."""
    return _delaying.is_set()
