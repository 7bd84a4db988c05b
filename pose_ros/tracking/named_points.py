"""Name the keypoints of one person, so that gestures work with every skeleton that has them.

Points are either in an image, (2,) px, or in space, (3,) m. Gestures need the direction that is up: in the image of a
level camera and in its optical frame, up is against y.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray

NamedPoints = Mapping[str, DoubleArray]
"""Place of each known keypoint by name. Unknown keypoints are missing."""

MIN_SCORE = 0.1
"""Keypoints with a lower score are unknown."""

SIDES = ("left", "right")
_CENTRES = {"shoulder": ("neck", "thorax"), "hip": ("pelvis",)}
_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
# Lengths of the torso, in the distance of the shoulders, and in that of head and shoulders.
# Drillis and Contini, Body Segment Parameters, 1966
_TORSO_PER_WIDTH, _TORSO_PER_HEAD = 1.25, 2.3


def name_points(
    names: Sequence[str], points: AnyArray, scores: AnyArray | None = None, min_score: float = MIN_SCORE
) -> NamedPoints:
    """Name the known keypoints of one person.

    Args:
        names: K names of the skeleton.
        points: (K, 2) px or (K, 3) m. NaN = unknown.
        scores: (K,) scores. None = all points that are not NaN are known.
        min_score: Lowest score of a known keypoint.
    """
    points = np.asarray(points, np.float64)
    known = np.asarray(np.isfinite(points).all(axis=1))
    if scores is not None:
        known &= (np.asarray(scores) > 0) & (np.asarray(scores) >= min_score)
    return {name: point for name, point, is_known in zip(names, points, known, strict=True) if is_known}


def up_direction(points: NamedPoints, up: Iterable[float] | None) -> DoubleArray:
    """Return the unit vector that points up, with as many coordinates as the points. None = against y.

    Raises:
        ValueError: If it is no direction, or has another number of coordinates.
    """
    size = len(next(iter(points.values()), (0, 0)))
    if up is None:
        return np.array([0.0, -1.0, 0.0])[:size]
    vector = np.asarray(list(up), np.float64)
    length = float(np.linalg.norm(vector))
    if vector.shape != (size,) or not 0 < length < np.inf:
        raise ValueError(f"up: expected a direction of {size} coordinates, got {vector.tolist()}")
    return vector / length


def middle(points: NamedPoints, name: str) -> DoubleArray | None:
    """Return the middle of the left and right keypoint, or the keypoint in the middle of the body. None = unknown.

    Args:
        points: Keypoints.
        name: Name without its side, such as ``"hip"``.
    """
    pair = [points[f"{side}_{name}"] for side in SIDES if f"{side}_{name}" in points]
    if len(pair) == len(SIDES):
        return np.mean(pair, axis=0)
    return next((points[centre] for centre in _CENTRES.get(name, ()) if centre in points), None)


def head(points: NamedPoints) -> DoubleArray | None:
    """Return the middle of the head: the mean of eyes, ears and nose, or of neck and top. None = unknown."""
    known = [points[name] for name in _HEAD if name in points]
    neck = points.get("upper_neck", points.get("neck"))
    if not known and neck is not None and "head_top" in points:
        known = [neck, points["head_top"]]
    return np.mean(known, axis=0) if known else None


def torso_length(points: NamedPoints) -> float | None:
    """Return the length of the torso, from shoulders to hips: the unit of gestures. None = unknown.

    In an image the torso looks shorter if it leans towards the camera. So the largest of three estimates is used: the
    torso itself, the width of the shoulders and the distance of the head.
    """
    shoulders, hips, top = middle(points, "shoulder"), middle(points, "hip"), head(points)
    lengths = []
    if shoulders is not None and hips is not None:
        lengths.append(float(np.linalg.norm(shoulders - hips)))
    if all(f"{side}_shoulder" in points for side in SIDES):
        lengths.append(_TORSO_PER_WIDTH * float(np.linalg.norm(points["left_shoulder"] - points["right_shoulder"])))
    if shoulders is not None and top is not None:
        lengths.append(_TORSO_PER_HEAD * float(np.linalg.norm(top - shoulders)))
    return max(lengths) if lengths and max(lengths) > 0 else None
