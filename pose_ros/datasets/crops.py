"""Training samples for networks that refine a known pose: crops of one person, and a wrong pose to repair.

The crop is that of the refinement: a box around the wrong pose.

References:
    Moon et al., PoseFix, arXiv:1812.03595, section 5.2 (crops and their augmentation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray
from pose_ros.datasets.augment import AugmentConfig, change_colours
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.labels import has_position
from pose_ros.datasets.pose_errors import ErrorRates, WrongPose, synthesise_pose
from pose_ros.datasets.regions import enlarge_boxes
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.datasets.warp import Matrix, affine, warp
from pose_ros.refinement.crops import crop_scale
from pose_ros.settings import CheckedSettings, setting
from pose_ros.skeleton import BOX_FILL, Skeleton

NEARBY = 0.25
"""Margin around the box of a person within which the boxes of others count as near, relative to its longer side."""
_TRIES = 50


@dataclass(frozen=True)
class CropConfig(CheckedSettings):
    """Crops of one person, for networks that refine a known pose. The crop of the refinement has no change."""

    scale: float = setting(0.25, "Largest natural logarithm of the change of scale.", low=0.0, high=2.0)
    shift: float = setting(0.05, "Largest shift, as a fraction of the crop.", low=0.0, high=0.5)
    fewest_keypoints: int = setting(5, "Fewest labelled keypoints of a person.", low=1, high=1000)


@dataclass(frozen=True)
class CropStream:
    """Endless stream of augmented crops. Seed, epoch and index determine a sample completely.

    Can be pickled and sent to worker processes.

    Attributes:
        data: Data sets that people are drawn from.
        rates: Frequencies of the errors of the poses.
        crops: Settings of the crops.
        augmentation: Settings of rotation, mirroring and colours.
        skeleton: Skeleton of the samples.
        size_wh: Width and height of the samples, px.
        seed: Seed of all random numbers.
    """

    data: Mixture
    rates: ErrorRates
    crops: CropConfig
    augmentation: AugmentConfig
    skeleton: Skeleton
    size_wh: tuple[int, int]
    seed: int = 0

    def sample(self, epoch: int, index: int) -> Sample:
        """Make the sample with an index in an epoch.

        Raises:
            ValueError: If no person with enough labelled keypoints was found.
        """
        rng = np.random.default_rng([self.seed, epoch, index])
        for _ in range(_TRIES):
            sample = self.data.draw(rng)
            people = list_people(sample, self.crops.fewest_keypoints)
            if len(people) == 0:
                continue
            person = int(rng.choice(people))
            pose = make_wrong_pose(sample, person, self.rates, self.skeleton, rng)
            crop = cut_person(sample, person, pose, self._draw_map(pose, rng), self.size_wh, self.skeleton)
            if crop is not None:
                return replace(crop, image_bgr=change_colours(crop.image_bgr, self.augmentation, rng))
        raise ValueError(
            f"data: expected people with {self.crops.fewest_keypoints} labelled keypoints, got none in {_TRIES} "
            "images; lower crops.fewest_keypoints"
        )

    def _draw_map(self, pose: WrongPose, rng: np.random.Generator) -> Matrix:
        config, size = self.augmentation, np.array(self.size_wh)
        factor = float(np.exp(rng.uniform(-1, 1) * self.crops.scale))
        shift = self.crops.shift * rng.uniform(-1, 1, 2) * size
        degrees, mirrored = rng.normal() * config.rotation_deg, bool(rng.random() < config.flip)
        return map_to_crop(pose, self.size_wh, factor, degrees, mirrored, shift)


class CropSamples(Sequence[Sample]):
    """One crop per labelled person, each with a wrong pose and without augmentation. Used for validation.

    Args:
        samples: Images with people. People with fewer labelled keypoints than ``fewest`` are left out.
        rates: Frequencies of the errors of the poses.
        fewest: Fewest labelled keypoints of a person.
        skeleton: Skeleton of the samples.
        size_wh: Width and height of the crops, px.
        most: Most crops, spread evenly over the people.
        seed: Seed of the errors.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        rates: ErrorRates,
        fewest: int,
        skeleton: Skeleton,
        size_wh: tuple[int, int],
        most: int,
        seed: int = 0,
    ) -> None:
        self._samples, self._rates, self._skeleton = samples, rates, skeleton
        self._size_wh, self._seed = size_wh, seed
        places = [(i, int(n)) for i in range(len(samples)) for n in list_people(samples[i], fewest)]
        chosen = np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
        self._places = [places[i] for i in chosen]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # slices are not supported
        place, person = self._places[index]
        rng = np.random.default_rng([self._seed, place, person])
        sample = self._samples[place]
        pose = make_wrong_pose(sample, person, self._rates, self._skeleton, rng)
        crop = cut_person(sample, person, pose, map_to_crop(pose, self._size_wh), self._size_wh, self._skeleton)
        if crop is None:  # every keypoint lies outside the crop of the wrong pose
            pose = replace(pose, keypoints=sample.keypoints[person], present=sample.states[person] == LABELLED)
            crop = cut_person(sample, person, pose, map_to_crop(pose, self._size_wh), self._size_wh, self._skeleton)
        if crop is None:
            raise ValueError(f"sample {place}: expected a person with a keypoint inside the image, got none")
        return crop


