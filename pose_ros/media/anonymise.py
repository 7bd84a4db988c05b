"""Cover the heads of people in images: blurred, pixelated or black. It is no guarantee: people may be missed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray, Image
from pose_ros.config import NOT_ANONYMISED, OverlayConfig
from pose_ros.media.heads import HeadMemory
from pose_ros.media.regions import IgnoredRegion
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

_CELLS = 6
"""Cells across a head. A face of 6 x 6 values cannot be recognised."""
_REGION_CELLS = 16


@dataclass(frozen=True)
class Plane:
    """Samples of an image that can be written: all its pixels, or one colour of a raw camera image.

    Attributes:
        samples: (H, W) or (H, W, C) view.
        scale_xy: Samples per pixel of the image.
        black: Value of black.
    """

    samples: AnyArray
    scale_xy: tuple[float, float] = (1.0, 1.0)
    black: int = 0


class Anonymiser:
    """Covers the heads in the images of one camera. Call it with each image, in order."""

    def __init__(self, skeleton: Skeleton, region: IgnoredRegion | None = None) -> None:
        """Prepare the camera.

        Args:
            skeleton: Skeleton of its people.
            region: Part of its images where nobody is looked for. It is covered as well.
        """
        self.skeleton, self.region = skeleton, region
        self._memory = HeadMemory(skeleton)

    def cover(self, image: Image, people: People, stamp_s: float, config: OverlayConfig) -> Image:
        """Return an image with covered heads. If ``config.anonymise`` is off, return the same image.

        Args:
            image: (H, W, 3) or grey (H, W). Not modified.
            people: People of the image, pixels.
            stamp_s: Time of the image, s.
            config: Way of covering, and margin.
        """
        if config.anonymise == NOT_ANONYMISED:
            return image
        covered = image.copy()
        self.cover_planes([Plane(covered)], (image.shape[1], image.shape[0]), people, stamp_s, config)
        return covered

    def cover_planes(
        self, planes: list[Plane], size_wh: tuple[int, int], people: People, stamp_s: float, config: OverlayConfig
    ) -> bool:
        """Cover the heads in the planes of an image, in place. Return whether anything was covered.

        Args:
            planes: Planes of the image.
            size_wh: Width and height of the image, pixels.
            people: People of the image, pixels.
            stamp_s: Time of the image, s.
            config: Way of covering, and margin.
        """
        heads = self._memory.update(people, stamp_s, config.head_margin)
        mask = None if self.region is None else self.region.mask(size_wh)
        is_covered = False
        for plane in planes:
            is_covered |= cover_heads(plane, heads, config.anonymise)
            if mask is not None and mask.any():
                _cover_mask(plane, mask, config.anonymise)
                is_covered = True
        return is_covered


def cover_heads(plane: Plane, heads: FloatArray, way: str) -> bool:
    """Cover circles in a plane, in place. Return whether one is inside.

    Args:
        plane: Samples to change.
        heads: (M, 3) x, y and radius, pixels of the image.
        way: ``blur``, ``pixelate`` or ``black``.
    """
    height, width = plane.samples.shape[:2]
    is_covered = False
    for x, y, radius in heads:
        centre_xy = (np.array([x, y]) + 0.5) * plane.scale_xy - 0.5
        radius_xy = radius * np.array(plane.scale_xy) + 0.5
        low = np.clip(np.floor(centre_xy - radius_xy), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(centre_xy + radius_xy) + 1, 0, (width, height)).astype(int)
        if (high <= low).any():
            continue
        window = plane.samples[low[1] : high[1], low[0] : high[0]]
        across = (np.arange(low[0], high[0]) - centre_xy[0]) / radius_xy[0]
        down = (np.arange(low[1], high[1]) - centre_xy[1]) / radius_xy[1]
        inside = across[None] ** 2 + down[:, None] ** 2 <= 1
        window[inside] = plane.black if way == "black" else _coarsen(window, _CELLS, way)[inside]
        is_covered = True
    return is_covered


def _cover_mask(plane: Plane, mask: BoolArray, way: str) -> None:
    height, width = plane.samples.shape[:2]
    inside = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    plane.samples[inside] = plane.black if way == "black" else _coarsen(plane.samples, _REGION_CELLS, way)[inside]


def _coarsen(window: AnyArray, cells: int, way: str) -> AnyArray:
    """Return a window of at most some cells per side, smooth or as squares."""
    native = np.ascontiguousarray(window, window.dtype.newbyteorder("="))
    height, width = native.shape[:2]
    size_wh = min(cells, width), min(cells, height)
    small = cv2.resize(native, size_wh, interpolation=cv2.INTER_AREA)
    kind = cv2.INTER_LINEAR if way == "blur" else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(small, (width, height), interpolation=kind)).reshape(native.shape)
