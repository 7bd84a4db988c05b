"""Test the rules by which the keypoints of a centre snap to their heatmaps."""

import numpy as np
import pytest

from pose_ros.decoder import snapping
from pose_ros.decoder.snapping import find_best_cells

SHAPE = (40, 60)
BOX = np.array([[10.0, 5.0, 40.0, 35.0]])
KEYPOINT = np.array([[[20.0, 20.0]]])


def make_heatmap(cells: dict[tuple[int, int], float]) -> np.ndarray:
    """Make one heatmap of zeros with some cells (column, row) set."""
    heatmap = np.zeros((1, *SHAPE), np.float32)
    for (col, row), value in cells.items():
        heatmap[0, row, col] = value
    return heatmap


def find(cells: dict[tuple[int, int], float], is_scaled: bool = False, box: np.ndarray = BOX) -> tuple[object, float]:
    found, values = find_best_cells(make_heatmap(cells), box, KEYPOINT, is_scaled)
    return tuple(found[0, 0].tolist()), float(values[0, 0])


@pytest.mark.parametrize("distance", [0, 1, 4])
def test_weighted_is_the_published_product(distance: int) -> None:
    cell, value = find({(20 + distance, 20): 0.8})
    assert cell == (20 + distance, 20)
    assert value == pytest.approx(0.8 * np.exp(-(distance**2) / (0.3 * 40)), rel=1e-5)


def test_scaled_is_as_wide_as_the_person_is_large() -> None:
    assert find({(26, 20): 0.8}, True)[1] == pytest.approx(0.8 * np.exp(-36 / (2 * (0.12 * 30) ** 2)), rel=1e-5)
    half = np.array([[12.0, 12.0, 27.0, 27.0]])
    assert find({(26, 20): 0.8}, True, half)[1] == pytest.approx(0.8 * np.exp(-36 / (2 * (0.12 * 15) ** 2)), rel=1e-5)


def test_the_best_product_wins_not_the_highest_peak() -> None:
    assert find({(20, 21): 0.5, (30, 30): 1.0})[0] == (20, 21)
    assert find({(20, 21): 0.05, (22, 20): 0.9})[0] == (22, 20)


def test_weighted_stays_in_the_box_and_scaled_also_looks_around_the_keypoints() -> None:
    small = np.array([[21.0, 21.0, 35.0, 35.0]])
    assert find({(20, 20): 0.9}, False, small)[1] == 0
    assert find({(20, 20): 0.9}, True, small)[0] == (20, 20)


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1, 0])
def test_cells_without_a_value_are_skipped(is_scaled: bool, value: float) -> None:
    cell, product = find({(20, 20): value, (23, 20): 0.5}, is_scaled)
    assert cell == (23, 20) and 0 < product <= 0.5
    assert find({(20, 20): value}, is_scaled)[1] == 0


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize(
    "box",
    [[np.nan] * 4, [30, 30, 10, 10], [-90, -90, -50, -50], [1e9, 1e9, 2e9, 2e9], [20, 20, 20, 20], [np.inf] * 4],
    ids=["nan", "inverted", "left", "far", "empty", "infinite"],
)
def test_any_box_gives_no_cell_or_one_on_the_map(is_scaled: bool, box: list[float]) -> None:
    (col, row), value = find({(25, 25): 0.9, (0, 0): 0.9}, is_scaled, np.array([box], float))
    assert 0 <= col < SHAPE[1] and 0 <= row < SHAPE[0] and 0 <= value <= 0.9


@pytest.mark.parametrize("is_scaled", [False, True])
def test_absent_keypoints_and_no_people(is_scaled: bool) -> None:
    heatmaps = make_heatmap({(20, 20): 0.9})
    _, values = find_best_cells(heatmaps, BOX, np.full((1, 1, 2), np.nan), is_scaled)
    assert values[0, 0] == 0
    cells, values = find_best_cells(heatmaps, np.zeros((0, 4)), np.zeros((0, 1, 2)), is_scaled)
    assert cells.shape == (0, 1, 2) and values.shape == (0, 1)


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_compiled_and_plain_code_agree(monkeypatch: pytest.MonkeyPatch, is_scaled: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    heatmaps = random.normal(0.2, 0.4, (3, *SHAPE)).astype(np.float32)
    heatmaps[random.random(heatmaps.shape) < 0.02] = np.nan
    corners = random.uniform(-10, 70, (6, 2, 2))
    boxes = np.sort(corners, axis=1).reshape(6, 4)
    keypoints = random.uniform(-5, 60, (6, 3, 2))
    results = []
    for compiled in (snapping.COMPILED, False):
        monkeypatch.setattr(snapping, "COMPILED", compiled)
        results.append(find_best_cells(heatmaps, boxes, keypoints, is_scaled))
    (cells, values), (plain_cells, plain_values) = results
    is_normal = values > 1e-30  # smaller products of float32 are 0, those of float64 are not
    assert is_normal.any()
    np.testing.assert_array_equal(cells[is_normal], plain_cells[is_normal])
    np.testing.assert_allclose(values, plain_values, rtol=1e-5, atol=1e-30)