def list_people(sample: Sample, fewest: int) -> AnyArray:
    """Return the indices of the people with at least so many labelled keypoints."""
    return np.flatnonzero((sample.states == LABELLED).sum(axis=1) >= fewest)


def make_wrong_pose(
    sample: Sample, person: int, rates: ErrorRates, skeleton: Skeleton, rng: np.random.Generator
) -> WrongPose:
    """Make a wrong pose of a person of a sample, in its pixels. At least one keypoint is present.

    Args:
        sample: Sample with the person, who has a labelled keypoint, and others.
        person: Index of the person.
        rates: Frequencies of the errors.
        skeleton: Skeleton of the sample.
        rng: Source of all random numbers.
    """
    reach = enlarge_boxes(sample.boxes[person : person + 1], NEARBY)[0]
    is_near = (sample.boxes[:, 2:] >= reach[:2]).all(axis=1) & (sample.boxes[:, :2] <= reach[2:]).all(axis=1)
    is_near[person] = True
    near = np.flatnonzero(is_near)
    labelled = sample.states[near] == LABELLED
    areas = BOX_FILL * (sample.boxes[near, 2:] - sample.boxes[near, :2]).astype(np.float64).prod(axis=1)
    same = int(np.flatnonzero(near == person)[0])
    pose = synthesise_pose(sample.keypoints[near], labelled, np.maximum(areas, 1), same, rates, skeleton, rng)
    if pose.present.any():
        return pose
    present = labelled[same]
    return replace(pose, keypoints=np.where(present[:, None], sample.keypoints[person], 0), present=present)


def map_to_crop(
    pose: WrongPose,
    size_wh: tuple[int, int],
    factor: float = 1.0,
    degrees: float = 0.0,
    mirrored: bool = False,
    shift_xy: DoubleArray | tuple[float, float] = (0.0, 0.0),
) -> Matrix:
    """Return the (2, 3) map from an image to the crop of a pose, as the refinement makes it, with changes.

    Args:
        pose: Pose with a present keypoint.
        size_wh: Width and height of the crop, px.
        factor: Change of scale.
        degrees: Rotation.
        mirrored: Whether to mirror.
        shift_xy: Shift, px of the crop.
    """
    places = pose.keypoints[pose.present].astype(np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (np.array(size_wh) - 1) / 2 + np.asarray(shift_xy)
    return affine(factor * crop_scale(high - low, size_wh), degrees, mirrored, (low + high) / 2, middle)


def cut_person(
    sample: Sample, person: int, pose: WrongPose, matrix: Matrix, size_wh: tuple[int, int], skeleton: Skeleton
) -> Sample | None:
    """Cut one person out of a sample, with the pose to repair. None if no keypoint of the person is in the crop.

    Args:
        sample: Sample with the person.
        person: Index of the person.
        pose: Pose to repair, in pixels of the sample.
        matrix: (2, 3) map from pixels of the sample to those of the crop.
        size_wh: Width and height of the crop, px.
        skeleton: Skeleton of the sample.
    """
    own = slice(person, person + 1)
    alone = Sample(sample.image_bgr, sample.keypoints[own], sample.states[own], sample.boxes[own])
    order = list(skeleton.flip_order)
    crop = warp(alone, matrix, size_wh, order)
    if not has_position(crop.states).any():
        return None
    xy = pose.keypoints @ matrix[:, :2].T + matrix[:, 2]
    known = np.column_stack([xy, pose.present]).astype(np.float32)
    return replace(crop, pose=known[order] if np.linalg.det(matrix[:, :2]) < 0 else known)
