"""Store the result of pose estimation as a validated struct of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, BoolArray, FloatArray, IntArray

NOT_TRACKED = -1
"""Id of a person without a track."""


class TrackState(IntEnum):
    """State of a person over time."""

    UNTRACKED = 0
    """Tracking is off."""
    NEW = 1
    """Seen, but not often enough for an id."""
    TRACKED = 2
    """Seen, with an id."""
    LOST = 3
    """Not seen in this image. The keypoints are predicted."""


_OPTIONAL: dict[str, tuple[Any, ...]] = {
    "velocities": ("N", 2),
    "raw_keypoints": ("N", "K", 2),
    "keypoints_3d": ("N", "K", 3),
    "deviations_3d": ("N", "K"),
    "positions_3d": ("N", 3),
    "position_deviations_3d": ("N",),
    "velocities_3d": ("N", 3),
}


def _to_array(name: str, value: npt.ArrayLike, dtype: type[Any], shape: tuple[int, ...]) -> AnyArray:
    array = np.asarray(value, dtype)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def _fill_missing(array: AnyArray | None, like: AnyArray | None, count: int) -> AnyArray:
    """Return the array or, if it is None, one of unknown values for some people that suits the other array."""
    if array is not None or like is None:
        return np.asarray(array)
    return np.full((count, *like.shape[1:]), np.nan if like.dtype.kind == "f" else 0, like.dtype)


def _check_unit_range(name: str, array: FloatArray) -> None:
    if array.size and not (np.minimum.reduce(array, None) >= 0 and np.maximum.reduce(array, None) <= 1):  # also for NaN
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
        masks: (N, H, W) bool, True for pixels of the person, of an image of H x W. A decoder returns them on the grid
            of the fields, and an estimator in pixels of the image. None = no masks.
        states: (N,) uint8, ``TrackState`` of each person. Default: all UNTRACKED.
        velocities: (N, 2) float32, velocity in the image, px/s. NaN = unknown. None = no tracking.
        raw_keypoints: (N, K, 2) float32, keypoints before smoothing, pixels. None = no smoothing.
        keypoints_3d: (N, K, 3) float32, m. NaN = unknown. None = no depth.
        deviations_3d: (N, K) float32, standard deviation of the distance of ``keypoints_3d``, m. None = no depth.
        positions_3d: (N, 3) float32, position of the torso, m. NaN = unknown. None = no depth.
        position_deviations_3d: (N,) float32, standard deviation of the distance of ``positions_3d``, m. None = no
            depth.
        velocities_3d: (N, 3) float32, velocity, m/s. NaN = unknown. None = no depth or no tracking.
        refined: (N,) bool, True for people that a second network has seen in this image. None = no second network.

    Raises:
        ValueError: If a shape is wrong, a score is outside [0, 1], or a coordinate is not finite.
    """

    keypoints: FloatArray
    scores: FloatArray
    person_scores: FloatArray
    ids: IntArray = None  # type: ignore[assignment]
    masks: BoolArray | None = None
    states: AnyArray = None  # type: ignore[assignment]
    velocities: FloatArray | None = None
    raw_keypoints: FloatArray | None = None
    keypoints_3d: FloatArray | None = None
    deviations_3d: FloatArray | None = None
    positions_3d: FloatArray | None = None
    position_deviations_3d: FloatArray | None = None
    velocities_3d: FloatArray | None = None
    refined: BoolArray | None = None

    def __post_init__(self) -> None:
        keypoints = np.asarray(self.keypoints, np.float32)
        if keypoints.ndim != 3 or keypoints.shape[2] != 2:
            raise ValueError(f"keypoints: expected shape (N, K, 2), got {keypoints.shape}")
        n, k, _ = keypoints.shape
        ids = np.full(n, NOT_TRACKED, np.int32) if self.ids is None else self.ids
        states = np.zeros(n, np.uint8) if self.states is None else self.states
        set_field = object.__setattr__
        set_field(self, "keypoints", keypoints)
        set_field(self, "scores", _to_array("scores", self.scores, np.float32, (n, k)))
        set_field(self, "person_scores", _to_array("person_scores", self.person_scores, np.float32, (n,)))
        set_field(self, "ids", _to_array("ids", ids, np.int32, (n,)))
        set_field(self, "states", _to_array("states", states, np.uint8, (n,)))
        for name, shape in _OPTIONAL.items():
            value = getattr(self, name)
            if value is not None:
                expected = tuple({"N": n, "K": k}.get(size, size) for size in shape)
                set_field(self, name, _to_array(name, value, np.float32, expected))
        if self.refined is not None:
            set_field(self, "refined", _to_array("refined", self.refined, np.bool_, (n,)))
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
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        selected: dict[str, Any] = {name: None if value is None else value[index] for name, value in values.items()}
        return People(**selected)

    def __iter__(self) -> Iterator[People]:
        return (self[i] for i in range(len(self)))

    def append(self, other: People) -> People:
        """Return these people and other people of the same skeleton. Values that one of the two lacks are NaN there."""
        values: dict[str, Any] = {}
        for entry in fields(self):
            a, b = getattr(self, entry.name), getattr(other, entry.name)
            if a is not None or b is not None:
                a, b = (_fill_missing(x, y, len(p)) for x, y, p in ((a, b, self), (b, a, other)))
                values[entry.name] = np.concatenate([a, b])
        return People(**values)

    @property
    def visible(self) -> BoolArray:
        """(N, K), True for keypoints that are present."""
        return self.scores > 0

    def boxes(self) -> FloatArray:
        """Return the boxes of the visible keypoints.

        Returns:
            (N, 4) x_min, y_min, x_max, y_max, pixels. Zeros for a person without visible keypoints.
        """
        boxes = find_bounds(np.where(self.visible[..., None], self.keypoints, np.float32(np.nan)))
        return np.nan_to_num(boxes, copy=False)

    def with_keypoints(self, keypoints: AnyArray) -> People:
        """Copy the people with other keypoint positions. Absent keypoints stay at (0, 0).

        Args:
            keypoints: (N, K, 2) new positions, pixels.
        """
        return replace(self, keypoints=np.where(self.visible[..., None], keypoints, 0).astype(np.float32))


def find_bounds(points: FloatArray) -> FloatArray:
    """Return the smallest boxes around points.

    Args:
        points: (N, K, 2) K points of N people. NaN = absent.

    Returns:
        (N, 4) x_min, y_min, x_max, y_max. NaN for a person without points.
    """
    by_point = np.ascontiguousarray(points.transpose(1, 0, 2))  # NumPy is faster along the first axis
    low, high = np.fmin.reduce(by_point, initial=np.nan), np.fmax.reduce(by_point, initial=np.nan)
    return np.concatenate([low, high], axis=1)
