"""Targets: the ideal fields of known people."""

import numpy as np

from pose_ros.training.targets import confidence_maps, part_affinity_fields


def test_confidence_is_one_at_a_keypoint_and_the_maximum_between() -> None:
    people = np.array([[[5, 5]], [[9, 5]]], np.float32)
    maps = confidence_maps(people, np.ones((2, 1), bool), (12, 16), 2.0)
    assert maps.shape == (1, 12, 16) and maps[0, 5, 5] == maps[0, 5, 9] == 1
    assert np.isclose(maps[0, 5, 7], np.exp(-4 / 8))  # not the sum of both


def test_absent_and_far_outside_keypoints_leave_nothing() -> None:
    people = np.array([[[5, 5], [500, -500]]], np.float32)
    assert not confidence_maps(people, np.array([[False, True]]), (12, 16), 2.0).any()


def test_field_is_the_unit_vector_on_the_limb() -> None:
    people = np.array([[[2, 3], [8, 11]]], np.float32)  # along (0.6, 0.8)
    pafs = part_affinity_fields(people, np.ones((1, 2), bool), ((0, 1),), (14, 14), 1.0)
    np.testing.assert_allclose(pafs[:, 7, 5], [0.6, 0.8], rtol=1e-6)
    assert not pafs[:, 3, 8].any() and not pafs[:, 13, 10].any()


def test_crossing_limbs_are_averaged_and_points_have_no_field() -> None:
    people = np.array([[[2, 5], [10, 5]], [[6, 1], [6, 9]], [[1, 1], [1, 1]]], np.float32)
    pafs = part_affinity_fields(people, np.ones((3, 2), bool), ((0, 1),), (12, 12), 1.0)
    np.testing.assert_allclose(pafs[:, 5, 6], [0.5, 0.5])
    assert not pafs[:, 1, 1].any() and np.isfinite(pafs).all()
