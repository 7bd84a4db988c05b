"""Read the people that a network outputs itself, and remove duplicates.

Some networks contain a complete decoding, such as MoveNet MultiPose and RTMO. Others output a person for each of
thousands of anchors, such as YOLO-pose. Then many rows show the same person. They are removed by their OKS.

References:
    Maji et al., YOLO-Pose, arXiv:2204.06806, section 3.1 (a box and all keypoints for each anchor).
    Lu et al., RTMO, arXiv:2312.07526.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray, FloatArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.duplicates import find_distinct
from pose_ros.decoder.limits import MAX_CANDIDATES
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import BOX_FILL

FARTHEST_PX = 16384.0
"""Largest coordinate of a keypoint, twice the largest network input. Keypoints farther away are missing."""


class DirectDecoder:
    """Decoder of networks that output people. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._sigmas = np.array(spec.skeleton.sigmas)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        A keypoint is absent if its score is not above ``score_threshold``, or if a number of it is not finite. Scores
        above 1 become 1.

        Args:
            fields: ``people`` (3 K, P) or (2 K, P) and ``person_scores`` (1, P), any real type and memory layout. With
                2 K channels, each keypoint has the score of the person. Optional: ``boxes`` (4, P). The area of a box
                decides how near two duplicates are. P may be 0.

        Returns:
            The people in network-input pixels, sorted by score, the best first.

        Raises:
            ValueError: If a field is missing or of the wrong shape, or if the size of the input is unknown.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the network may output any number
            return self._read_people(fields)

    def _read_people(self, fields: Fields) -> People:
        count = len(self._spec.skeleton)
        people = _check_field("people", fields.people, 3 * count, 2 * count)
        person_scores = _check_field("person_scores", fields.person_scores, 1)
        _check_count("person_scores", person_scores, people)
        scores = person_scores[0].astype(np.float32, copy=False)
        chosen = self._find_candidates(scores)
        scale_xy = self._scale_xy(fields)
        keypoints, keypoint_scores = self._read_keypoints(people[:, chosen], scores[chosen], scale_xy)
        enough = (keypoint_scores > 0).sum(axis=1) >= self._config.min_keypoints
        chosen, keypoints, keypoint_scores = chosen[enough], keypoints[enough], keypoint_scores[enough]
        areas = self._areas(fields, people, chosen, scale_xy)
        threshold = 1.0 if self._spec.people.nms else self._config.duplicate_oks
        most = self._config.most_people
        kept = find_distinct(keypoints, keypoint_scores, self._sigmas, threshold, areas, most)
        return People(keypoints[kept], keypoint_scores[kept], np.minimum(scores[chosen[kept]], 1))

    def _find_candidates(self, scores: FloatArray) -> AnyArray:
        """Return the indices of the people above the limit, the best first."""
        likely = np.flatnonzero((scores >= self._config.min_person_score) & (scores > 0) & np.isfinite(scores))
        return likely[np.argsort(-scores[likely], kind="stable")[:MAX_CANDIDATES]]

    def _scale_xy(self, fields: Fields) -> AnyArray:
        """Return the pixels of the network input per unit of a coordinate."""
        spec = self._spec
        if spec.people.units == "pixels":
            return np.array([spec.stride, spec.stride])
        size_wh = spec.input.size_wh if fields.input_wh is None else fields.input_wh
        if size_wh is None:
            raise ValueError(
                f"model {spec.name}: expected the size of the network input, because its people are in fractions of "
                "it, got None; set input.size_wh in the description"
            )
        return np.array(size_wh, np.float64)

    def _read_keypoints(
        self, people: AnyArray, person_scores: FloatArray, scale_xy: AnyArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return positions (N, K, 2) in pixels and scores (N, K) of people (3 K or 2 K, N). Absent ones are 0."""
        count = len(self._spec.skeleton)
        numbers = people.T.astype(np.float64).reshape(people.shape[1], count, len(people) // count)
        xy = numbers[..., :2] * scale_xy + self._spec.origin
        has_scores = numbers.shape[2] > 2
        scores = numbers[..., 2] if has_scores else np.broadcast_to(person_scores[:, None], xy.shape[:2])
        scores = scores.astype(np.float32)
        present = (np.abs(xy) <= FARTHEST_PX).all(axis=2) & (scores > self._config.score_threshold)
        present &= np.isfinite(scores)
        keypoints = np.where(present[..., None], xy, 0).astype(np.float32)
        return keypoints, np.where(present, np.minimum(scores, 1), 0).astype(np.float32)

    def _areas(self, fields: Fields, people: AnyArray, chosen: AnyArray, scale_xy: AnyArray) -> DoubleArray | None:
        """Return the areas (N,) that the chosen people cover, px². NaN = unknown."""
        if fields.boxes is None:
            return None
        boxes = _check_field("boxes", fields.boxes, 4)
        _check_count("boxes", boxes, people)
        boxes = boxes[:, chosen].astype(np.float64)
        sides = boxes[2:] if self._spec.people.box == "centre" else boxes[2:] - boxes[:2]
        sides = sides * scale_xy[:, None]
        usable = ((sides > 0) & (sides <= 2 * FARTHEST_PX)).all(axis=0)
        return np.where(usable, BOX_FILL * np.where(usable, sides, 0).prod(axis=0), np.nan)


def _check_field(name: str, array: AnyArray | None, *channels: int) -> AnyArray:
    """Return a field (C, P) after checking its shape.

    Raises:
        ValueError: If it is missing, not numeric, or of another shape.
    """
    wanted = " or ".join(map(str, channels))
    if array is None:
        raise ValueError(f"{name}: expected an array of {wanted} channels, got None: the model has no such head")
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[0] not in channels:
        raise ValueError(
            f"{name}: expected shape ({wanted}, P), got {array.shape}; correct the head {name} in the description"
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    return array


def _check_count(name: str, array: AnyArray, people: AnyArray) -> None:
    if array.shape[1] != people.shape[1]:
        raise ValueError(f"{name}: expected {people.shape[1]} people, as in the field people, got {array.shape[1]}")
