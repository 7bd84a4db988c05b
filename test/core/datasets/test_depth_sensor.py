"""Test the synthetic depth sensor: noise grows with the square of the distance, edges have holes and flying pixels."""

import numpy as np
import pytest

from pose_ros.datasets.synthetic.depth_sensor import DepthSensor


@pytest.mark.parametrize("distance_m", [1.0, 3.0, 6.0])
def test_noise_grows_with_the_square_of_the_distance(distance_m):
    measured = DepthSensor().measure(np.full((200, 300), distance_m, np.float32), np.random.default_rng(0))
    assert measured.dtype == np.float32
    assert abs(np.nanstd(measured) / (0.0015 * distance_m**2) - 1) < 0.05
    assert abs(np.nanmean(measured) - distance_m) < 0.0002 * distance_m**2
    assert abs(np.isnan(measured).mean() - 0.01) < 0.003


def test_edges_have_holes_and_flying_pixels():
    depth_m = np.full((100, 100), 5.0, np.float32)
    depth_m[:, :50] = 2.0
    measured = DepthSensor().measure(depth_m, np.random.default_rng(0))
    edge, rest = measured[:, 49:51], np.delete(measured, [49, 50], axis=1)
    between = (edge > 2.2) & (edge < 4.6)
    assert 0.25 < np.isnan(edge).mean() < 0.45 and 0.1 < between.mean() < 0.4
    assert not ((rest > 2.2) & (rest < 4.6)).any()


def test_far_surfaces_are_unknown_and_seeds_repeat():
    depth_m = np.full((20, 20), 13.0, np.float32)
    assert np.isnan(DepthSensor().measure(depth_m, np.random.default_rng(0))).all()
    near = [DepthSensor().measure(depth_m / 4, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*near)
