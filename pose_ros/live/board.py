"""Data of a live page: the newest image of each camera, and its statistics per second.

There are no locks. The data of a camera belong to one thread. Another thread may add and remove cameras.
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
"""Length of the history that is kept and plotted, seconds."""
SILENT_S = 3.0
"""A camera with a publisher but without a result for this time is silent, seconds."""
MAX_ROWS = 50
"""Most people in the list of a camera."""
_RATE_S = 5  # the displayed rate is the mean over this time, seconds

PoseRow = tuple[int, int, int, int | None, float | None, float | None]
"""One second: number of the second, processed images, dropped images, largest number of people, median latency and
median computing time, ms."""


@dataclass(frozen=True)
class PersonRow:
    """A person with an id.

    Attributes:
        id: Track id.
        state: State of the track, such as ``"tracked"``.
        distance_m: Distance from the camera, m. NaN = unknown.
        speed_mps: Speed relative to the camera, m/s. NaN = unknown.
        speed_px: Speed in the image, px/s. NaN = unknown.
    """

    id: int
    state: str
    distance_m: float = math.nan
    speed_mps: float = math.nan
    speed_px: float = math.nan

    def describe(self) -> dict[str, Any]:
        """Return the values for JSON. None = unknown."""
        return {key: _finite_or_none(value) if isinstance(value, float) else value for key, value in vars(self).items()}


@dataclass(frozen=True)
class PoseSample:
    """Result of the node for one image.

    Attributes:
        people: Number of people.
        dropped: Number of images dropped before this one.
        latency_ms: Time from the stamp to publishing. NaN = unknown.
        preprocess_ms: Time to scale the image.
        network_ms: Time of the forward pass.
        decode_ms: Time to convert fields to people.
        size_wh: Width and height of the image, pixels.
        model: Name of the model.
        tracked: People with an id, at most ``MAX_ROWS``, by id.
    """

    people: int
    dropped: int = 0
    latency_ms: float = math.nan
    preprocess_ms: float = 0.0
    network_ms: float = 0.0
    decode_ms: float = 0.0
    size_wh: tuple[int, int] = (0, 0)
    model: str = ""
    tracked: tuple[PersonRow, ...] = ()

    @property
    def work_ms(self) -> float:
        """Computing time of the node."""
        return self.preprocess_ms + self.network_ms + self.decode_ms


class CameraBoard:
    """Data of one camera of a node.

    Attributes:
        name: Name on the page.
        publishers: Number of publishers of its people.
        note: Reason why there is no image. Empty = there is an image.
        image: Newest image, as JPEG or another format that browsers support. Empty before the first image.
        image_count: Number of images so far.
        is_wanted: Whether a page waits for an image. Otherwise no image needs to be encoded. Any thread may read it.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.publishers = 0
        self.note = ""
        self.image = b""
        self.image_count = 0
        self.is_wanted = False
        self._clock = clock
        self._newest: PoseSample | None = None
        self._dropped = 0
        self._last_sample_s = math.nan  # time of the newest sample, or start of listening (NaN = not listening)
        self._second = 0  # current second
        self._samples: list[PoseSample] = []  # of the current second
        self._rows: deque[PoseRow] = deque(maxlen=HISTORY_S)

    def listen(self) -> None:
        """Start listening: from now on a camera without results becomes silent."""
        if math.isnan(self._last_sample_s):
            self._last_sample_s = self._clock()
            self._second = int(self._last_sample_s)

    def stop_listening(self) -> None:
        """Stop listening. Deletes the newest result and image. The camera no longer becomes silent."""
        self._last_sample_s = math.nan
        self._samples.clear()
        self._newest, self.image, self.note = None, b"", ""

    def add(self, sample: PoseSample) -> None:
        """Add the result for one image."""
        self.listen()
        self._close_seconds()
        self._samples.append(sample)
        self._newest, self._last_sample_s = sample, self._clock()
        self._dropped += sample.dropped

    def set_image(self, image: bytes) -> None:
        """Set the newest image."""
        self.image, self.note, self.is_wanted = image, "", False
        self.image_count += 1

    @property
    def state(self) -> str:
        """State of the camera: ``"gone"``, ``"waiting"`` for the first result, ``"live"`` or ``"silent"``."""
        if self.publishers == 0:
            return "gone"
        if self._clock() - self._last_sample_s > SILENT_S:
            return "silent"
        return "live" if self._newest else "waiting"

    def rows_after(self, second: int) -> list[PoseRow]:
        """Return the complete seconds after this one. Seconds without listening are missing."""
        self._close_seconds()
        return [row for row in self._rows if row[0] > second]

    def describe(self) -> dict[str, Any]:
        """Return the current statistics for JSON. None = unknown."""
        self._close_seconds()
        recent = [row[1] for row in self._rows if row[0] >= self._second - _RATE_S]
        newest = self._newest
        return {
            "name": self.name,
            "state": self.state,
            "note": self.note,
            "rate_hz": statistics.fmean(recent) if recent and not math.isnan(self._last_sample_s) else None,
            "dropped": self._dropped,
            "people": newest.people if newest else None,
            "tracked": [person.describe() for person in newest.tracked] if newest else [],
            "size_wh": newest.size_wh if newest else None,
            "model": newest.model if newest else "",
            "latency_ms": _finite_or_none(newest.latency_ms) if newest else None,
            "times_ms": [_finite_or_none(t) for t in (newest.preprocess_ms, newest.network_ms, newest.decode_ms)]
            if newest
            else None,
        }

    def _close_seconds(self) -> None:
        """Make rows of the complete seconds, including those without a result."""
        if math.isnan(self._last_sample_s):
            return
        now = int(self._clock())
        while self._second < now:
            self._rows.append(_row(self._second, self._samples))
            self._samples = []
            self._second = max(self._second + 1, now - HISTORY_S)


class Board:
    """Cameras of a page, by name.

    Attributes:
        topics: Topics to look for, to display on the page.
        cameras: Cameras on the page, in the order in which they appeared. The dict is replaced, never modified.
        clock: Returns monotonic time, seconds.
    """

    def __init__(self, topics: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.topics = tuple(topics)
        self.clock = clock
        self.cameras: dict[str, CameraBoard] = {}

    def camera(self, name: str) -> CameraBoard:
        """Return the camera with this name. Adds it if it is missing."""
        if name not in self.cameras:
            self.cameras = {**self.cameras, name: CameraBoard(name, self.clock)}
        return self.cameras[name]

    def remove_camera(self, name: str) -> None:
        """Remove a camera from the page, if it exists."""
        self.cameras = {other: camera for other, camera in self.cameras.items() if other != name}


def _row(second: int, samples: list[PoseSample]) -> PoseRow:
    people = max((sample.people for sample in samples), default=None)
    latency_ms, work_ms = (_median([getattr(s, name) for s in samples]) for name in ("latency_ms", "work_ms"))
    return second, len(samples), sum(sample.dropped for sample in samples), people, latency_ms, work_ms


def _median(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return round(statistics.median(known), 3) if known else None


def _finite_or_none(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
