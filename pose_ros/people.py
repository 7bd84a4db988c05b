"""Store the result of pose estimation as a validated struct of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, BoolArray, FloatArray, IntArray

NOT_TRACKED = -1
"""Id of a person without a track."""


def _to_array(name: str, value: npt.ArrayLike, dtype: type[Any], shape: tuple[int, ...]) -> AnyArray:
    array = np.asarray(value, dtype)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def _check_unit_range(name: str, array: FloatArray) -> None:
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # written so that NaN fails too
        raise ValueError(f"{name}: expected values in [0, 1], got {array.min()} to {array.max()}")


@dataclass(frozen=True)
class People:
    """N people of K keypoints each.

    An absent keypoint has score 0 and position (0, 0). A present keypoint has a score above 0. All numbers are finite.
    The arrays are not copied.

    Attributes:
        keypoints: (N, K, 2) float32, x and y in pixels, pixel centres at integers.
        scores: (N, K) float32, confidence in [0, 1].
        person_scores: (N,) float32, confidence of the person in [0, 1].
        ids: (N,) int32, track ids, -1 for people without a track. Default: all -1.
        masks: (N, H, W) bool, True for pixels of the person. None = no masks.

    Raises:
        ValueError: If a shape is wrong, a score is outside [0, 1], or a coordinate is not finite.
    """

    keypoints: FloatArray
    scores: FloatArray
    person_scores: FloatArray
    ids: IntArray = None  # type: ignore[assignment]
    masks: BoolArray | None = None

    def __post_init__(self) -> None:
        keypoints = np.asarray(self.keypoints, np.float32)
        if keypoints.ndim != 3 or keypoints.shape[2] != 2:
            raise ValueError(f"keypoints: expected shape (N, K, 2), got {keypoints.shape}")
        n, k, _ = keypoints.shape
        ids = np.full(n, NOT_TRACKED, np.int32) if self.ids is None else self.ids
        set_field = object.__setattr__
        set_field(self, "keypoints", keypoints)
        set_field(self, "scores", _to_array("scores", self.scores, np.float32, (n, k)))
        set_field(self, "person_scores", _to_array("person_scores", self.person_scores, np.float32, (n,)))
        set_field(self, "ids", _to_array("ids", ids, np.int32, (n,)))
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != n):
            raise ValueError(f"masks: expected shape ({n}, H, W), got {self.masks.shape}")
        if not np.isfinite(keypoints).all():
            raise ValueError("keypoints: expected finite coordinates, got NaN or Inf (absent is (0, 0) with score 0)")
        _check_unit_range("scores", self.scores)
        _check_unit_range("person_scores", self.person_scores)

    @classmethod
    def empty(cls, keypoint_count: int) -> People:
        """Make a result without people.

        Args:
            keypoint_count: Number of keypoints K.
        """
        zero = np.zeros
        return cls(zero((0, keypoint_count, 2), np.float32), zero((0, keypoint_count), np.float32), zero(0, np.float32))

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: int | slice | AnyArray | list[int]) -> People:
        """Select people by index, slice, index array or mask. An integer selects one person (N = 1)."""
        if isinstance(index, (int, np.integer)):
            index = [range(len(self))[index]]  # raises IndexError if out of range, so that iteration ends
        masks = None if self.masks is None else self.masks[index]
        return People(self.keypoints[index], self.scores[index], self.person_scores[index], self.ids[index], masks)

    def __iter__(self) -> Iterator[People]:
        return (self[i] for i in range(len(self)))

    @property
    def visible(self) -> BoolArray:
        """(N, K), True for keypoints that are present."""
        return self.scores > 0

    def boxes(self) -> FloatArray:
        """Return the boxes of the visible keypoints.

        Returns:
            (N, 4) x_min, y_min, x_max, y_max, pixels. Zeros for a person without visible keypoints.
        """
        visible = self.visible[..., None]
        low = np.where(visible, self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(visible, self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        boxes = np.concatenate([low, high], axis=1)
        return np.where(np.isfinite(boxes), boxes, 0).astype(np.float32)

    def with_keypoints(self, keypoints: AnyArray) -> People:
        """Copy the people with other keypoint positions. Absent keypoints stay at (0, 0).

        Args:
            keypoints: (N, K, 2) new positions, pixels.
        """
        return replace(self, keypoints=np.where(self.visible[..., None], keypoints, 0).astype(np.float32))
