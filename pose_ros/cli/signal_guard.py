"""End the program soon after SIGINT or SIGTERM, also during a long call into a library.

Python runs its signal handlers between two of its own instructions, so a long call into a library delays them. A thread
learns of each signal at once. It ends the process if the program does not react in time, or if a second signal comes.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

from pose_ros.cli import delay_signals
from pose_ros.files import discard_unfinished

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
REACT_S = 0.8
"""Longest time until the main thread reacts, and then again until it has ended."""
POLL_S = 0.05
SAME_SIGNAL_S = 0.3
"""Time in which a signal counts as the same. A terminal and a launcher may both send one for one Ctrl-C."""


class SignalGuard:
    """Handlers of SIGINT and SIGTERM that unwind the program, and a thread that ends it if this takes too long.

    A command that installs handlers of its own, such as a training, ends by itself. The guard leaves it alone.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._has_reacted = threading.Event()
        self._is_lost = False

    def install(self) -> None:
        """Install the handlers in the main thread. An ignored signal stays ignored."""
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_forget)
        for number in EXIT_CODES:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._unwind)
        sys.unraisablehook = self._note_lost

    def _unwind(self, number: int, frame: FrameType | None) -> None:
        """Leave every ``with`` block, so that output files are complete."""
        self._has_reacted.set()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def _note_lost(self, unraisable: Any) -> None:
        """Note an interrupt that came where no exception can be raised, such as in a destructor."""
        if isinstance(unraisable.exc_value, (KeyboardInterrupt, SystemExit)):
            self._is_lost = True
        else:
            sys.__unraisablehook__(unraisable)

    def _watch(self) -> None:
        number = self._wait_for_signal(None)
        while number is None or not self._is_guarded(number):
            number = self._wait_for_signal(None)
        first_s = since_s = time.monotonic()
        has_reacted = False
        while True:
            now_s = time.monotonic()
            if delay_signals.is_delaying() or has_reacted is not self._has_reacted.is_set():
                has_reacted, since_s = self._has_reacted.is_set(), now_s
            if self._is_lost:
                self._is_lost, first_s = False, now_s
                _thread.interrupt_main(signal.Signals(number))
            if now_s - since_s > REACT_S:
                end_process(number)
            second = self._wait_for_signal(POLL_S)
            if second is not None and now_s - first_s > SAME_SIGNAL_S:
                end_process(second)

    def _wait_for_signal(self, timeout_s: float | None) -> int | None:
        ready, _, _ = select.select([self._receiver], [], [], timeout_s)
        return self._receiver.recv(1)[0] if ready else None

    def _is_guarded(self, number: int) -> bool:
        return number in EXIT_CODES and (signal.getsignal(number) == self._unwind or delay_signals.is_delaying())


def end_process(number: int) -> None:
    """End the process at once. Unfinished output files are removed, and earlier ones stay."""
    discard_unfinished()
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(128 + number)


def _forget() -> None:
    """Separate the signals of a child process from those of its parent."""
    signal.set_wakeup_fd(-1)
