"""Refine people with a second network that sees the crop of each person.

A network such as PoseFix also sees the keypoints of the first network, as heatmaps beside the colours of the crop.

References:
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild, arXiv:1701.01779 (two stages).
    Moon et al., PoseFix, arXiv:1812.03595 (the known pose as an input).
    Cai et al., Learning Delicate Local Representations for Multi-Person Pose Estimation, arXiv:2003.04030 (crops).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pose_ros.arrays import FloatArray, Image, IndexArray
from pose_ros.estimator import PoseEstimator
from pose_ros.people import People
from pose_ros.refinement.crops import Crop, find_turn
from pose_ros.skeleton import Skeleton, map_keypoints


class Refiner:
    """Second stage: one crop per person, through a network for one person. As thread-safe as its estimator.

    Args:
        estimator: Estimator of a network with the grouping ``single`` and a fixed input size.
        skeleton: Keypoints of the people.

    Attributes:
        skeleton: Keypoints of the people.
        model_name: Name and short hash of the network.

    Raises:
        ValueError: If the network is not for one person, or its input size is not fixed.
    """

    def __init__(self, estimator: PoseEstimator, skeleton: Skeleton) -> None:
        spec = estimator.spec
        if estimator.grouping != "single" or spec.input.size_wh is None:
            raise ValueError(
                f"model {spec.name}: expected a network for crops of one person (grouping single, fixed size), got "
                f"grouping {estimator.grouping}, size {spec.input.size_wh or 'any'}; use MoveNet Thunder, for example"
            )
        if not set(estimator.skeleton.keypoint_names) & set(skeleton.keypoint_names):
            raise ValueError(
                f"model {spec.name}: expected keypoints of {skeleton.name}, got none of them in "
                f"{estimator.skeleton.name}"
            )
        self.skeleton, self.model_name = skeleton, estimator.model_name
        self._estimator, self._size_wh = estimator, spec.input.size_wh

    def refine(self, image_bgr: Image, people: People) -> People:
        """Estimate the keypoints of each person again.

        A keypoint that the second network does not find keeps its place. Its score is halved.

        Args:
            image_bgr: (H, W, 3) uint8.
            people: People in pixels of the image.

        Returns:
            The same people, in the same order, with the same scores of the people.
        """
        chosen = np.flatnonzero(people.visible.any(axis=1))
        if len(chosen) == 0 or image_bgr.size == 0:
            return people
        keypoints, scores = people.keypoints.copy(), np.float32(0.5) * people.scores
        new_keypoints, new_scores = self.estimate(image_bgr, people, chosen)
        found = new_scores > 0
        rows, columns = np.nonzero(found)
        keypoints[chosen[rows], columns], scores[chosen[rows], columns] = new_keypoints[found], new_scores[found]
        return People(keypoints, scores, people.person_scores, people.ids, people.masks)

    def estimate(
        self, image: Image, people: People, chosen: IndexArray, colour: str = "bgr", rotate: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate the keypoints of some people from their crops, in one batch.

        Args:
            image: (H, W, 3) or grey (H, W) uint8.
            people: People in pixels of the image.
            chosen: (M,) indices of the people. Each has a visible keypoint.
            colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
            rotate: Turn each crop so that the torso is upright, see ``find_turn``.

        Returns:
            Keypoints (M, K, 2) in pixels of the image, and scores (M, K). The score is 0 for keypoints that were not
            found.
        """
        crops = [self._find_crop(image, people, n, rotate) for n in chosen]
        images = [crop.cut(image) for crop in crops]
        keypoints = np.zeros((len(chosen), *people.keypoints.shape[1:]), np.float32)
        scores = np.zeros(keypoints.shape[:2], np.float32)
        poses = self._list_poses(people, chosen, crops)
        estimates = self._estimator.process_batch(images, [colour] * len(images), poses)
        for n, (crop, estimate) in enumerate(zip(crops, estimates, strict=True)):
            if len(estimate.people.person_scores):
                keypoints[n], scores[n] = self._to_image(estimate.people, crop)
        return keypoints, scores

    def _list_poses(self, people: People, chosen: IndexArray, crops: Sequence[Crop]) -> list[FloatArray] | None:
        """Return the poses (K, 3) in their crops, for a network that refines a known pose. None for other networks."""
        if not self._estimator.spec.input.pose_channels:
            return None
        keypoints, scores = map_keypoints(
            people.keypoints[chosen], people.scores[chosen], self.skeleton, self._estimator.skeleton
        )
        placed = [crop.to_crop(each) for each, crop in zip(keypoints, crops, strict=True)]
        return [np.column_stack(pose).astype(np.float32) for pose in zip(placed, scores, strict=True)]

    def close(self) -> None:
        """Free the memory of the network. The refiner is unusable afterwards."""
        self._estimator.close()

    def _find_crop(self, image: Image, people: People, n: int, rotate: bool) -> Crop:
        """Return the crop of one person. Keypoints far outside the image count as near it."""
        reach = 2.0 * np.array(image.shape[1::-1])
        keypoints, scores = people.keypoints[n].clip(-reach, reach), people.scores[n]
        angle = find_turn(keypoints, scores, self.skeleton) if rotate else 0.0
        return Crop.around(keypoints[scores > 0], self._size_wh, angle)

    def _to_image(self, people: People, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (K, 2) in the image and scores (K,) of the person of a crop."""
        keypoints = crop.to_image(people.keypoints).astype(np.float32)
        mapped, scores = map_keypoints(keypoints, people.scores, self._estimator.skeleton, self.skeleton)
        return mapped[0], scores[0]
