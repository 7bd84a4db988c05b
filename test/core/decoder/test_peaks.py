"""Test peaks: exactly one for each maximum, at any position and next to any values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.decoder.subpixel import Refinement

SHAPE = (20, 30)


def find(heat: np.ndarray, threshold: float = 0.1, max_peaks: int = 100, subpixel: str = "quadratic") -> np.ndarray:
    """Return (P, 3) x, y and score of the peaks of one channel."""
    peaks: Peaks = find_peaks(np.ascontiguousarray(heat[None], np.float32), threshold, max_peaks, Refinement(subpixel))
    count = peaks.counts[0]
    return np.concatenate([peaks.xy[0, :count], peaks.scores[0, :count, None]], axis=1)


def gaussian(x: float, y: float, sigma: float = 1.5, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def cells(*values: tuple[int, int, float]) -> np.ndarray:
    heat = np.zeros(SHAPE)
    for x, y, value in values:
        heat[y, x] = value
    return heat


@given(st.floats(2, 27), st.floats(2, 17), st.floats(1.0, 3.0))
def test_gaussians_are_found_to_a_tenth_of_a_cell(x: float, y: float, sigma: float) -> None:
    (peak,) = find(gaussian(x, y, sigma))
    assert np.abs(peak[:2] - (x, y)).max() < 0.1


def test_a_peak_is_above_the_threshold() -> None:
    threshold = float(np.float32(0.1))
    assert find(cells((5, 5, threshold), (15, 5, 0.9)), threshold)[:, :2].tolist() == [[15, 5]]


@pytest.mark.parametrize("corner", [(0, 0), (29, 0), (0, 19), (29, 19)], ids=str)
def test_peaks_in_corners_are_found(corner: tuple[int, int]) -> None:
    (peak,) = find(gaussian(*corner))
    assert peak[:2].tolist() == list(corner)


@pytest.mark.parametrize(
    ("plateau", "centre"),
    [
        ([(5, 5), (6, 5)], (5.5, 5)),
        ([(5, 5), (6, 6)], (5.5, 5.5)),
        ([(x, y) for x in range(3, 6) for y in range(7, 10)], (4, 8)),
        ([(5, 5), (5, 6), (5, 7), (6, 7), (7, 7), (7, 6), (7, 5)], (6, 43 / 7)),  # a U: two ends, one plateau
        ([(0, 0), (1, 0)], (0.5, 0)),
    ],
    ids=["pair", "diagonal", "square", "U", "border"],
)
def test_a_plateau_is_one_peak_at_its_centre(plateau: list[tuple[int, int]], centre: tuple[float, float]) -> None:
    (peak,) = find(cells(*((x, y, 0.8) for x, y in plateau)))
    assert peak[:2] == pytest.approx(centre)


def test_a_shoulder_is_no_peak() -> None:
    assert find(cells((5, 5, 0.5), (6, 5, 0.5), (7, 5, 0.9)))[:, 2] == pytest.approx([0.9])


def test_a_flat_map_is_one_plateau() -> None:
    (peak,) = find(np.ones(SHAPE))
    assert peak.tolist() == [14.5, 9.5, 1]


def test_strong_and_weak_peaks_two_cells_apart_are_both_found() -> None:
    assert find(cells((5, 5, 0.3), (7, 5, 0.95)))[:, 2] == pytest.approx([0.95, 0.3])


def test_the_strongest_are_kept_in_order() -> None:
    random = np.random.default_rng(0)
    heat = np.zeros((100, 100))
    heat[::2, ::2] = random.uniform(0.2, 1, (50, 50))
    kept = find(heat, max_peaks=30)
    assert kept[:, 2] == pytest.approx(np.sort(heat.ravel())[::-1][:30])


def test_equal_peaks_are_kept_in_raster_order() -> None:
    heat = np.zeros(SHAPE)
    heat[::2, ::2] = 0.5
    assert find(heat, max_peaks=3)[:, :2].tolist() == [[0, 0], [2, 0], [4, 0]]


def test_values_at_the_threshold_are_not_peaks() -> None:
    heat = cells((5, 5, np.float32(0.1)))
    assert len(find(heat, threshold=0.1)) == 0 and len(find(heat, threshold=0.09)) == 1


def test_values_above_one_are_scored_one() -> None:
    assert find(3 * gaussian(10, 10))[0, 2] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_values_are_no_peaks_and_hide_no_peaks(bad: float) -> None:
    heat = np.maximum(gaussian(24, 14), gaussian(6, 6))
    heat[3:10, 3:10] = bad
    (peak,) = find(heat)
    assert peak[:2] == pytest.approx((24, 14), abs=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_peak_next_to_a_bad_value_stays_finite(bad: float) -> None:
    heat = gaussian(10.3, 10.2)
    heat[10, 11] = bad
    (peak,) = find(heat)
    assert peak[:2] == pytest.approx((10, 10.2), abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)], ids=str)
def test_tiny_maps(shape: tuple[int, int]) -> None:
    heat = np.zeros(shape)
    heat[-1, -1] = 0.7
    (peak,) = find(heat)
    assert peak[:2].tolist() == [shape[1] - 1, shape[0] - 1]


def test_without_refinement_peaks_lie_on_cells() -> None:
    (peak,) = find(gaussian(10.4, 9.6), subpixel="none")
    assert peak[:2].tolist() == [10, 10]


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0.0, 0.0625, 0.25, 0.25, 0.5, 1.0, 2.0, float("nan"), float("inf"), -1.0]),
    ),
    st.integers(1, 5),
)
def test_peaks_match_their_definition(heatmaps: np.ndarray, max_peaks: int) -> None:
    """Compare with a simple implementation of the definition, on maps full of ties and bad values."""
    before = heatmaps.copy()
    peaks = find_peaks(heatmaps, 0.1, max_peaks)
    assert np.array_equal(heatmaps, before, equal_nan=True)
    for k, heat in enumerate(heatmaps):
        expected = sorted((min(value, 1.0) for value in plateaus(heat, 0.1)), reverse=True)
        assert peaks.scores[k, : peaks.counts[k]].tolist() == pytest.approx(expected[:max_peaks])
    assert np.isfinite(peaks.xy).all() and np.isfinite(peaks.scores).all()
    assert (peaks.xy >= 0).all() and (peaks.xy <= (heatmaps.shape[2] - 1, heatmaps.shape[1] - 1)).all()


def plateaus(heat: np.ndarray, threshold: float) -> list[float]:
    """Return the values of the plateaus without a higher neighbour."""
    heat = np.where(np.isfinite(heat), heat, -np.inf)
    todo, tops = {(r, c) for r, c in np.argwhere(heat > threshold)}, []
    while todo:
        front = [todo.pop()]
        value, highest = heat[front[0]], True
        while front:
            row, col = front.pop()
            for r in range(max(row - 1, 0), min(row + 2, heat.shape[0])):
                for c in range(max(col - 1, 0), min(col + 2, heat.shape[1])):
                    highest &= bool(heat[r, c] <= value)
                    if heat[r, c] == value and (r, c) in todo:
                        todo.remove((r, c))
                        front.append((r, c))
        if highest:
            tops.append(float(value))
    return tops


def find_with_offsets(offsets: np.ndarray, *values: tuple[int, int, float]) -> list[list[float]]:
    """Return x and y of the peaks of one channel, moved by offsets (C, H, W)."""
    heatmaps = np.ascontiguousarray(cells(*values)[None], np.float32)
    peaks = find_peaks(heatmaps, 0.1, 10, Refinement("offsets", offsets=offsets.astype(np.float32)))
    return peaks.xy[0, : peaks.counts[0]].tolist()


def test_offsets_move_a_peak_by_the_vector_of_its_cell() -> None:
    offsets = np.full((2, *SHAPE), 9.0)
    offsets[:, 7, 12] = (0.25, -1.5)
    assert find_with_offsets(offsets, (12, 7, 0.8), (13, 7, 0.5)) == [[12.25, 5.5]]


def test_offsets_never_leave_the_map_and_wrong_ones_are_ignored() -> None:
    offsets = np.full((2, *SHAPE), -3.0)
    assert find_with_offsets(offsets, (1, 2, 0.8)) == [[0, 0]]
    for wrong in (np.nan, np.inf, -np.inf, 1e9):
        offsets[0] = wrong
        assert find_with_offsets(offsets, (12, 7, 0.8)) == [[12, 7]]


def test_each_keypoint_has_its_own_offsets_or_all_share_two() -> None:
    heatmaps = np.stack([cells((12, 7, 0.8))] * 2).astype(np.float32)
    each = np.zeros((4, *SHAPE), np.float32)
    each[2:] = 0.5
    own = find_peaks(heatmaps, 0.1, 10, Refinement("offsets", offsets=each))
    assert own.xy[:, 0].tolist() == [[12, 7], [12.5, 7.5]]
    shared = find_peaks(heatmaps, 0.1, 10, Refinement("offsets", offsets=each[2:]))
    assert shared.xy[:, 0].tolist() == [[12.5, 7.5], [12.5, 7.5]]


def test_a_plateau_and_a_single_cell_of_one_value_are_in_raster_order() -> None:
    found = find(cells((5, 3, 0.8), (6, 3, 0.8), (15, 10, 0.8)))
    assert found[:, :2].tolist() == [[5.5, 3], [15, 10]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40), st.integers(2, 6))
def test_peaks_of_random_maps_are_the_highest_of_their_neighbours(seed: int, rows: int, cols: int, levels: int) -> None:
    heat = np.random.default_rng(seed).integers(0, levels, (rows, cols)).astype(np.float32) / 8
    padded = np.pad(heat, 1)
    around = np.stack([padded[r : r + rows, c : c + cols] for r in range(3) for c in range(3) if (r, c) != (1, 1)])
    single = (heat > around.max(axis=0)) & (heat > 0.1)
    peaks = find_peaks(heat[None], 0.1, 500, Refinement("none"))
    found = {tuple(xy) for xy in peaks.xy[0, : peaks.counts[0]].tolist()}
    assert {(float(x), float(y)) for y, x in zip(*np.nonzero(single), strict=True)} <= found
