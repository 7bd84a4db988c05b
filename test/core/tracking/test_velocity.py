"""Test velocities in m/s: unknown until they can be known, then right, at any rate and with any stamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pose_ros.tracking.velocity import VelocityFilter

START = np.array([0.5, 0.2, 4.0])
SPEED = np.array([1.2, 0.0, -0.8])


def walk(
    stamps_s: Sequence[float], speed: np.ndarray = SPEED, noise_m: float = 0.0, seen: Sequence[bool] = (), jump_m: float = 0
) -> np.ndarray:
    """Return the velocities (M, 3) of one person who walks, at each stamp. From the middle on, the person has jumped."""
    rng, follower, found = np.random.default_rng(0), VelocityFilter(), []
    for index, stamp_s in enumerate(stamps_s):
        position = START + speed * (stamp_s - stamps_s[0]) + noise_m * rng.standard_normal(3)
        position += jump_m * (index >= len(stamps_s) // 2)
        if seen and not seen[index]:
            position = np.full(3, np.nan)
        found.append(follower.update(np.array([7]), position[None], np.array([0.03]), stamp_s)[0])
    return np.array(found)


@pytest.mark.parametrize("rate_hz", [3, 10, 30, 60])
def test_the_velocity_of_a_walk(rate_hz: float) -> None:
    found = walk(100 + np.arange(4 * rate_hz) / rate_hz, noise_m=0.02)
    assert np.isnan(found[0]).all()  # one position tells no velocity
    known = found[2 * rate_hz :]
    assert np.abs(known - SPEED).max() < 0.5 and np.abs(known.mean(axis=0) - SPEED).max() < 0.15


def test_irregular_stamps_and_gaps() -> None:
    stamps_s = 100 + np.cumsum(np.random.default_rng(1).uniform(0.01, 0.2, 60))
    seen = [index % 7 != 3 for index in range(60)]
    assert np.abs(walk(stamps_s, seen=seen)[30:] - SPEED).max() < 0.1


def test_a_person_at_rest_has_no_speed() -> None:
    found = walk(100 + np.arange(90) / 30, np.zeros(3), 0.02)
    assert np.linalg.norm(found[45:], axis=1).max() < 0.3


def test_the_velocity_is_unknown_again_after_a_while_without_positions() -> None:
    stamps_s = 100 + np.arange(90) / 30
    found = walk(stamps_s, seen=[index < 30 for index in range(90)])
    assert np.abs(found[33] - SPEED).max() < 0.1 and np.isnan(found[-1]).all()


def test_a_jump_is_another_place_and_not_a_speed() -> None:
    found = walk(100 + np.arange(60) / 30, np.zeros(3), jump_m=3.0)
    assert np.isnan(found[30]).all() and np.nanmax(np.abs(found)) < 0.3


def test_without_a_stamp_an_id_or_a_position_the_velocity_is_unknown() -> None:
    assert np.isnan(walk([0.0] * 10)).all()
    follower, nowhere = VelocityFilter(), np.full((2, 3), np.nan)
    for stamp_s in np.arange(1, 5, 0.1):
        ids, positions = np.array([-1, 3]), np.stack([START + SPEED * stamp_s, nowhere[1]])
        assert np.isnan(follower.update(ids, positions, np.array([0.03, np.nan]), stamp_s)).all()
    assert follower.update(np.zeros(0, int), np.zeros((0, 3)), np.zeros(0), 6.0).shape == (0, 3)


def test_the_clock_may_go_back() -> None:
    """A late image changes nothing. A clock that was set back starts everything again."""
    follower, position, deviation = VelocityFilter(), START[None], np.array([0.03])
    for index in range(30):
        last = follower.update(np.array([0]), position + SPEED * index / 30, deviation, 100 + index / 30)
    assert np.array_equal(follower.update(np.array([0]), position, deviation, 100.5), last)
    assert np.array_equal(follower.update(np.array([0]), position, deviation, 100 + 29 / 30), last)
    assert np.isnan(follower.update(np.array([0]), position, deviation, 5.0)).all()


def test_people_are_not_mixed_up() -> None:
    follower = VelocityFilter()
    for index in range(40):
        order = [4, 9] if index % 2 else [9, 4]
        positions = {4: START + SPEED * index / 20, 9: START - SPEED * index / 20}
        found = follower.update(
            np.array(order), np.stack([positions[i] for i in order]), np.full(2, 0.02), 10 + index / 20
        )
    assert np.abs(found - np.stack([-SPEED if i == 9 else SPEED for i in order])).max() < 0.05
