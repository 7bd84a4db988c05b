"""Choose the people who are refined in an image: the nearest first, each in its turn, within a time."""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import BoolArray, FloatArray, IntArray
from pose_ros.similarity import box_iou

SAME_IOU = 0.3
"""Lowest overlap of the boxes of one person in two images."""
TIME_WEIGHT = 0.3
"""Weight of the newest time in the mean time per person."""


class Turns:
    """Turns of the people of one camera. A person is followed from image to image by the box alone."""

    def __init__(self) -> None:
        self._boxes = np.zeros((0, 4), np.float32)
        self._ages = np.zeros(0, np.int32)

    def find_ages(self, boxes: FloatArray, period: int) -> IntArray:
        """Return the number of images since each person was refined.

        Args:
            boxes: (N, 4) x_min, y_min, x_max, y_max of the people of this image, pixels.
            period: Age of people who are new.
        """
        ages = np.full(len(boxes), period, np.int32)
        if len(boxes) and len(self._boxes):
            overlap = box_iou(_widen(boxes), _widen(self._boxes))
            best = overlap.argmax(axis=1)
            is_known = overlap.max(axis=1) >= SAME_IOU
            ages[is_known] = np.minimum(self._ages[best[is_known]] + 1, period)
        return ages

    def record(self, boxes: FloatArray, ages: IntArray, refined: BoolArray) -> None:
        """Remember the people of this image.

        Args:
            boxes: (N, 4) boxes, as for ``find_ages``.
            ages: (N,) result of ``find_ages``.
            refined: (N,) whether each was refined now.
        """
        self._boxes, self._ages = boxes, np.where(refined, np.int32(0), ages)


def _widen(boxes: FloatArray) -> FloatArray:
    """Widen boxes to at least half of their longer side, because keypoints on a line have no area."""
    extents = boxes[:, 2:] - boxes[:, :2]
    margin = np.maximum(extents.max(axis=1, keepdims=True) / 2 - extents, 0) / 2
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


class TimePerPerson:
    """Mean time that the second network needs for a person."""

    def __init__(self) -> None:
        self._mean_ms = 0.0

    def count_within(self, budget_ms: float) -> int:
        """Return how many people fit into a time. It is 1 while the time is unknown, and never less.

        Args:
            budget_ms: The time, ms. Above 0.
        """
        return max(1, int(min(budget_ms / self._mean_ms, 1e6))) if self._mean_ms > 0 else 1

    def record(self, people: int, time_ms: float) -> None:
        """Add a measured time.

        Args:
            people: Number of people that were refined, at least 1.
            time_ms: Time for all of them, ms.
        """
        each_ms = time_ms / people
        self._mean_ms += (TIME_WEIGHT if self._mean_ms > 0 else 1.0) * (each_ms - self._mean_ms)
