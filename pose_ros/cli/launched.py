"""Exit as a launch file expects: an interrupt is no failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def exit_0_on_signals() -> Iterator[None]:
    """End a ``with`` block at the first SIGINT or SIGTERM with exit code 0, and ignore further signals.

    After Ctrl-C, a process gets the signal of the terminal and that of the launch file.

    Raises:
        typer.Exit: After a signal.
    """
    received = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True
        for other in NUMBERS:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in NUMBERS:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        if not received:
            raise
        raise typer.Exit(0) from None
