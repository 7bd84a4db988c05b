"""Track and smooth the people of one camera: the two stages of the pipeline."""

from __future__ import annotations

from pose_ros.arrays import Image
from pose_ros.config import SmoothingConfig, TrackingConfig
from pose_ros.people import People
from pose_ros.skeleton import Skeleton
from pose_ros.tracking.camera_motion import CameraMotion
from pose_ros.tracking.smoothing import Smoother, smooth_people
from pose_ros.tracking.tracker import Tracker


class TrackingStage:
    """Tracker, filters and camera motion of one camera. Not thread-safe: call it from one thread at a time."""

    def __init__(self, skeleton: Skeleton, tracking: TrackingConfig, smoothing: SmoothingConfig) -> None:
        """Prepare the stage.

        Args:
            skeleton: Skeleton of the people.
            tracking: Settings of the ids.
            smoothing: Settings of the filters.
        """
        self._tracker = Tracker(skeleton, tracking)
        self._smoother = Smoother(len(skeleton), smoothing)
        self._camera_motion = CameraMotion()
        self._tracking, self._smoothing = tracking, smoothing

    def configure(self, tracking: TrackingConfig, smoothing: SmoothingConfig) -> None:
        """Change the settings. People keep their ids, unless tracking was or is off."""
        if not (tracking.enabled and self._tracking.enabled):
            self._tracker.reset()
        if not tracking.camera_motion:
            self._camera_motion = CameraMotion()
        if smoothing != self._smoothing:
            self._smoother.reset()
        self._tracker.config, self._smoother.config = tracking, smoothing
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
