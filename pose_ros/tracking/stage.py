"""Track and smooth the people of one camera, in pixels and in metres: stages of the pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pose_ros.arrays import Image
from pose_ros.config import SmoothingConfig, TrackingConfig
from pose_ros.people import People
from pose_ros.skeleton import Skeleton
from pose_ros.tracking.camera_motion import CameraMotion
from pose_ros.tracking.smoothing import Smoother, smooth_people
from pose_ros.tracking.tracker import Tracker
from pose_ros.tracking.velocity import VelocityFilter


class TrackingStage:
    """Tracker, filters and camera motion of one camera. Not thread-safe: call it from one thread at a time."""

    def __init__(
        self, skeleton: Skeleton, tracking: TrackingConfig, smoothing: SmoothingConfig, turns: int = 1
    ) -> None:
        """Prepare the stage.

        Args:
            skeleton: Skeleton of the people.
            tracking: Settings of the ids.
            smoothing: Settings of the filters.
            turns: Number of input sizes of the network that take turns, see ``Tracker``.
        """
        self._tracker = Tracker(skeleton, tracking, turns)
        self._smoother = Smoother(len(skeleton), smoothing)
        self._smoother_3d = Smoother(len(skeleton) + 1, smoothing, dimensions=3)  # the last point is the position
        self._velocity_filter = VelocityFilter()
        self._camera_motion = CameraMotion()
        self._tracking, self._smoothing = tracking, smoothing

    def configure(self, tracking: TrackingConfig, smoothing: SmoothingConfig) -> None:
        """Change the settings. People keep their ids, unless tracking was or is off."""
        if not (tracking.enabled and self._tracking.enabled):
            self._tracker.reset()
            self.reset_3d()
        if not tracking.camera_motion:
            self._camera_motion = CameraMotion()
        if smoothing != self._smoothing:
            self._smoother.reset()
            self._smoother_3d.reset()
        self._tracker.config, self._smoother.config, self._smoother_3d.config = tracking, smoothing, smoothing
        self._tracking, self._smoothing = tracking, smoothing

    def track(self, people: People, image: Image, stamp_s: float) -> People:
        """Give ids to the people of the next image, see ``Tracker.update``. Without tracking, return them unchanged."""
        if not self._tracking.enabled:
            return people
        if not self._tracking.camera_motion:
            return self._tracker.update(people, stamp_s)
        motion = self._camera_motion.measure(image)
        self._camera_motion.remember_people(people.boxes())
        return self._tracker.update(people, stamp_s, motion)

    def smooth(self, people: People, stamp_s: float) -> People:
        """Smooth the keypoints, see ``smooth_people``. Without smoothing, return them unchanged."""
        if not (self._smoothing.enabled and self._tracking.enabled):
            return people
        return smooth_people(self._smoother, people, stamp_s)

    def reset_3d(self) -> None:
        """Forget where people were in metres, for example after a change of the frame."""
        self._smoother_3d.reset()
        self._velocity_filter.reset()

    def follow_3d(self, people: People, stamp_s: float) -> People:
        """Smooth people in metres if smoothing is on, and add velocities in m/s. Without tracking, change nothing."""
        if people.positions_3d is None or people.position_deviations_3d is None or not self._tracking.enabled:
            return people
        positions, deviations = people.positions_3d, people.position_deviations_3d
        velocities = self._velocity_filter.update(people.ids, positions, deviations, stamp_s)
        if self._smoothing.enabled:
            people = self._smooth_3d(people, stamp_s)
        return replace(people, velocities_3d=velocities)

    def _smooth_3d(self, people: People, stamp_s: float) -> People:
        n, k = people.scores.shape
        keypoints = np.full((n, k, 3), np.nan, np.float32) if people.keypoints_3d is None else people.keypoints_3d
        points = np.concatenate([keypoints, np.asarray(people.positions_3d)[:, None]], axis=1)
        scores = np.concatenate([people.scores, people.person_scores[:, None]], axis=1)
        smoothed = self._smoother_3d.smooth(people.ids, points, scores, stamp_s)
        return replace(
            people, keypoints_3d=None if people.keypoints_3d is None else smoothed[:, :-1], positions_3d=smoothed[:, -1]
        )
