"""Test the overlay: positions, colours, opacity, speed, and no exceptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_ros.config import OverlayConfig
from pose_ros.media.overlay import SIDE_COLOURS, draw, find_regions
from pose_ros.people import People, TrackState
from pose_ros.skeleton import COCO_17, SKELETONS, Skeleton

ARM = Skeleton("arm", ("neck", "left_shoulder", "right_shoulder"), ((0, 1), (0, 2), (1, 2)), ((1, 2),))
BODY = [(0, -90), (0, -70), (-22, -68), (-30, -35), (-30, -5), (22, -68), (30, -35), (30, -5), (-14, 0), (-15, 45)]
BODY += [(-15, 90), (14, 0), (15, 45), (15, 90), (-4, -94), (4, -94), (-9, -92), (9, -92)]
"""Keypoints of a standing person, OpenPose-18."""


def black(width: int = 200, height: int = 160) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def arms(score: float = 1.0, person_id: int = -1) -> People:
    """Make one person: neck in the middle, shoulders 60 px to the left and right."""
    return People([[[100, 80], [160, 80], [40, 80]]], [[score] * 3], [score], [person_id])


def colour(image: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(image[y, x].tolist())


def test_sides_have_their_colours() -> None:
    drawn = draw(black(), arms(), ARM)
    assert colour(drawn, 140, 80) == SIDE_COLOURS["left"]
    assert colour(drawn, 60, 80) == SIDE_COLOURS["right"]
    assert colour(drawn, 100, 80) == SIDE_COLOURS["centre"]


def test_redundant_limbs_are_not_drawn() -> None:
    loop = Skeleton("loop", ("a", "b", "c"), ((0, 1), (1, 2), (0, 2)), ((0, 2),))
    people = People([[[20, 20], [100, 140], [180, 20]]], np.ones((1, 3)), [1])
    assert colour(draw(black(), people, loop), 100, 20) == (0, 0, 0)


def test_the_image_is_not_modified_and_the_result_is_new() -> None:
    image = black()
    drawn = draw(image, arms(), ARM, OverlayConfig(boxes=True, ids=True))
    assert not image.any() and drawn.any()
    unchanged = draw(image, People.empty(3), ARM)
    assert np.array_equal(unchanged, image) and not np.shares_memory(unchanged, image)


def test_a_grey_image_becomes_colour() -> None:
    drawn = draw(np.full((160, 200), 90, np.uint8), arms(), ARM)
    assert drawn.shape == (160, 200, 3) and colour(drawn, 0, 0) == (90, 90, 90)


def test_a_read_only_view_of_an_image() -> None:
    image = np.zeros((320, 400, 3), np.uint8)[::2, ::2]
    image.setflags(write=False)
    assert draw(image, arms(), ARM).any()


def test_uncertain_keypoints_are_more_transparent() -> None:
    brightness = [draw(black(), arms(score), ARM)[80, 140].astype(int).sum() for score in (0.06, 0.25, 0.9)]
    assert 0 < brightness[0] < brightness[1] < brightness[2]


def test_nothing_below_the_threshold() -> None:
    assert not draw(black(), arms(0.04), ARM).any()
    assert not draw(black(), arms(0.4), ARM, OverlayConfig(score_threshold=0.5)).any()
    assert not draw(
        black(), People(np.zeros((1, 3, 2)), np.zeros((1, 3)), [0]), ARM, OverlayConfig(score_threshold=0)
    ).any()


def test_limbs_of_a_missing_keypoint_are_not_drawn() -> None:
    people = People([[[100, 80], [160, 80], [0, 0]]], [[1, 1, 0]], [1])
    drawn = draw(black(), people, ARM)
    assert drawn[75:85, 110:160].any() and not drawn[:, :80].any()


def test_width_follows_the_image_and_the_setting() -> None:
    def width(scale: int, thickness: float) -> int:
        people = People(arms().keypoints * scale, arms().scores, [1])
        drawn = draw(black(200 * scale, 160 * scale), people, ARM, OverlayConfig(thickness=thickness))
        return int((drawn[:, 130 * scale] == SIDE_COLOURS["left"]).all(axis=1).sum())

    assert width(8, 1) >= 3 * width(2, 1) > 0
    assert width(8, 2) >= 1.8 * width(8, 1)


def test_limbs_move_by_fractions_of_a_pixel() -> None:
    def centre(y: float) -> float:
        people = People([[[100, y], [160, y], [40, y]]], np.ones((1, 3)), [1])
        column = draw(black(), people, ARM)[:, 135].astype(float).sum(axis=1)
        return float((column * np.arange(len(column))).sum() / column.sum())

    assert [round(centre(80 + step) - centre(80), 1) for step in (0.25, 0.5, 0.75)] == pytest.approx(
        [0.25, 0.5, 0.75], abs=0.13
    )


def test_boxes_and_ids_only_on_request() -> None:
    plain = draw(black(), arms(), ARM)
    boxed = draw(black(), arms(), ARM, OverlayConfig(boxes=True))
    named = draw(black(), arms(person_id=7), ARM, OverlayConfig(ids=True))
    assert boxed.any(axis=(1, 2)).sum() > plain.any(axis=(1, 2)).sum()
    assert not np.array_equal(named, plain)
    assert not np.array_equal(named, draw(black(), arms(person_id=8), ARM, OverlayConfig(ids=True)))


def test_with_tracking_only_ids_are_written() -> None:
    config = OverlayConfig(ids=True)

    def write(state: TrackState, person_id: int, score: float = 0.9) -> np.ndarray:
        return draw(black(), replace(arms(person_id=person_id), states=[state], person_scores=[score]), ARM, config)

    assert np.array_equal(write(TrackState.NEW, -1), draw(black(), arms(), ARM))
    assert np.array_equal(write(TrackState.TRACKED, 3, 0.2), write(TrackState.TRACKED, 3, 0.9))
    assert not np.array_equal(write(TrackState.TRACKED, 3), write(TrackState.LOST, 3))
    assert not np.array_equal(write(TrackState.UNTRACKED, -1, 0.2), write(TrackState.UNTRACKED, -1, 0.9))


@pytest.mark.parametrize("x", [-1e30, -500, 100, 5000, 1e30])
@pytest.mark.parametrize("y", [-1e30, 80, 1e30])
def test_keypoints_outside_the_image(x: float, y: float) -> None:
    people = People([[[x, y], [160, 80], [40, -y]]], np.ones((1, 3)), [1])
    assert draw(black(), people, ARM, OverlayConfig(boxes=True, ids=True)).shape == (160, 200, 3)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 500), (3, 2), (40, 30)], ids=str)
def test_images_too_small_for_text(size_wh: tuple[int, int]) -> None:
    assert (
        draw(black(*size_wh), arms(), ARM, OverlayConfig(boxes=True, ids=True, thickness=10)).shape[:2] == size_wh[::-1]
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 6),
    skeleton=st.sampled_from(sorted(SKELETONS)),
    spread=st.sampled_from([0.0, 1.0, 300.0, 1e6]),
    threshold=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_any_people_can_be_drawn(seed: int, count: int, skeleton: str, spread: float, threshold: float) -> None:
    rng, chosen = np.random.default_rng(seed), SKELETONS[skeleton]
    scores = rng.uniform(0, 1, (count, len(chosen))) * (rng.uniform(size=(count, len(chosen))) < 0.6)
    keypoints = rng.normal(80, spread, (count, len(chosen), 2)) * (scores > 0)[..., None]
    people = People(keypoints, scores, rng.uniform(0, 1, count), rng.integers(-1, 9, count))
    config = OverlayConfig(score_threshold=threshold, boxes=True, ids=True)
    assert draw(black(), people, chosen, config).dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "error"),
    [
        pytest.param(None, TypeError, id="none"),
        pytest.param(np.zeros((4, 4, 3), np.float32), ValueError, id="float"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), ValueError, id="four channels"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), ValueError, id="empty"),
    ],
)
def test_invalid_images(image: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error, match="image: expected"):
        draw(image, arms(), ARM)


def test_people_of_another_skeleton() -> None:
    with pytest.raises(ValueError, match=r"people: expected 17 keypoints \(coco_17\), got 3"):
        draw(black(), arms(), COCO_17)


def test_a_limb_from_left_to_right_has_the_colour_of_the_centre() -> None:
    shoulders = Skeleton("shoulders", ("left_shoulder", "right_shoulder"), ((0, 1),))
    drawn = draw(black(), People([[[160, 80], [40, 80]]], [[1, 1]], [1]), shoulders)
    assert colour(drawn, 100, 80) == SIDE_COLOURS["centre"]


def test_a_limb_to_a_point_far_outside_leads_there() -> None:
    people = People([[[20, 80], [1e30, 80], [0, 0]]], [[1, 1, 0]], [1])
    drawn = draw(black(), people, ARM)
    assert colour(drawn, 100, 80) == colour(drawn, 195, 80) == SIDE_COLOURS["left"]


def changed_area(config: OverlayConfig, person_id: int = 7) -> tuple[int, int, int, int]:
    """Return first and last column, first and last row that a setting of the overlay changes."""
    people = arms(person_id=person_id)
    changed = (draw(black(), people, ARM, config) != draw(black(), people, ARM)).any(axis=2)
    rows, cols = np.nonzero(changed)
    return cols.min(), cols.max(), rows.min(), rows.max()


def test_a_box_surrounds_its_person() -> None:
    first, last, top, bottom = changed_area(OverlayConfig(boxes=True))
    assert first < 40 and last > 160 and top < 80 < bottom


@pytest.mark.parametrize("person_id", [7, -1], ids=["id", "score"])
def test_the_text_is_above_its_person(person_id: int) -> None:
    first, _, _, bottom = changed_area(OverlayConfig(ids=True), person_id)
    assert 30 < first <= 40 and 60 < bottom < 80


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_regions_cover_every_box_and_do_not_overlap(seed: int, count: int) -> None:
    random, shape_hw = np.random.default_rng(seed), (60, 90)
    low = random.uniform(-30, 90, (count, 2))
    boxes, margins = np.hstack([low, low + random.uniform(0, 40, (count, 2))]), random.uniform(0, 5, count)
    times = np.zeros(shape_hw, int)
    for region in find_regions(boxes, margins, shape_hw):
        times[region] += 1
    assert times.max(initial=0) <= 1
    rows, cols = np.mgrid[:60, :90]
    for (x_min, y_min, x_max, y_max), margin in zip(boxes, margins, strict=True):
        is_near = (
            (cols >= x_min - margin) & (cols < x_max + margin) & (rows >= y_min - margin) & (rows < y_max + margin)
        )
        assert (times[is_near] == 1).all()


def test_uncertain_people_far_apart_look_as_in_images_of_their_own() -> None:
    """Parts of the image are blended one by one, so none may be missing, cut or blended twice."""
    image = np.random.default_rng(0).integers(0, 256, (400, 900, 3), np.uint8)
    skeleton = COCO_17
    standing = 60 * np.nan_to_num(skeleton.standing, nan=0.5)
    everyone = standing + np.reshape([[100, 150], [450, 150], [800, 150]], (3, 1, 2))
    scores = np.random.default_rng(1).uniform(0.05, 0.35, (3, len(skeleton)))
    together = draw(image, People(everyone, scores, [0.5] * 3), skeleton)
    one_by_one = image
    for keypoints, each in zip(everyone, scores, strict=True):
        one_by_one = draw(one_by_one, People(keypoints[None], each[None], [0.5]), skeleton)
    np.testing.assert_array_equal(together, one_by_one)
    assert (together != image).any(axis=2).sum() > 1000
