"""Pair the colour images of a camera with its depth images, by their stamps.

The newest images of two topics rarely belong together: a depth image often arrives later than its colour image.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from pose_ros.config import DepthConfig

ColourImage = TypeVar("ColourImage")
DepthImage = TypeVar("DepthImage")

_MAX_HELD = 16
"""Most images of each kind. At 30 Hz, this is half a second."""
_BACK_NS = 1_000_000_000
"""A clock that goes back by more than this was set back. Less is an image that arrives late."""


@dataclass(frozen=True, eq=False)  # comparing images compares their pixels
class StampedImage(Generic[DepthImage]):
    """Image with its stamp, ns. The image may be a message that is not decoded yet."""

    stamp_ns: int
    image: DepthImage


@dataclass(frozen=True, eq=False)
class ImagePair(Generic[ColourImage, DepthImage]):
    """Colour image and the depth image that belongs to it. None = there is no such depth image."""

    colour: StampedImage[ColourImage]
    depth: StampedImage[DepthImage] | None


class DepthPairing(Generic[ColourImage, DepthImage]):
    """Images of one camera that wait for each other. Thread-safe.

    Every colour image comes back once, with the depth image whose stamp is nearest to its own, or without one. The
    pairs come in the order of the stamps, except after the clock was set back. A depth image may belong to several
    colour images. No more than 16 images of each kind are held.

    A colour image waits until no better depth image can come: until one with the same stamp or a later one is there,
    or one that is nearer than half the time between two depth images. It waits ``wait_ms`` at most.
    """

    def __init__(self, settings: DepthConfig | None = None) -> None:
        settings = settings or DepthConfig()
        self._tolerance_ns, self._wait_ns = round(1e6 * settings.tolerance_ms), round(1e6 * settings.wait_ms)
        self._colours: deque[StampedImage[ColourImage]] = deque()
        self._depths: deque[StampedImage[DepthImage]] = deque(maxlen=_MAX_HELD)
        self._latest_ns = {"colour": -(2**63), "depth": -(2**63)}  # the two topics may lag behind each other
        self._lock = threading.Lock()

    def add_colour(self, stamp_ns: int, image: ColourImage) -> list[ImagePair[ColourImage, DepthImage]]:
        """Add a colour image. Return the pairs that are complete now."""
        with self._lock:
            dropped = self._drop_future("colour", stamp_ns)
            self._colours.append(StampedImage(stamp_ns, image))
            return [*dropped, *self._take_complete(stamp_ns)]

    def add_depth(self, stamp_ns: int, image: DepthImage) -> list[ImagePair[ColourImage, DepthImage]]:
        """Add a depth image. Return the pairs that are complete now."""
        with self._lock:
            dropped = self._drop_future("depth", stamp_ns)
            self._depths.append(StampedImage(stamp_ns, image))
            return [*dropped, *self._take_complete(stamp_ns)]

    def find_depth(self, stamp_ns: int) -> StampedImage[DepthImage] | None:
        """Return the depth image with the nearest stamp, if it is within the tolerance. It stays here."""
        with self._lock:
            return self._find(stamp_ns)

    def is_final(self, stamp_ns: int) -> bool:
        """Return whether no depth image that comes later can be nearer to a stamp than those here."""
        with self._lock:
            return self._is_best(stamp_ns, self._find(stamp_ns))

    def clear(self) -> list[ImagePair[ColourImage, DepthImage]]:
        """Forget all images. Return the colour images that still waited, with their depth image if there is one."""
        with self._lock:
            pairs = [ImagePair(colour, self._find(colour.stamp_ns)) for colour in self._sorted_colours()]
            self._colours.clear()
            self._depths.clear()
            return pairs

    def _drop_future(self, kind: str, stamp_ns: int) -> list[ImagePair[ColourImage, DepthImage]]:
        """Drop all images from before the clock was set back. Return the colour images among them."""
        limit = stamp_ns + _BACK_NS
        if self._latest_ns[kind] <= limit:
            self._latest_ns[kind] = max(self._latest_ns[kind], stamp_ns)
            return []
        self._latest_ns[kind] = stamp_ns
        dropped = [colour for colour in self._sorted_colours() if colour.stamp_ns > limit]
        pairs = [ImagePair(colour, self._find(colour.stamp_ns)) for colour in dropped]
        self._colours = deque(colour for colour in self._colours if colour.stamp_ns <= limit)
        self._depths = deque((depth for depth in self._depths if depth.stamp_ns <= limit), _MAX_HELD)
        return pairs

    def _take_complete(self, newest_ns: int) -> Iterator[ImagePair[ColourImage, DepthImage]]:
        newest_ns = max([newest_ns, *self._stamps()])
        excess = len(self._colours) - _MAX_HELD
        for number, colour in enumerate(self._sorted_colours()):
            depth = self._find(colour.stamp_ns)
            is_late = newest_ns - colour.stamp_ns > self._wait_ns
            if number < excess or is_late or self._is_best(colour.stamp_ns, depth):
                self._colours.remove(colour)
                yield ImagePair(colour, depth)

    def _is_best(self, stamp_ns: int, depth: StampedImage[DepthImage] | None) -> bool:
        stamps = sorted(image.stamp_ns for image in self._depths)
        if stamps and stamps[-1] >= stamp_ns:
            return True
        gaps = sorted(later - earlier for earlier, later in pairwise(stamps))
        return depth is not None and len(gaps) > 1 and 2 * (stamp_ns - depth.stamp_ns) <= gaps[len(gaps) // 2]

    def _find(self, stamp_ns: int) -> StampedImage[DepthImage] | None:
        nearest = min(self._depths, key=lambda depth: abs(depth.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > self._tolerance_ns:
            return None
        return nearest

    def _stamps(self) -> list[int]:
        return [colour.stamp_ns for colour in self._colours] + [depth.stamp_ns for depth in self._depths]

    def _sorted_colours(self) -> list[StampedImage[ColourImage]]:
        return sorted(self._colours, key=lambda colour: colour.stamp_ns)
