"""Add keypoints and positions in metres to the people of one image: the stage of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.config import DepthConfig
from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.lifting import LiftedPeople, Lifter
from pose_ros.depth.monocular import estimate_positions
from pose_ros.people import People, TrackState
from pose_ros.skeleton import Skeleton

OnDepthError = Callable[[Exception], None]
"""Called with the error of a depth image that cannot be used."""


class DepthStage:
    """Lifting of the people of one camera.

    Attributes:
        config: Its settings. They may be replaced between two images.
    """

    def __init__(self, skeleton: Skeleton, config: DepthConfig, on_error: OnDepthError) -> None:
        """Prepare the stage.

        Args:
            skeleton: Skeleton of the people.
            config: Settings.
            on_error: Called with the error of a depth image that cannot be used. The points of this image are unknown
                then, unless it raises.
        """
        self._skeleton, self._on_error = skeleton, on_error
        self._lifter = Lifter(skeleton, config)

    @property
    def config(self) -> DepthConfig:
        """Settings. They may be replaced between two images."""
        return self._lifter.settings

    @config.setter
    def config(self, config: DepthConfig) -> None:
        if config != self._lifter.settings:
            self._lifter = Lifter(self._skeleton, config)

    def lift(
        self, people: People, find_depth: Callable[[], FloatArray | None] | None, camera: CameraModel | None
    ) -> LiftedPeople | None:
        """Lift people to the optical frame of their camera. Return None if nothing in the image tells distances.

        People who are not seen in this image are unknown. Keypoints are lifted as they were before smoothing.

        Args:
            people: People in pixels.
            find_depth: Returns the depth image (H, W), m, or None if this image has none: all points are unknown then.
                Called only if there are people. None = the camera has no depth images.
            camera: Camera of the image. None = not calibrated.
        """
        people = _seen_keypoints(people)
        if find_depth is None:
            if camera is None or not self.config.monocular:
                return None
            return estimate_positions(people, camera, self._skeleton, self.config)
        try:
            depth_m = find_depth() if len(people) else None
            if depth_m is not None and camera is not None:
                return self._lifter(people, depth_m, camera)
        except Exception as error:  # depth images come from files and networks
            self._on_error(error)
        return _unknown_people(people)


def add_lifted(people: People, lifted: LiftedPeople, matrix: AnyArray | None) -> People:
    """Add the keypoints and positions in metres to people.

    Args:
        people: The people.
        lifted: The same people in metres. Monocular ones have no keypoints.
        matrix: (4, 4) transform from the camera to the frame of the results. None = the frame of the camera.
    """
    if matrix is not None:
        lifted = lifted.transform(matrix)
    return replace(
        people,
        keypoints_3d=None if lifted.is_monocular else lifted.keypoints_m,
        deviations_3d=None if lifted.is_monocular else lifted.sigmas_m,
        positions_3d=lifted.positions_m,
        position_deviations_3d=lifted.position_sigmas_m,
    )


def forget_points(lifted: LiftedPeople) -> LiftedPeople:
    """Return the people with all points unknown."""
    return replace(
        lifted, **{name: np.full_like(value, np.nan) for name, value in vars(lifted).items() if name != "is_monocular"}
    )


def _seen_keypoints(people: People) -> People:
    """Return the keypoints as the network found them. People who are only predicted have none."""
    is_lost = (people.states == TrackState.LOST)[:, None]
    keypoints = people.keypoints if people.raw_keypoints is None else people.raw_keypoints
    return People(
        np.where(is_lost[..., None], 0, keypoints), np.where(is_lost, 0, people.scores), people.person_scores
    )


def _unknown_people(people: People) -> LiftedPeople:
    n, k = people.scores.shape
    shapes = ((n, k, 3), (n, k), (n, 3), (n,))
    return LiftedPeople(*(np.full(shape, np.nan, np.float32) for shape in shapes))
