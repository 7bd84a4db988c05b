"""Choose the input size of the network for each image of a camera: in turn, or by the people of the last seconds.

A network is good at one size of person in its input. ``FollowedSizes`` knows the people whom each input size has found
last, and takes the size at which most of them have the best size. From time to time, one image has another input size,
because a person who is too small or too large for the present one is not found at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pose_ros.arrays import DoubleArray, SizeWH
from pose_ros.config import AUTO, PreprocessConfig
from pose_ros.people import People

BEST_SIZE = 0.35
"""Size of a person at which a network is best: longer side of the box, relative to the preferred short side."""
WIDTH = 1.5
"""Standard deviation of the Gaussian around the best size, octaves. Both measured on 143 images of COCO."""
GOOD, POOR = 0.96, 0.9
"""Shares of the best value. The smallest input size that is good is taken, because it is the fastest. A larger one is
taken only when the present one is poor, so that the input size does not swing between two."""
PROBE_S = 1.0
"""Time between two images with other input sizes."""
SEARCH_S = 0.25
"""The same while nobody is found."""
MEMORY_S = 5.0
"""Time for which the people of an image are known. In this time, each input size had an image."""
_UNSTAMPED_S = 1 / 30
_SAME_OVERLAP = 0.5


class ViewChoice(Protocol):
    """Chooses the input size of each image of a camera, by its index."""

    turns: int
    """Number of images after which a person is missed who is not found at one input size."""

    def choose(self, stamp_s: float) -> int:
        """Return the input size for an image, without a change of the state.

        Args:
            stamp_s: Time of the image, s. 0 = unknown: 30 images per second.
        """

    def record(self, view: int, people: People, image_wh: SizeWH, stamp_s: float) -> None:
        """Record the people of an image.

        Args:
            view: Input size of the image.
            people: People, pixels of the image.
            image_wh: Width and height of the image, pixels.
            stamp_s: Time of the image, s. 0 = unknown.
        """


def make_choice(config: PreprocessConfig, sides: Sequence[int], preferred: int) -> ViewChoice | None:
    """Make the choice that the settings ask for. None = the same input sizes for each image.

    Args:
        config: Settings of the input sizes.
        sides: Short side of each input size, px.
        preferred: Preferred short side of the model, px.
    """
    if len(sides) < 2:
        return None
    if config.short_side == AUTO:
        return FollowedSizes(sides, preferred)
    return SizesInTurn(len(sides)) if config.scale_order == "alternate" else None


class SizesInTurn:
    """One input size after the other.

    Args:
        count: Number of input sizes.
    """

    def __init__(self, count: int) -> None:
        self.turns = count
        self._next = 0

    def choose(self, stamp_s: float) -> int:
        """Return the next input size. An image that fails does not count."""
        return self._next

    def record(self, view: int, people: People, image_wh: SizeWH, stamp_s: float) -> None:
        """Record that an input size had its turn."""
        self._next = (view + 1) % self.turns


@dataclass(frozen=True)
class _SeenPeople:
    """People of the last image with one input size: boxes (N, 4) relative to the short side of the image."""

    stamp_s: float
    boxes: DoubleArray
    scores: DoubleArray


class FollowedSizes:
    """The input size at which most people of the last seconds have the best size.

    It depends on the images and their stamps alone, not on the speed of the machine.

    Args:
        sides: Short side of each input size, px.
        preferred: Preferred short side of the model, px. The first images have the input size next to it.
    """

    turns = 2

    def __init__(self, sides: Sequence[int], preferred: int) -> None:
        self._sides, self._best_px = np.array(sides, float), BEST_SIZE * preferred
        self._first = int(np.abs(self._sides - preferred).argmin())
        self._restart(0.0)

    def _restart(self, stamp_s: float) -> None:
        self._view = self._last_probe = self._first
        self._seen: dict[int, _SeenPeople] = {}
        self._stamp_s = self._probed_s = stamp_s

    def choose(self, stamp_s: float) -> int:
        """Return the input size that suits the people, or another one if it is time to look for other people."""
        wait_s = PROBE_S if any(len(seen.scores) for seen in self._seen.values()) else SEARCH_S
        is_due = self._seen and self._time(stamp_s) - self._probed_s >= wait_s - 1e-6
        return self._next_probe() if is_due else self._view

    def record(self, view: int, people: People, image_wh: SizeWH, stamp_s: float) -> None:
        """Record the people of an image, and choose the input size of the next ones."""
        now_s = self._time(stamp_s)
        if now_s < self._stamp_s - 1 or not self._seen:
            self._restart(now_s)
        self._stamp_s = now_s
        if view != self._view:
            self._last_probe, self._probed_s = view, now_s
        boxes = people.boxes().astype(float) / min(image_wh)
        self._seen[view] = _SeenPeople(now_s, boxes, people.person_scores.astype(float))
        self._seen = {n: seen for n, seen in self._seen.items() if now_s - seen.stamp_s <= MEMORY_S}
        self._follow()

    def _time(self, stamp_s: float) -> float:
        return stamp_s or self._stamp_s + _UNSTAMPED_S

    def _next_probe(self) -> int:
        """Return the input size that follows that of the last probe, other than the present one."""
        after = (self._last_probe + 1) % len(self._sides)
        return after if after != self._view else (after + 1) % len(self._sides)

    def _follow(self) -> None:
        """Take another input size if it suits the people better. Without people, it stays."""
        sizes, scores = _distinct_people(list(self._seen.values()))
        octaves = np.log2(self._sides[:, None] * np.maximum(sizes, 1e-6) / self._best_px)
        values = (scores * np.exp(-0.5 * (octaves / WIDTH) ** 2)).sum(axis=1)
        if not values.any():
            return
        best = int((values >= GOOD * values.max()).argmax())
        if best < self._view or values[self._view] < POOR * values.max():
            self._view = best


def _distinct_people(images: Sequence[_SeenPeople]) -> tuple[DoubleArray, DoubleArray]:
    """Return size and score (M,) of each person of several images. The best detection stands for all of a person.

    A part of a person, which a network finds if the person is too large, lies within the box of the whole person.
    """
    boxes = np.concatenate([image.boxes for image in images])
    scores = np.concatenate([image.scores for image in images])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    kept: list[int] = []
    for n in np.argsort(-scores, kind="stable").tolist():
        low, high = np.maximum(boxes[n, :2], boxes[kept, :2]), np.minimum(boxes[n, 2:], boxes[kept, 2:])
        shared = (high - low).clip(0, None).prod(axis=1)
        if not (shared > _SAME_OVERLAP * np.minimum(areas[n], areas[kept])).any():
            kept.append(n)
    return (boxes[kept, 2:] - boxes[kept, :2]).max(axis=1, initial=0), scores[kept]
