"""Test the choice of the input size of each image: in turn, or by the people of the last seconds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from pose_ros.config import AUTO, PreprocessConfig
from pose_ros.people import People
from pose_ros.skeleton import COCO_17
from pose_ros.view_choice import MEMORY_S, PROBE_S, SEARCH_S, FollowedSizes, SizesInTurn, make_choice

SIDES, PREFERRED, IMAGE_WH, RATE_HZ = (176, 256, 352, 496, 704), 352, (1280, 720), 20
Scene = Callable[[int], People]


def people_of(*heights_px: float, score: float = 0.6) -> People:
    """Make people of some heights, side by side."""
    bodies = [COCO_17.standing * height + (250 * n, 10) for n, height in enumerate(heights_px)]
    return People(
        np.reshape(bodies, (-1, 17, 2)), np.full((len(bodies), 17), score), np.full(len(bodies), score, np.float32)
    )


def watch(choice: FollowedSizes, scene: Scene, seconds: float, start_s: float = 1.0) -> list[int]:
    """Return the short side of each image of a camera that sees a scene."""
    used = []
    for n in range(round(seconds * RATE_HZ)):
        stamp_s = start_s + n / RATE_HZ
        view = choice.choose(stamp_s)
        choice.record(view, scene(SIDES[view]), IMAGE_WH, stamp_s)
        used.append(SIDES[view])
    return used


def usual(used: list[int]) -> int:
    return max(set(used), key=used.count)


def seen_within(low_px: float, high_px: float, *heights_px: float) -> Scene:
    """Make a network that finds people whose size in its input is within limits, and nobody else."""
    return lambda side: people_of(*(h for h in heights_px if low_px <= h * side / min(IMAGE_WH) <= high_px))


@pytest.mark.parametrize(("height", "low", "high"), [(60, 496, 704), (120, 496, 704), (640, 176, 256)])
def test_the_size_follows_the_people(height: float, low: int, high: int) -> None:
    used = watch(FollowedSizes(SIDES, PREFERRED), lambda side: people_of(height), 4.0)
    assert used[0] == PREFERRED
    assert low <= usual(used[RATE_HZ:]) <= high


def test_people_too_small_or_too_large_for_the_first_size_are_looked_for() -> None:
    for height in (70.0, 700.0):
        limits = (55, 90) if height < 100 else (150, 260)
        used = watch(FollowedSizes(SIDES, PREFERRED), seen_within(*limits, height), 6.0)
        found = [len(seen_within(*limits, height)(side)) for side in used[3 * RATE_HZ :]]
        assert np.mean(found) > 0.9


def test_other_sizes_are_rare() -> None:
    used = watch(FollowedSizes(SIDES, PREFERRED), lambda side: people_of(210), 20.0)
    others = [side for side in used if side != usual(used)]
    assert set(used) == set(SIDES)
    assert len(others) <= 20 / PROBE_S
    empty = watch(FollowedSizes(SIDES, PREFERRED), lambda side: people_of(), 5.0)
    assert set(empty) == set(SIDES) and usual(empty) == PREFERRED
    assert sum(side != PREFERRED for side in empty) <= 5 / SEARCH_S


def test_the_size_does_not_swing_between_two() -> None:
    random = np.random.default_rng(0)
    between = people_of(0.35 * PREFERRED * IMAGE_WH[1] / np.sqrt(SIDES[1] * SIDES[2]))
    used = watch(
        FollowedSizes(SIDES, PREFERRED),
        lambda side: between.with_keypoints(between.keypoints * random.uniform(0.98, 1.02)),
        20.0,
    )
    steady = [a for a, b in itertools.pairwise(used) if a == b]
    assert len(steady) > 0.85 * len(used) and len(set(steady)) == 1


def test_people_who_leave_are_forgotten_and_new_ones_followed() -> None:
    choice = FollowedSizes(SIDES, PREFERRED)
    far = usual(watch(choice, lambda side: people_of(60), 4.0))
    near = usual(watch(choice, lambda side: people_of(640), 4.0 + MEMORY_S, 5.0)[int(MEMORY_S * RATE_HZ) :])
    assert near < PREFERRED < far


def test_a_part_of_a_large_person_does_not_count() -> None:
    whole = people_of(650)
    parts = People(
        np.concatenate([whole.keypoints[:, [0] * 17] + np.linspace(0, d, 17)[:, None] for d in (60, 70)]),
        np.full((2, 17), 0.3),
        np.full(2, 0.3),
    )
    used = watch(FollowedSizes(SIDES, PREFERRED), lambda side: whole if side <= 256 else parts, 12.0)
    assert usual(used[6 * RATE_HZ :]) <= 256


def test_the_choice_depends_on_the_images_alone() -> None:
    runs = [watch(FollowedSizes(SIDES, PREFERRED), seen_within(60, 200, 90, 400), 5.0) for _ in range(2)]
    assert runs[0] == runs[1]
    choice = FollowedSizes(SIDES, PREFERRED)
    assert [choice.choose(3.0) for _ in range(3)] == [2, 2, 2]  # asking changes nothing


def test_images_without_stamps_and_a_clock_that_goes_back() -> None:
    choice, used = FollowedSizes(SIDES, PREFERRED), []
    for _ in range(120):
        view = choice.choose(0.0)
        choice.record(view, people_of(60), IMAGE_WH, 0.0)
        used.append(SIDES[view])
    assert usual(used) > PREFERRED and len(set(used)) > 3
    choice.record(0, people_of(), IMAGE_WH, 1000.0)
    choice.record(0, people_of(), IMAGE_WH, 10.0)
    assert choice.choose(10.01) == 2


def test_sizes_in_turn() -> None:
    choice, used = SizesInTurn(3), []
    for _ in range(6):
        view = choice.choose(0.0)
        assert choice.choose(0.0) == view  # an image that fails does not count
        choice.record(view, people_of(), IMAGE_WH, 0.0)
        used.append(view)
    assert used == [0, 1, 2, 0, 1, 2] and choice.turns == 3


def test_the_settings_decide() -> None:
    assert make_choice(PreprocessConfig(), (352,), 352) is None
    assert make_choice(PreprocessConfig(scales=(256, 448)), (256, 448), 352) is None
    in_turn = PreprocessConfig(scales=(256, 448), scale_order="alternate")
    assert isinstance(make_choice(in_turn, (256, 448), 352), SizesInTurn)
    assert isinstance(make_choice(PreprocessConfig(short_side=AUTO), SIDES, 352), FollowedSizes)
    assert make_choice(PreprocessConfig(short_side=AUTO), (256,), 352) is None  # a network of fixed size
