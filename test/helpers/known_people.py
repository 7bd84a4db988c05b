"""An estimator that finds given people in every image, and people with known places in metres."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton

FOCAL_PX = 60.0
HEIGHT_M = 1.7


def standing_people(
    *places_m: tuple[float, float, float],
    skeleton: Skeleton = COCO_17,
    size_wh: tuple[int, int] = (80, 64),
    **more: Any,
) -> People:
    """Make people who stand upright and face the camera.

    Args:
        places_m: Place of the middle of the hips of each person, in the optical frame of the camera, m.
        skeleton: Skeleton of the people. It has the keypoints of COCO.
        size_wh: Width and height of the image, px.
        more: Other fields of the people.
    """
    body = skeleton.standing - skeleton.standing[[skeleton.index(f"{side}_hip") for side in ("left", "right")]].mean(0)
    points = np.zeros((len(places_m), len(skeleton), 3), np.float32)
    points[..., :2] = HEIGHT_M * body
    points += np.float32(places_m).reshape(-1, 1, 3)
    xy = FOCAL_PX * points[..., :2] / points[..., 2:] + (np.float32(size_wh) - 1) / 2
    count = len(places_m)
    values = {
        "keypoints": xy,
        "scores": np.full(xy.shape[:2], 0.9, np.float32),
        "person_scores": np.full(count, 0.8, np.float32),
        "keypoints_3d": points,
        "positions_3d": points[:, [skeleton.index(n) for n in ("left_shoulder", "right_shoulder")]].mean(axis=1) / 2
        + np.float32(places_m).reshape(-1, 3) / 2,
        "velocities_3d": np.tile(np.float32([0.5, 0, -0.25]), (count, 1)),
    }
    return People(**{**values, **more})


class KnownEstimator(PoseEstimator):
    """A loaded estimator whose people are replaced: by those of the attribute ``people``, which may change."""

    def __init__(self, estimator: PoseEstimator, people: People, skeleton: Skeleton = COCO_17) -> None:
        self.__dict__.update(estimator.__dict__)
        self.people, self._skeleton = people, skeleton

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the people."""
        return self._skeleton

    def process(self, image: Any, colour: str = "bgr", *, view: int | None = None) -> Estimate:
        """Return the people."""
        return Estimate(self.people, 0.0, 0.0, 0.0)
