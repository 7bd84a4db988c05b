"""What a live page knows of each camera: its newest picture, and its numbers second by second.

Nothing here is locked. What a camera knows belongs to one thread; another may let cameras come and go.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

HISTORY_S = 120
"""Seconds that are kept, and plotted."""
SILENT_S = 3.0
"""A camera that is there and has no answer for so long is silent."""
_RATE_S = 5  # the rate shown as a number is that of so many seconds

PoseRow = tuple[int, int, int, int | None, float | None, float | None]
"""One second: its number, images answered, images dropped, most people, median latency and median work, ms."""


@dataclass(frozen=True)
class PoseSample:
    """What the node said of one image.

    Attributes:
        people: How many it found.
        dropped: Images that it skipped before this one.
        latency_ms: From the stamp to publishing; NaN where that is unknown.
        preprocess_ms: Scaling.
        network_ms: Forward pass.
        decode_ms: Fields to people.
        size_wh: Of the image, pixels.
        model: Its name.
    """

    people: int
    dropped: int = 0
    latency_ms: float = math.nan
    preprocess_ms: float = 0.0
    network_ms: float = 0.0
    decode_ms: float = 0.0
    size_wh: tuple[int, int] = (0, 0)
    model: str = ""

    @property
    def work_ms(self) -> float:
        """What the node itself needed."""
        return self.preprocess_ms + self.network_ms + self.decode_ms


class CameraBoard:
    """One camera of a node.

    Attributes:
        name: What the page calls it.
        publishers: How many publish its people now.
        note: Why there is no picture; empty while there is.
        picture: The newest, as JPEG or another format of browsers; empty before the first.
        pictures: How many there have been.
        is_wanted: Whether some page waits for a picture: no other need be made. Any thread may read it.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.publishers = 0
        self.note = ""
        self.picture = b""
        self.pictures = 0
        self.is_wanted = False
        self._clock = clock
        self._newest: PoseSample | None = None
        self._dropped = 0
        self._heard_s = math.nan  # when the newest sample came, or listening began; NaN while nobody listens
        self._second = 0  # the one that is going on
        self._samples: list[PoseSample] = []  # of that second
        self._rows: deque[PoseRow] = deque(maxlen=HISTORY_S)

    def listen(self) -> None:
        """From now on, silence counts."""
        if math.isnan(self._heard_s):
            self._heard_s = self._clock()
            self._second = int(self._heard_s)

    def rest(self) -> None:
        """Nobody listens any more: what is known gets old, and silence says nothing."""
        self._heard_s = math.nan
        self._samples.clear()
        self._newest, self.picture, self.note = None, b"", ""

    def add(self, sample: PoseSample) -> None:
        """Take what the node said of one image."""
        self.listen()
        self._close_seconds()
        self._samples.append(sample)
        self._newest, self._heard_s = sample, self._clock()
        self._dropped += sample.dropped

    def show(self, picture: bytes) -> None:
        """Take the newest picture."""
        self.picture, self.note, self.is_wanted = picture, "", False
        self.pictures += 1

    @property
    def state(self) -> str:
        """``"gone"``, ``"waiting"`` for a first answer, ``"live"`` or ``"silent"``."""
        if self.publishers == 0:
            return "gone"
        if self._clock() - self._heard_s > SILENT_S:
            return "silent"
        return "live" if self._newest else "waiting"

    def rows_after(self, second: int) -> list[PoseRow]:
        """The finished seconds after that one; some are missing where nobody listened."""
        self._close_seconds()
        return [row for row in self._rows if row[0] > second]

    def describe(self) -> dict[str, Any]:
        """Its numbers now, fit for JSON: what is unknown is None."""
        self._close_seconds()
        recent = [row[1] for row in self._rows if row[0] >= self._second - _RATE_S]
        newest = self._newest
        return {
            "name": self.name,
            "state": self.state,
            "note": self.note,
            "rate_hz": statistics.fmean(recent) if recent and not math.isnan(self._heard_s) else None,
            "dropped": self._dropped,
            "people": newest.people if newest else None,
            "size_wh": newest.size_wh if newest else None,
            "model": newest.model if newest else "",
            "latency_ms": _finite(newest.latency_ms) if newest else None,
            "times_ms": [_finite(t) for t in (newest.preprocess_ms, newest.network_ms, newest.decode_ms)]
            if newest
            else None,
        }

    def _close_seconds(self) -> None:
        """Make rows of the seconds that are over, also of those without an answer."""
        if math.isnan(self._heard_s):
            return
        now = int(self._clock())
        while self._second < now:
            self._rows.append(_row(self._second, self._samples))
            self._samples = []
            self._second = max(self._second + 1, now - HISTORY_S)


class Board:
    """The cameras of a page, by name.

    Attributes:
        topics: What is looked for, in words.
        cameras: Those that are shown, in the order of their appearance. It is replaced, never changed.
        clock: Seconds that never go back.
    """

    def __init__(self, topics: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.topics = tuple(topics)
        self.clock = clock
        self.cameras: dict[str, CameraBoard] = {}

    def camera(self, name: str) -> CameraBoard:
        """The camera of that name; a new one if there is none."""
        if name not in self.cameras:
            self.cameras = {**self.cameras, name: CameraBoard(name, self.clock)}
        return self.cameras[name]

    def forget(self, name: str) -> None:
        """Show that camera no longer, if it is there."""
        self.cameras = {other: camera for other, camera in self.cameras.items() if other != name}


def _row(second: int, samples: list[PoseSample]) -> PoseRow:
    people = max((sample.people for sample in samples), default=None)
    latency_ms, work_ms = (_median([getattr(s, name) for s in samples]) for name in ("latency_ms", "work_ms"))
    return second, len(samples), sum(sample.dropped for sample in samples), people, latency_ms, work_ms


def _median(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return round(statistics.median(known), 3) if known else None


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
