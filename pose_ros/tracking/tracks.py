"""Store the tracks of people as a struct of arrays, for the compiled functions."""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray, IndexArray
from pose_ros.people import NOT_TRACKED, People, TrackState
from pose_ros.tracking.motion import (
    COVARIANCE,
    MAX_VELOCITY,
    POSITION_VAR,
    SIZE,
    SIZE_VAR,
    STATE_COLUMNS,
    VELOCITY_VAR,
    VX,
    VY,
    X,
    Y,
)

_MIN_SIZE_PX = 8.0
_START_NOISE, _START_SIZE_NOISE, _START_WEIGHT = 0.04, 0.1, 0.4


class Tracks:
    """M tracks of people with K keypoints.

    Attributes:
        states: (M, STATE_COLUMNS) motion, see ``motion``.
        shapes: (M, K, 2) places of the keypoints, relative to position and size.
        weights: (M, K) confidence of the shapes in [0, 1], 0 = unknown.
        ids: (M,) ids, -1 = not yet.
        hits: (M,) images in which the person was seen.
        misses: (M,) images since then.
        age_s: (M,) time since then, s.
        scores: (M,) score of the person when last seen.
    """

    def __init__(self, keypoint_count: int) -> None:
        """Store no tracks.

        Args:
            keypoint_count: Number of keypoints K.
        """
        k = keypoint_count
        self.states, self.shapes, self.weights = np.zeros((0, STATE_COLUMNS)), np.zeros((0, k, 2)), np.zeros((0, k))
        self.ids, self.hits, self.misses = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.age_s, self.scores = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.states)

    def clear(self) -> None:
        """Remove all tracks."""
        self.keep(np.zeros(len(self), bool))

    def keep(self, mask: BoolArray) -> None:
        """Remove all tracks except those of a mask (M,)."""
        if not mask.all():
            for name, array in vars(self).items():
                setattr(self, name, array[mask])

    def add(self, keypoints: DoubleArray, scores: DoubleArray, person_score: float) -> int:
        """Add the track of a detection. Return its index.

        Args:
            keypoints: (K, 2) keypoints, px.
            scores: (K,) scores, at least one above 0.
            person_score: Score of the person.
        """
        visible = scores > 0
        centre, size = keypoints[visible].mean(axis=0), max(np.ptp(keypoints[visible], axis=0).max(), _MIN_SIZE_PX)
        state = np.zeros(STATE_COLUMNS)
        state[[X, Y, SIZE, SIZE_VAR]] = *centre, size, _START_SIZE_NOISE**2
        state[POSITION_VAR], state[VELOCITY_VAR] = (_START_NOISE * size) ** 2, (MAX_VELOCITY * size) ** 2
        new = {
            "states": state,
            "shapes": np.where(visible[:, None], (keypoints - centre) / size, 0),
            "weights": np.where(visible, _START_WEIGHT, 0),
            "ids": NOT_TRACKED,
            "hits": 1,
            "misses": 0,
            "age_s": 0.0,
            "scores": person_score,
        }
        for name, value in new.items():
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.asarray(value, array.dtype)[None]]))
        return len(self) - 1

    def record(self, matched: IndexArray, person_scores: AnyArray) -> None:
        """Record which tracks were seen in an image.

        Args:
            matched: (T,) indices of the tracks.
            person_scores: (T,) scores of their detections.
        """
        self.misses += 1
        self.hits[matched] += 1
        self.misses[matched], self.age_s[matched], self.scores[matched] = 0, 0.0, person_scores

    def move(self, motion: DoubleArray) -> None:
        """Move all tracks with the image.

        Args:
            motion: (2, 3) matrix that maps points of the last image to this one.
        """
        states, matrix = self.states, motion[:, :2]
        states[:, [X, Y]] = states[:, [X, Y]] @ matrix.T + motion[:, 2]
        states[:, [VX, VY]] = states[:, [VX, VY]] @ matrix.T
        area = abs(np.linalg.det(matrix))
        states[:, [POSITION_VAR, COVARIANCE, VELOCITY_VAR]] *= area
        states[:, SIZE] *= np.sqrt(area)

    def predicted_people(self, tracks: IndexArray) -> People:
        """Return people at the predicted places of some tracks, with state LOST.

        Args:
            tracks: (T,) indices of the tracks.
        """
        states, known = self.states[tracks], self.weights[tracks] > 0
        keypoints = states[:, None, [X, Y]] + states[:, None, [SIZE]] * self.shapes[tracks]
        return People(
            np.where(known[..., None], keypoints, 0),
            np.where(known, self.weights[tracks] * self.scores[tracks, None], 0),
            self.scores[tracks].astype(np.float32),
            self.ids[tracks].astype(np.int32),
            states=np.full(len(tracks), TrackState.LOST, np.uint8),
            velocities=states[:, [VX, VY]].astype(np.float32),
        )
