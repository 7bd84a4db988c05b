"""The figures of a run, and whether they add up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pose_ros.media.bag import stamp_ns


@dataclass(frozen=True)
class Figures:
    """What one PersonPoseArray says in numbers."""

    received_s: float
    stamp_ns: int
    people: int
    dropped: int
    preprocess_ms: float
    network_ms: float
    decode_ms: float
    latency_ms: float

    @classmethod
    def of(cls, message: Any) -> Figures:
        """The figures of a PersonPoseArray that has just arrived."""
        times = (message.preprocess_ms, message.network_ms, message.decode_ms, message.latency_ms)
        return cls(time.monotonic(), stamp_ns(message.header), len(message.people), message.dropped, *times)

    @property
    def whole_ms(self) -> float:
        """Image in to people out."""
        return self.preprocess_ms + self.network_ms + self.decode_ms


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        figures: One entry per image that was processed.
        image_stamps_ns: Stamps of the images that the camera has sent.
        overlays: Overlays that the node has sent.
        memory_mb: Resident memory of the node at its end, MB.
        is_cut_short: Whether the camera was stopped; its last image may then have reached the recorder alone.
    """

    figures: Sequence[Figures]
    image_stamps_ns: Sequence[int]
    overlays: int
    memory_mb: float
    is_cut_short: bool = False

    @property
    def _watched(self) -> Sequence[Figures]:
        """The answers since the recorder sees the camera: DDS may connect it later than the node."""
        first_seen = min(self.image_stamps_ns, default=math.inf)
        return [entry for entry in self.figures if entry.stamp_ns >= first_seen]

    @property
    def images_in_ns(self) -> set[int]:
        """Stamps of the images that were sent to the node.

        What was answered was sent. Of what was not, only images after the first answer that the recorder could watch
        are counted: of those before, nobody knows how many there were. Nor those after the last answer, if the camera
        was stopped.
        """
        answered = {entry.stamp_ns for entry in self.figures}
        start = min((entry.stamp_ns for entry in self._watched), default=math.inf)
        end = max(answered, default=0) if self.is_cut_short else math.inf
        return answered | {stamp for stamp in self.image_stamps_ns if start <= stamp <= end}

    @property
    def dropped(self) -> int:
        """Images that the node has skipped, of those that are counted."""
        return sum(entry.dropped for entry in self._watched[1:])

    @property
    def wall_s(self) -> float:
        """From the first answer to the last, seconds."""
        return self.figures[-1].received_s - self.figures[0].received_s if self.figures else 0.0


def problems(run: Run, recorded_ns: Sequence[int]) -> list[str]:
    """What does not add up, in sentences.

    Args:
        run: The run.
        recorded_ns: Stamps of the arrays that the bag holds.
    """
    found = []
    if run.image_stamps_ns and not run.figures:
        found.append(f"node: expected answers, got none to {len(run.image_stamps_ns)} images; node.log may say why")
    sent, answered, dropped = len(run.images_in_ns), len(run.figures), run.dropped
    if list(recorded_ns) != [entry.stamp_ns for entry in run.figures]:
        found.append(f"bag: expected one array for each of {answered} processed images, got {len(recorded_ns)} arrays")
    first_seen = min(run.image_stamps_ns, default=math.inf)
    seen = [stamp for stamp in recorded_ns if stamp >= first_seen]
    if len(set(recorded_ns)) != len(recorded_ns) or not set(seen) <= set(run.image_stamps_ns):
        found.append("bag: expected the stamps of the images, each once, got others")
    if sent != answered + dropped:
        found.append(f"images: expected processed + dropped = {sent} that went in, got {answered} + {dropped}")
    return found
