"""Read the newest frame of a live stream or camera, and reconnect after an interruption."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pose_ros.arrays import Image
from pose_ros.media.capture import Capture

FIRST_DELAY_S, MAX_DELAY_S = 0.5, 10.0
"""Delay before the first and the later attempts to reconnect. It doubles each time."""
DEFAULT_PATIENCE_S = 60.0
_CLOSE_S = 2.0
_NS = 1_000_000_000

Open = Callable[[], Capture]
OnInterruption = Callable[[str], None]


@dataclass(frozen=True)
class LiveFrame:
    """Newest frame of a stream, and its time since the first frame, ns."""

    image_bgr: Image
    stamp_ns: int


class LatestFrames:
    """Thread that reads a stream and keeps its newest frame, so that a slow reader never lags behind.

    Times are those of the stream. After a reconnection, they continue by the clock of this machine.

    Attributes:
        dropped: Number of frames that a newer one has replaced.
    """

    def __init__(
        self, name: str, capture: Capture | None, reopen: Open, notify: OnInterruption, patience_s: float
    ) -> None:
        """Start reading.

        Args:
            name: Name of the stream in messages, without passwords.
            capture: Open capture. None = open one.
            reopen: Opens the stream. It raises OSError or ValueError.
            notify: Called with each interruption, in the thread of the reader of this object.
            patience_s: Time without a frame after which the stream has ended. 0 = do not reconnect.
        """
        self.dropped = 0
        self._name, self._capture, self._reopen, self._notify = name, capture, reopen, notify
        self._patience_s = patience_s
        self._changed, self._stop = threading.Condition(), threading.Event()
        self._newest: LiveFrame | None = None
        self._lines: deque[str] = deque()
        self._reason = "the stream has ended"
        self._has_ended = False
        self._start_ns = self._base_ns = self._first_ns = 0
        self._last_ns = -1
        self._thread = threading.Thread(target=self._run, name="live_stream", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Iterate over the frames, each the newest one.

        Raises:
            ConnectionError: When no frame arrives for ``patience_s``.
        """
        while (frame := self._take()) is not None:
            yield frame
        raise ConnectionError(
            f"{self._name}: expected more frames, got none for {self._patience_s:g} s: {self._reason}; "
            "--reconnect sets this time"
        )

    def close(self) -> None:
        """Stop reading. A call into the network may take longer and ends in the background."""
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _take(self) -> LiveFrame | None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._has_ended or bool(self._lines))
                lines = list(self._lines)
                self._lines.clear()
                frame, self._newest = self._newest, None
                is_over = self._has_ended
            for line in lines:
                self._notify(line)
            if frame is not None or is_over:
                return frame

    def _run(self) -> None:
        delay_s, last_s = FIRST_DELAY_S, time.monotonic()
        while not self._stop.is_set():
            if self._read_connection():
                delay_s, last_s = FIRST_DELAY_S, time.monotonic()
            if self._stop.is_set() or time.monotonic() - last_s + delay_s > self._patience_s:
                break
            self._report(f"{self._name}: interrupted: {self._reason}; connecting again in {delay_s:g} s")
            self._stop.wait(delay_s)
            delay_s = min(2 * delay_s, MAX_DELAY_S)
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def _read_connection(self) -> bool:
        """Read one connection to its end. Return whether there were frames."""
        capture, self._capture, has_frames = self._capture, None, False
        try:
            capture = capture or self._reopen()
            self._reason = "the stream has ended"
            while not self._stop.is_set() and (item := capture.read()) is not None:
                self._put(item.image_bgr, self._stamp(item.time_ns, is_first=not has_frames))
                has_frames = True
        except Exception as error:  # an error must not end the thread without a word
            self._reason = str(error).removeprefix(f"{self._name}: ").removeprefix("expected more frames, got: ")
        finally:
            if capture is not None:
                capture.close()
        return has_frames

    def _stamp(self, time_ns: int | None, is_first: bool) -> int:
        now_ns = time.monotonic_ns()
        if self._last_ns < 0:
            self._start_ns = now_ns
        if is_first:
            self._base_ns, self._first_ns = now_ns - self._start_ns, time_ns or 0
        stamp_ns = now_ns - self._start_ns if time_ns is None else self._base_ns + time_ns - self._first_ns
        self._last_ns = max(stamp_ns, self._last_ns + 1)
        return self._last_ns

    def _put(self, image_bgr: Image, stamp_ns: int) -> None:
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = LiveFrame(image_bgr, stamp_ns)
            self._changed.notify()

    def _report(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify()
