"""Find the heads of people from their keypoints, generously, and remember them while a person is not found.

The head comes from the keypoints of the face. If none is found, it is estimated from the shoulders, or else from the
rest of the body. The size comes from distances between keypoints, relative to their lengths in a body. The body and the
face limit each other, because a keypoint may be that of another person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.people import NOT_TRACKED, People
from pose_ros.skeleton import Skeleton, without_side

HOLD_S = 1.0
"""Time for which a head that is not found any more stays covered, s."""
_GROWTH = 0.5  # of the radius per second without a detection
_REACH = 1.5  # radii within which a head continues another one without an id
_MAX_STEP_S = 1.0

_FACE = ("nose", "eye", "ear", "head", "head_top")
_RADIUS = 0.085  # of a head with hair, body heights
_REACH_OF_POINTS = 1.25  # the circle covers the face keypoints with this margin
_LEAST_PX = 2.0
_CERTAIN = 0.15  # score of a person
_MOST_OF_EXTENT = 0.5  # radius of an uncertain person, relative to the box of its keypoints
_FACE_REACH = 0.15  # longest distance of two keypoints of a face, body heights, generously
_MOST_RATIO = 1.8  # of the heights by the body and by the face: one of them is shortened, or wrong
_LENGTHS = {  # longest distance of two keypoints, body heights
    **{frozenset({"ear"}): 0.1, frozenset({"eye"}): 0.04, frozenset({"nose", "eye"}): 0.035},
    **{frozenset({"nose", "ear"}): 0.08, frozenset({"eye", "ear"}): 0.065},
    **{frozenset({"head_top", "upper_neck"}): 0.14, frozenset({"head_top", "neck"}): 0.19},
    **{frozenset({"shoulder"}): 0.22, frozenset({"shoulder", "hip"}): 0.32, frozenset({"neck", "hip"}): 0.33},
    **{frozenset({"nose", "neck"}): 0.13, frozenset({"upper_neck", "pelvis"}): 0.37},
}
_LIMBS = {
    **{frozenset({"shoulder", "elbow"}): 0.17, frozenset({"hip", "knee"}): 0.25, frozenset({"knee", "ankle"}): 0.25},
    **{frozenset({"elbow", "wrist"}): 0.16},
}
"""Used if no distance of ``_LENGTHS`` is known: these keypoints are wrong more often."""
_BASES = (
    ("upper_neck", 0.07, 1.0),
    ("neck", 0.12, 1.2),
    ("thorax", 0.12, 1.2),
    ("shoulder", 0.12, 1.2),
    ("hip", 0.44, 1.6),
)
"""Keypoints below the head: distance to its centre in body heights, and growth of the radius."""


def find_heads(people: People, skeleton: Skeleton, margin: float = 1.0) -> FloatArray:
    """Return a circle around the head of each person.

    Args:
        people: People in pixels of the image. Every keypoint with a score counts.
        skeleton: Skeleton of the people.
        margin: Factor of the radius.

    Returns:
        (M, 3) x, y and radius, pixels. The first N are those of the people. The radius is 0 for people without a
        keypoint from which the head follows. More circles follow for face keypoints that lie outside: they may be those
        of other people.
    """
    names = [without_side(name) for name in skeleton.keypoint_names]
    heads, is_certain = np.zeros((len(people), 3), np.float32), people.person_scores >= _CERTAIN
    for head, keypoints, scores in zip(heads, people.keypoints, people.scores, strict=True):
        if scores.any():
            points = {k: keypoints[k].astype(np.float64) for k in np.flatnonzero(scores).tolist()}
            head[:] = _find_head(points, scores, names)
    # Keypoints of several people that were joined by mistake would cover half of the image
    boxes = people.boxes()
    limits = _MOST_OF_EXTENT * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    if is_certain.any():
        limits = np.minimum(limits, heads[is_certain, 2].max())
    heads[:, 2] = np.where(is_certain, heads[:, 2], np.minimum(heads[:, 2], np.maximum(limits, _LEAST_PX)))
    extra = [
        (*keypoints[k], head[2])
        for head, keypoints, scores in zip(heads, people.keypoints, people.scores, strict=True)
        for k in np.flatnonzero(scores).tolist()
        if names[k] in _FACE and np.linalg.norm(keypoints[k] - head[:2]) > head[2]
    ]
    circles = np.concatenate([heads, np.array(extra, np.float32).reshape(-1, 3)])
    circles[:, 2] *= margin
    return circles


def _find_head(points: dict[int, AnyArray], scores: FloatArray, names: list[str]) -> tuple[float, float, float]:
    face = sorted((k for k in points if names[k] in _FACE), key=lambda k: -scores[k])
    height_px = _body_height(points, names, face)
    if face:
        # A face keypoint far from the most certain one is that of another person
        near_px = _FACE_REACH * height_px
        kept = np.array([points[k] for k in face if np.linalg.norm(points[k] - points[face[0]]) <= near_px])
        centre, growth = (kept.min(axis=0) + kept.max(axis=0)) / 2, 1.0
        if all(names[k] == "head_top" for k in face):
            centre = centre - _up(points, names) * 0.07 * height_px
        reach_px = float(np.linalg.norm(kept - centre, axis=1).max())
    else:
        base = next((entry for entry in _BASES if any(names[k] == entry[0] for k in points)), None)
        if base is None:
            return 0.0, 0.0, 0.0
        name, distance, growth = base
        below = np.array([point for k, point in points.items() if names[k] == name])
        centre, reach_px = below.mean(axis=0) + _up(points, names) * distance * height_px, 0.0
        growth *= 1.0 if len(below) > 1 or name in ("upper_neck", "neck", "thorax") else 1.3  # one side only
    radius_px = max(growth * _RADIUS * height_px, _REACH_OF_POINTS * reach_px, _LEAST_PX)
    return float(centre[0]), float(centre[1]), radius_px


def _body_height(points: dict[int, AnyArray], names: list[str], face: list[int]) -> float:
    """Estimate the height of the body, px. Wrong keypoints of the body or the face alone cannot make it huge."""
    of_face = max(_heights({k: points[k] for k in face}, names, _LENGTHS), default=0.0)
    body = [height for height in _heights(points, names, _LENGTHS, face) if height > 0]
    body = body or _heights(points, names, _LIMBS)
    of_body = float(np.median(body)) if body else 0.0
    if of_face and of_body:
        return min(max(of_body, of_face), _MOST_RATIO * min(of_body, of_face))
    extent_px = float(np.ptp(np.array(list(points.values())), axis=0).max())
    return of_body or _MOST_RATIO * of_face or extent_px


def _heights(
    points: dict[int, AnyArray], names: list[str], lengths: dict[frozenset[str], float], without: Sequence[int] = ()
) -> list[float]:
    """Return the height of the body by each known pair of keypoints, px. Pairs of ``without`` are left out."""
    return [
        float(np.linalg.norm(points[a] - points[b])) / lengths[pair]
        for a, b in combinations(points, 2)
        if (pair := frozenset({names[a], names[b]})) in lengths and not (a in without and b in without)
    ]


def _up(points: dict[int, AnyArray], names: list[str]) -> AnyArray:
    """Return the direction from the hips to the shoulders, or what is most similar. Length 1."""

    def mean(*wanted: str) -> AnyArray | None:
        found = [point for k, point in points.items() if names[k] in wanted]
        return np.mean(found, axis=0) if found else None

    top, middle = mean("shoulder", "neck", "thorax", "upper_neck"), mean("hip", "pelvis")
    low = mean("knee") if middle is not None and top is None else None
    first, last = (middle, top) if top is not None else (low, middle)
    if first is not None and last is not None and (length := float(np.linalg.norm(last - first))) > 0:
        return np.asarray((last - first) / length)
    shoulders = [point for k, point in points.items() if names[k] == "shoulder"]
    if len(shoulders) == 2 and (length := float(np.linalg.norm(shoulders[1] - shoulders[0]))) > 0:
        across = (shoulders[1] - shoulders[0]) / length
        up = np.array([across[1], -across[0]])
        return up if up[1] <= 0 else -up
    return np.array([0.0, -1.0])


@dataclass(frozen=True, eq=False)
class _Head:
    """Remembered head: circle, velocity in px/s, id of the person, and time of the last detection, s."""

    circle: FloatArray
    velocity: FloatArray
    person_id: int
    seen_s: float

    def predict(self, stamp_s: float) -> FloatArray:
        """Return the circle at a time. It moves on and grows."""
        step_s = min(max(stamp_s - self.seen_s, 0.0), HOLD_S)
        x, y, radius = self.circle
        moved = np.array([x, y]) + self.velocity * step_s
        return np.array([*moved, radius * (1 + _GROWTH * step_s)], np.float32)


class HeadMemory:
    """Heads of the people of one camera. A head stays for ``HOLD_S`` after its person was found last."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self._heads: list[_Head] = []
        self._stamp_s: float | None = None

    def update(self, people: People, stamp_s: float, margin: float = 1.0) -> FloatArray:
        """Return the heads in the next image: of its people, and of people who were found shortly before.

        Args:
            people: People of the image, pixels.
            stamp_s: Time of the image, s. If it goes back or jumps far, earlier people are forgotten.
            margin: Factor of the radius.

        Returns:
            (M, 3) x, y and radius, pixels.
        """
        circles = find_heads(people, self._skeleton, margin)
        if self._stamp_s is not None and not -_MAX_STEP_S < stamp_s - self._stamp_s < 10 * HOLD_S:
            self._heads = []
        self._stamp_s = stamp_s
        found, left = [], list(self._heads)
        ids = people.ids.tolist() + [NOT_TRACKED] * (len(circles) - len(people))
        for circle, person_id in zip(circles, ids, strict=True):
            if circle[2] > 0:
                before = _find_earlier(circle, person_id, left, stamp_s)
                if before is not None:
                    left.remove(before)
                found.append(_Head(circle, _velocity(before, circle, stamp_s), person_id, stamp_s))
        held = [head for head in left if abs(stamp_s - head.seen_s) <= HOLD_S]
        self._heads = [*found, *held]
        rows = [head.circle for head in found] + [head.predict(stamp_s) for head in held]
        return np.array(rows, np.float32).reshape(-1, 3)


def _find_earlier(circle: FloatArray, person_id: int, heads: list[_Head], stamp_s: float) -> _Head | None:
    """Return the remembered head of the same person: by the id, else the nearest one in reach."""
    for head in heads:
        if NOT_TRACKED != person_id == head.person_id:
            return head
    same = [head for head in heads if NOT_TRACKED in (person_id, head.person_id)]
    near = [(float(np.linalg.norm(head.predict(stamp_s)[:2] - circle[:2])), head) for head in same]
    near = [(distance, head) for distance, head in near if distance < _REACH * max(circle[2], head.circle[2])]
    return min(near, key=lambda entry: entry[0])[1] if near else None


def _velocity(before: _Head | None, circle: FloatArray, stamp_s: float) -> FloatArray:
    step_s = 0.0 if before is None else stamp_s - before.seen_s
    if before is None or not 0 < step_s <= HOLD_S:
        return np.zeros(2, np.float32)
    measured = (circle[:2] - before.circle[:2]) / step_s
    return np.asarray(0.5 * before.velocity + 0.5 * measured, np.float32)
