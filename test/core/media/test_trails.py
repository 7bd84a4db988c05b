"""Test the trails of people on overlays."""

from __future__ import annotations

import numpy as np
import pytest

from pose_ros.config import OverlayConfig
from pose_ros.media.overlay import draw
from pose_ros.media.trails import MAX_POINTS, Trails
from pose_ros.people import People, TrackState
from pose_ros.skeleton import COCO_17

TORSO_Y = 0.345  # middle of shoulders and hips of a standing person


def person(x: float, person_id: int = 4, state: TrackState = TrackState.TRACKED, height: float = 60) -> People:
    keypoints = COCO_17.standing[None] * height + (x, 50.0)
    return People(keypoints, np.full((1, 17), 0.9), np.ones(1), [person_id], states=[state])


def trails_of(*people: People, length_s: float = 2.0, step_s: float = 0.1) -> Trails:
    trails = Trails()
    for i, each in enumerate(people):
        trails.update(each, COCO_17, 5 + step_s * i, length_s)
    return trails


def draw_trails(trails: Trails) -> np.ndarray:
    canvas = np.zeros((160, 320, 3), np.uint8)
    trails.draw(canvas, 2)
    return canvas


def test_a_trail_follows_the_torso_and_fades() -> None:
    canvas = draw_trails(trails_of(*[person(20 + 10 * i) for i in range(20)]))
    brightness = canvas.max(axis=2)
    rows, columns = np.nonzero(brightness)
    assert abs(rows.mean() - 50 - 60 * TORSO_Y) < 2 and columns.min() <= 22 and 208 <= columns.max() <= 213
    along = brightness.max(axis=0)[30:200:20].astype(int)
    assert (np.diff(along) > 0).all() and along[-1] > 2 * along[0]


def test_old_points_and_old_people_are_forgotten() -> None:
    people = [person(10 * i, 1) for i in range(5)] + [person(200 + i, 2) for i in range(30)]
    assert draw_trails(trails_of(*people, length_s=1.0))[:, :150].max() == 0
    trails = trails_of(*[person(i, i) for i in range(500)], length_s=1.0)
    assert len(trails._points) <= 12
    trails = trails_of(*[person(i % 300, 1) for i in range(2000)], length_s=60.0, step_s=0.001)
    assert len(trails._points[1]) == MAX_POINTS


@pytest.mark.parametrize(
    "people",
    [
        [person(20, -1, TrackState.NEW), person(90, -1, TrackState.NEW)],
        [person(20, 3, TrackState.LOST), person(90, 3, TrackState.LOST)],
        [person(20, 3), person(90, 4)],
        [person(20, 3)],
        [],
    ],
    ids=["no id", "predicted", "two people", "one image", "nobody"],
)
def test_nothing_is_drawn_without_a_trail(people: list[People]) -> None:
    assert draw_trails(trails_of(*people)).max() == 0


def test_trails_are_off_by_default_and_start_again_if_the_clock_goes_back() -> None:
    assert OverlayConfig().trails_s == 0
    assert draw_trails(trails_of(person(20), person(90), length_s=0.0)).max() == 0
    assert draw_trails(trails_of(person(20), person(90), step_s=-1.0)).max() == 0


def test_a_half_hidden_person_does_not_bend_the_trail() -> None:
    half = person(60)
    scores = half.scores * (np.arange(17) < 11)
    half = People(np.where(scores[..., None] > 0, half.keypoints, 0), scores, [1.0], [4], states=[2])
    assert np.array_equal(draw_trails(trails_of(person(20), half, person(100)))[:60], np.zeros((60, 320, 3)))


def test_huge_coordinates_are_no_error() -> None:
    draw_trails(trails_of(person(1e30), person(-1e30), person(100)))


def test_the_overlay_has_trails_below_the_people() -> None:
    people = [person(40), person(200)]
    trails, image = trails_of(*people), np.zeros((160, 320, 3), np.uint8)
    plain = draw(image, people[-1], COCO_17)
    drawn = draw(image, people[-1], COCO_17, trails=trails)
    assert not np.array_equal(drawn[:, :150], plain[:, :150])
    assert np.array_equal(drawn[:, 215:], plain[:, 215:])
    assert np.array_equal(drawn, draw(image, people[-1], COCO_17, trails=trails_of(*people)))
