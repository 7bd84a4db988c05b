"""Collect counts and times of a demo run, and check that they are consistent."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pose_ros.media.image_messages import stamp_ns


@dataclass(frozen=True)
class Figures:
    """Counts and times of one PersonPoseArray.

    Attributes:
        received_s: Monotonic time at which the message arrived, seconds.
        stamp_ns: Stamp of the image, nanoseconds.
        people: Number of people.
        dropped: Images that the node has dropped since its previous message.
        preprocess_ms: Time of preprocessing.
        network_ms: Time of the network.
        decode_ms: Time of decoding.
        latency_ms: Time from the stamp of the image to publishing.
        ids: Track ids of the people who have one.
    """

    received_s: float
    stamp_ns: int
    people: int
    dropped: int
    preprocess_ms: float
    network_ms: float
    decode_ms: float
    latency_ms: float
    ids: tuple[int, ...] = ()

    @classmethod
    def from_message(cls, message: Any) -> Figures:
        """Read the counts and times of a PersonPoseArray that has just arrived."""
        times = (message.preprocess_ms, message.network_ms, message.decode_ms, message.latency_ms)
        ids = tuple(person.id for person in message.people if person.id >= 0)
        return cls(time.monotonic(), stamp_ns(message.header), len(message.people), message.dropped, *times, ids)

    @property
    def total_ms(self) -> float:
        """Time from image to people: the sum of preprocessing, network and decoding."""
        return self.preprocess_ms + self.network_ms + self.decode_ms


@dataclass(frozen=True)
class Run:
    """Finished run of the demo.

    Attributes:
        figures: One entry per processed image.
        image_stamps_ns: Stamps of the camera images that the recorder received.
        overlays: Number of overlays that the node sent.
        memory_mb: Resident memory of the node at the end of the run, MB.
        is_cut_short: Whether the run was interrupted. The node may then have missed the last image.
    """

    figures: Sequence[Figures]
    image_stamps_ns: Sequence[int]
    overlays: int
    memory_mb: float
    is_cut_short: bool = False

    @property
    def id_count(self) -> int:
        """Number of different track ids."""
        return len({person_id for entry in self.figures for person_id in entry.ids})

    @property
    def _observed(self) -> Sequence[Figures]:
        """Entries since the first image that the recorder received. DDS may connect the recorder after the node."""
        first_seen = min(self.image_stamps_ns, default=math.inf)
        return [entry for entry in self.figures if entry.stamp_ns >= first_seen]

    @property
    def images_in_ns(self) -> set[int]:
        """Stamps of the images that were sent to the node.

        Every processed image counts. An image without a result counts only if it came after the first result that the
        recorder could observe, because the number of earlier images is unknown. If the run was interrupted, images
        after the last result do not count.
        """
        processed = {entry.stamp_ns for entry in self.figures}
        start = min((entry.stamp_ns for entry in self._observed), default=math.inf)
        end = max(processed, default=0) if self.is_cut_short else math.inf
        return processed | {stamp for stamp in self.image_stamps_ns if start <= stamp <= end}

    @property
    def dropped(self) -> int:
        """Number of counted images that the node dropped."""
        return sum(entry.dropped for entry in self._observed[1:])

    @property
    def wall_s(self) -> float:
        """Time from the first result to the last, seconds."""
        return self.figures[-1].received_s - self.figures[0].received_s if self.figures else 0.0


def find_problems(run: Run, recorded_ns: Sequence[int]) -> list[str]:
    """Return one line of text for each inconsistency.

    Args:
        run: Finished run.
        recorded_ns: Stamps of the PersonPoseArray messages in the bag, nanoseconds.
    """
    found = []
    if run.image_stamps_ns and not run.figures:
        found.append(f"node: expected results for {len(run.image_stamps_ns)} images, got none; see node.log")
    sent, processed, dropped = len(run.images_in_ns), len(run.figures), run.dropped
    if list(recorded_ns) != [entry.stamp_ns for entry in run.figures]:
        found.append(f"bag: expected {processed} messages, one per processed image, got {len(recorded_ns)}")
    first_seen = min(run.image_stamps_ns, default=math.inf)
    seen = [stamp for stamp in recorded_ns if stamp >= first_seen]
    if len(set(recorded_ns)) != len(recorded_ns) or not set(seen) <= set(run.image_stamps_ns):
        found.append("bag: expected the stamp of each image once, got repeated or unknown stamps")
    if sent != processed + dropped:
        found.append(f"images: expected processed + dropped = {sent} images in, got {processed} + {dropped}")
    return found
