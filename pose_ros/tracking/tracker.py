"""Give people ids that stay the same over the images of a camera.

Each image is matched in three passes: strong detections with people who have an id, weak detections with the people
who are left, and strong detections with people who have no id yet. A person is followed by position, size and pose
alone. Nothing is compared by appearance, so a person who returns after ``lost_s`` gets a new id.

References:
    Bewley et al., Simple Online and Realtime Tracking, arXiv:1602.00763 (prediction, assignment, birth and survival).
    Zhang et al., ByteTrack, arXiv:2110.06864 (a second pass for weak detections, with existing tracks only).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, IndexArray
from pose_ros.config import TrackingConfig
from pose_ros.decoder.duplicates import MIN_AREA
from pose_ros.people import NOT_TRACKED, People, TrackState
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import BOX_FILL, Skeleton
from pose_ros.tracking.alignment import correct_tracks
from pose_ros.tracking.association import match_pairs, pair_costs
from pose_ros.tracking.motion import VX, VY, predict_states
from pose_ros.tracking.noise import initial_noise
from pose_ros.tracking.tracks import Tracks

DUPLICATE_OKS = 0.6
"""A detection that is this similar to a person who was found in the same image starts no track."""
RESTART_S = 1.0
"""The clock may go back by less than this without a restart: some drivers deliver images out of order."""

_LIMIT, _WEAK_LIMIT = 9.0, 7.0
_NEW_MISSES = 1
_NEW, _TRACKED = np.uint8(TrackState.NEW), np.uint8(TrackState.TRACKED)
_UNSTAMPED_S = 1 / 30
_FAR_PX = 1e6  # limit of coordinates far outside any image, so that no square overflows


class Tracker:
    """Tracker of the people of one camera. Not thread-safe: call it from one thread at a time.

    Ids count up from 0. They are never used again, also after a restart of the camera.

    Attributes:
        config: Settings. They may be replaced between two images.
    """

    def __init__(self, skeleton: Skeleton, config: TrackingConfig | None = None, turns: int = 1) -> None:
        """Prepare the tracker.

        Args:
            skeleton: Skeleton of the people.
            config: Settings. None = defaults.
            turns: Number of input sizes of the network that take turns. A person is not missed before each had its
                turn.
        """
        self._turns = turns
        self.config = config or TrackingConfig()
        self._sigmas = np.array(skeleton.sigmas)
        self._tracks = Tracks(len(skeleton))
        self._noise = initial_noise()
        self._stamp_s: float | None = None
        self._next_id = 0

    def reset(self) -> None:
        """Forget all people, for example after a change of the camera. Their ids are not used again."""
        self._tracks.clear()
        self._stamp_s = None

    def update(self, people: People, stamp_s: float, motion: DoubleArray | None = None) -> People:
        """Give ids to the people of the next image.

        If the clock goes back by a second or more, all people are new. Images without stamps (0) are taken as 30 per
        second.

        Args:
            people: People of the image, pixels.
            stamp_s: Time of the image, s.
            motion: (2, 3) motion of the camera since the last image: the matrix that maps points of the last image to
                this one. None = the camera stands still.

        Returns:
            The same people in the same order, with ids, states and velocities. The id is -1 and the velocity NaN
            until a person has been seen ``hits`` times. With ``bridge_s`` or ``turns``, people who are not seen follow
            at the end.

        Raises:
            ValueError: If the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f"stamp_s: expected a finite time, got {stamp_s}")
        tracks = self._tracks
        self._predict(stamp_s, motion)
        keypoints, scores = (
            people.keypoints.clip(-_FAR_PX, _FAR_PX).astype(np.float64),
            people.scores.astype(np.float64),
        )
        track_of, shares = self._match(keypoints, scores, people.person_scores >= self.config.strong_score)
        found = np.flatnonzero(track_of >= 0)
        matched = track_of[found]
        correct_tracks(
            *(tracks.states, tracks.shapes, tracks.weights, matched),
            *(keypoints, scores, found, shares[found], self._noise),
        )
        tracks.record(matched, people.person_scores[found])
        started = self._start(people, track_of, keypoints, scores)
        self._name(np.concatenate([matched, started]))
        result = self._add_ids(people, track_of)
        tracks.keep((tracks.ids >= 0) | (tracks.misses <= max(_NEW_MISSES, self._turns - 1)))
        return result

    def _predict(self, stamp_s: float, motion: DoubleArray | None) -> None:
        last_s = stamp_s if self._stamp_s is None else self._stamp_s
        step_s = stamp_s - last_s if stamp_s else _UNSTAMPED_S
        if step_s <= -RESTART_S:
            self._tracks.clear()
        if stamp_s and (step_s > 0 or step_s <= -RESTART_S or self._stamp_s is None):
            self._stamp_s = stamp_s
        tracks, step_s = self._tracks, max(step_s, 0.0)
        tracks.age_s += step_s
        tracks.keep(tracks.age_s <= self.config.lost_s)
        if motion is not None:
            tracks.move(np.asarray(motion, np.float64))
        predict_states(tracks.states, tracks.misses > 0, step_s)

    def _match(self, keypoints: DoubleArray, scores: DoubleArray, strong: BoolArray) -> tuple[IndexArray, DoubleArray]:
        """Return the track (N,) of each detection, -1 = none, and the probability (N,) of the match."""
        tracks, has_id = self._tracks, self._tracks.ids >= 0
        track_of, shares = np.full(len(keypoints), -1), np.ones(len(keypoints))
        is_free = np.ones(len(tracks), bool)
        for candidates, wanted, limit in (
            (has_id, strong, _LIMIT),
            (has_id, ~strong, _WEAK_LIMIT),
            (~has_id, strong, _LIMIT),
        ):
            rows, columns = np.flatnonzero(candidates & is_free), np.flatnonzero(wanted & (track_of < 0))
            if len(rows) and len(columns):
                costs = pair_costs(
                    *(tracks.states, tracks.shapes, tracks.weights, rows), *(keypoints, scores, columns, self._noise)
                )
                person_of, probability = match_pairs(costs, limit)
                is_matched = person_of >= 0
                matched, found = rows[is_matched], columns[person_of[is_matched]]
                track_of[found], shares[found] = matched, probability[is_matched]
                is_free[matched] = False
        return track_of, shares

    def _start(self, people: People, track_of: IndexArray, keypoints: DoubleArray, scores: DoubleArray) -> IndexArray:
        """Start tracks for strong detections without a track, unless they are duplicates. Return the new tracks.

        Args:
            people: People of the image.
            track_of: (N,) track of each detection. Filled.
            keypoints: (N, K, 2) keypoints.
            scores: (N, K) scores.
        """
        candidates = np.flatnonzero((track_of < 0) & (people.person_scores >= self.config.strong_score))
        started = []
        for person in candidates[np.argsort(-people.person_scores[candidates], kind="stable")]:
            others = np.flatnonzero(track_of >= 0)
            if scores[person].any() and not self._is_duplicate(keypoints, scores, person, others):
                track_of[person] = self._tracks.add(keypoints[person], scores[person], people.person_scores[person])
                started.append(track_of[person])
        return np.array(started, np.int64)

    def _is_duplicate(self, keypoints: DoubleArray, scores: DoubleArray, person: int, others: IndexArray) -> bool:
        visible = scores[person] > 0
        squared = ((keypoints[others][:, visible] - keypoints[person, visible]) ** 2).sum(axis=2)
        squared[scores[others][:, visible] == 0] = np.inf
        area = BOX_FILL * np.ptp(keypoints[person, visible], axis=0).max() ** 2 / 2
        similarity = keypoint_similarity(squared, max(area, MIN_AREA), self._sigmas[visible])
        return bool((similarity.mean(axis=1) > DUPLICATE_OKS).any())

    def _name(self, tracks: IndexArray) -> None:
        """Give ids to those tracks that have been seen often enough."""
        ids, hits = self._tracks.ids, self._tracks.hits
        new = np.sort(tracks[(ids[tracks] < 0) & (hits[tracks] >= self.config.hits)])
        ids[new] = self._next_id + np.arange(len(new))
        self._next_id += len(new)

    def _add_ids(self, people: People, track_of: IndexArray) -> People:
        tracks, has_track = self._tracks, track_of >= 0
        ids = np.full(len(people), NOT_TRACKED, np.int32)
        ids[has_track] = tracks.ids[track_of[has_track]]
        has_id = ids >= 0
        velocities = np.full((len(people), 2), np.nan, np.float32)
        velocities[has_id] = tracks.states[track_of[has_id]][:, [VX, VY]]
        states = np.where(has_id, _TRACKED, _NEW)
        result = replace(people, ids=ids, states=states, velocities=velocities)
        bridge_s = self.config.bridge_s
        is_kept = (tracks.misses < self._turns) | ((bridge_s > 0) & (tracks.age_s <= bridge_s))
        lost = (tracks.ids >= 0) & (tracks.misses > 0) & is_kept
        return result.append(tracks.predicted_people(np.flatnonzero(lost))) if lost.any() else result
