"""Test the crops of one person, and the wrong poses in them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from pose_ros.datasets.augment import AugmentConfig
from pose_ros.datasets.crops import CropConfig, CropSamples, CropStream, cut_person, make_wrong_pose, map_to_crop
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.pose_errors import ErrorRates, WrongPose, published_rates
from pose_ros.datasets.sample import ABSENT, LABELLED, UNKNOWN, Sample
from pose_ros.datasets.warp import affine
from pose_ros.refinement.crops import Crop
from pose_ros.skeleton import COCO_17

SIZE = (96, 128)
NO_ERRORS = ErrorRates(np.zeros((17, 4)))
STILL = AugmentConfig(rotation_deg=0, flip=0, colour=0, grey=0, blur=0, motion_blur=0, noise=0, jpeg=0)
MIRROR = list(COCO_17.flip_order)


def make_sample(*centres: float, height: float = 160, size_wh: tuple[int, int] = (400, 300)) -> Sample:
    """Make a dark image with standing people, and a bright spot at each nose."""
    keypoints = np.array([COCO_17.standing * height + (x, 60) for x in centres], np.float32).reshape(-1, 17, 2)
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x, y in keypoints[:, 0].round().astype(int):
        image[y - 4 : y + 5, x - 4 : x + 5] = 255
    boxes = np.concatenate([keypoints.min(axis=1) - 4, keypoints.max(axis=1) + 4], axis=1).reshape(-1, 4)
    return Sample(image, keypoints, np.full((len(keypoints), 17), LABELLED, np.uint8), boxes.astype(np.float32))


def make_stream(*samples: Sample, rates: ErrorRates = NO_ERRORS, augmentation: AugmentConfig = STILL) -> CropStream:
    crops = CropConfig(scale=0.2, shift=0.05)
    return CropStream(Mixture([list(samples)], [1.0]), rates, crops, augmentation, COCO_17, SIZE, seed=3)


def true_pose(sample: Sample, person: int = 0) -> WrongPose:
    return make_wrong_pose(sample, person, replace(NO_ERRORS), COCO_17, np.random.default_rng(0))


def test_the_crop_without_changes_is_that_of_the_refinement() -> None:
    sample = make_sample(150)
    pose = true_pose(sample)
    np.testing.assert_allclose(map_to_crop(pose, SIZE), Crop.around(pose.keypoints, SIZE).matrix, atol=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
def test_labels_pose_and_image_move_together(mirrored: bool) -> None:
    sample = make_sample(150)
    pose = WrongPose(sample.keypoints[0] + np.float32(3), np.ones(17, bool), np.zeros(17, np.int8))
    matrix = map_to_crop(pose, SIZE, 1.1, 15, mirrored, (2.0, -3.0))
    crop = cut_person(sample, 0, pose, matrix, SIZE, COCO_17)
    order = MIRROR if mirrored else list(range(17))
    np.testing.assert_allclose(
        crop.keypoints[0], sample.keypoints[0][order] @ matrix[:, :2].T + matrix[:, 2], atol=1e-3
    )
    np.testing.assert_allclose(crop.pose[:, :2], pose.keypoints[order] @ matrix[:, :2].T + matrix[:, 2], atol=1e-3)
    assert crop.pose[:, 2].all() and crop.size_wh == SIZE
    rows, cols = np.nonzero(crop.image_bgr[..., 0] > 200)
    np.testing.assert_allclose([cols.mean(), rows.mean()], crop.keypoints[0, 0], atol=1.0)


def test_samples_show_one_person_whose_pose_is_the_label_if_there_are_no_errors() -> None:
    stream = make_stream(make_sample(120, 200, 290))
    for index in range(8):
        crop = stream.sample(0, index)
        labelled = crop.states[0] == LABELLED
        assert crop.keypoints.shape == (1, 17, 2) and labelled.any()
        near = np.linalg.norm(crop.pose[labelled, :2] - crop.keypoints[0, labelled], axis=1)
        assert near.max() <= 0.1 * SIZE[1], "good keypoints move less than jitter"


def test_a_mirrored_sample_keeps_the_sides_of_the_pose() -> None:
    stream = make_stream(make_sample(200), augmentation=replace(STILL, flip=1.0))
    crop = stream.sample(0, 0)
    own = np.linalg.norm(crop.pose[:, :2] - crop.keypoints[0], axis=1)
    other = np.linalg.norm(crop.pose[:, :2] - crop.keypoints[0][MIRROR], axis=1)
    sides = [k for k, mirror in enumerate(MIRROR) if mirror != k]
    assert (own[sides] < other[sides]).all()


def test_a_position_gives_the_same_sample_in_every_process() -> None:
    stream = make_stream(make_sample(120, 200), rates=published_rates(COCO_17).scale(2), augmentation=AugmentConfig())
    again = pickle.loads(pickle.dumps(stream))
    for index in range(3):
        first, second = stream.sample(1, index), again.sample(1, index)
        for name in ("image_bgr", "keypoints", "states", "pose"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (stream.sample(0, 0).pose != stream.sample(1, 0).pose).any()


def test_people_with_few_keypoints_are_left_out() -> None:
    sample = make_sample(120, 250)
    sample.states[0, 4:] = UNKNOWN
    stream = make_stream(sample)
    assert all((stream.sample(0, index).states == LABELLED).sum() > 4 for index in range(6))
    sample.states[:] = ABSENT
    with pytest.raises(ValueError, match=r"expected people with 5 labelled keypoints, got none .*fewest_keypoints"):
        stream.sample(0, 0)


def test_only_people_nearby_are_confused() -> None:
    rates = ErrorRates(np.tile([0.0, 0.0, 1.0, 0.0], (17, 1)))
    rng = np.random.default_rng(0)
    near = make_wrong_pose(make_sample(100, 160), 0, rates, COCO_17, rng)
    far = make_wrong_pose(make_sample(60, 340), 0, rates, COCO_17, rng)
    assert (near.kinds == 3).sum() > 8 and not (far.kinds == 3).any()


def test_a_pose_whose_keypoints_are_all_missing_falls_back_to_the_labels() -> None:
    sample, all_absent = make_sample(150), ErrorRates(np.tile([0.0, 0.0, 0.0, 1.0], (17, 1)), absent=1.0)
    pose = make_wrong_pose(sample, 0, all_absent, COCO_17, np.random.default_rng(0))
    np.testing.assert_array_equal(pose.keypoints, sample.keypoints[0])
    assert pose.present.all()


def test_validation_has_a_crop_for_each_person_and_is_always_the_same() -> None:
    images = [make_sample(120, 200), make_sample(), make_sample(300)]
    rates = published_rates(COCO_17).scale(2)
    crops = CropSamples(images, rates, 5, COCO_17, SIZE, most=100, seed=1)
    assert len(crops) == 3 and len(CropSamples(images, rates, 5, COCO_17, SIZE, most=2)) == 2
    for index in range(3):
        np.testing.assert_array_equal(crops[index].pose, crops[index].pose)
        assert crops[index].keypoints.shape == (1, 17, 2)
    with pytest.raises(IndexError):
        crops[3]


def test_a_crop_without_the_person_is_none() -> None:
    sample = make_sample(150)
    assert cut_person(sample, 0, true_pose(sample), affine(1, 0, False, (0, 0), (900, 900)), SIZE, COCO_17) is None
