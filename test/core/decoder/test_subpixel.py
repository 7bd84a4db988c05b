"""Test sub-pixel refinement: accuracy of each method, and valid results on any map."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pose_ros.decoder.peaks import find_peaks
from pose_ros.decoder.subpixel import METHODS, Refinement, gaussian_kernel, refine

SHAPE = (40, 44)
KERNELS = {1.0: 5, 1.5: 7, 2.0: 11, 3.0: 17}  # of DARK: the blur in its authors' code grows with the Gaussians
BOUNDS = {  # median and largest distance to the true centre, in cells
    "none": {1.0: (0.42, 0.71), 1.5: (0.42, 0.71), 2.0: (0.42, 0.71), 3.0: (0.42, 0.71)},
    "quarter": {1.0: (0.22, 0.36), 1.5: (0.22, 0.36), 2.0: (0.22, 0.36), 3.0: (0.22, 0.36)},
    "centroid": {1.0: (0.04, 0.07), 1.5: (0.16, 0.28), 2.0: (0.25, 0.42), 3.0: (0.33, 0.56)},
    "quadratic": {1.0: (0.05, 0.08), 1.5: (0.025, 0.035), 2.0: (0.015, 0.02), 3.0: (0.007, 0.01)},
    "dark": {1.0: (0.008, 0.015), 1.5: (0.002, 0.004), 2.0: (0.0005, 0.001), 3.0: (0.0005, 0.001)},
}


def gaussians(sigma: float, count: int = 200, low: float = 14, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (count, H, W) and their true centres (count, 2)."""
    random = np.random.default_rng(5)
    centres = random.uniform(low, np.array(SHAPE[::-1]) - 1 - low, (count, 2))
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    squared = (cols - centres[:, 0, None, None]) ** 2 + (rows - centres[:, 1, None, None]) ** 2
    maps = random.uniform(0.5, 1, (count, 1, 1)) * np.exp(-squared / (2 * sigma**2))
    return (maps + random.normal(0, noise, maps.shape)).astype(np.float32), centres


def errors(method: str, sigma: float, **options: float) -> np.ndarray:
    maps, centres = gaussians(sigma, **options)
    return np.linalg.norm(find_peaks(maps, 0.1, 1, Refinement(method, KERNELS[sigma])).xy[:, 0] - centres, axis=1)


@pytest.mark.parametrize("sigma", KERNELS)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_reaches_its_accuracy(method: str, sigma: float) -> None:
    error = errors(method, sigma)
    median, largest = BOUNDS[method][sigma]
    assert np.median(error) <= median and error.max() <= largest, (np.median(error), error.max())


@pytest.mark.parametrize("kernel", [1, 7, 11, 17])
@pytest.mark.parametrize("sigma", [1.5, 2.0, 2.5, 3.0])
def test_dark_is_exact_with_any_kernel(sigma: float, kernel: int) -> None:
    maps, centres = gaussians(sigma)
    error = np.linalg.norm(find_peaks(maps, 0.1, 1, Refinement("dark", kernel)).xy[:, 0] - centres, axis=1)
    assert np.median(error) <= 0.05


def test_dark_withstands_noise_best_on_wide_gaussians() -> None:
    median = {method: np.median(errors(method, 3.0, noise=0.02)) for method in METHODS}
    assert min(median, key=median.__getitem__) == "dark"
    assert median["dark"] <= 0.1


@pytest.mark.parametrize("method", METHODS)
def test_peaks_at_borders_stay_inside(method: str) -> None:
    maps, centres = gaussians(2.0, low=0)
    found = find_peaks(maps, 0.1, 1, Refinement(method)).xy[:, 0]
    assert (found >= 0).all() and (found <= np.array(SHAPE[::-1]) - 1).all()
    assert np.linalg.norm(found - centres, axis=1).max() <= 1.2


def refine_cell(heat: np.ndarray, row: int, col: int, method: str, kernel: int = 11) -> tuple[float, float]:
    return refine(np.asarray(heat, np.float32)[None], 0, row, col, METHODS.index(method), gaussian_kernel(kernel))


CONSTANTS = [0.0, 1.0, -1.0, 1e-12, np.nan, np.inf, -np.inf, 3e38, -3e38]


@pytest.mark.parametrize("value", CONSTANTS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_constant_maps_stay_on_their_cell(method: str, value: float) -> None:
    assert refine_cell(np.full((9, 9), value), 4, 4, method) == pytest.approx((4, 4), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", METHODS)
def test_a_bad_neighbour_leaves_the_peak_where_it_is(method: str, bad: float) -> None:
    heat = np.zeros((15, 15))
    heat[6:9, 6:9], heat[7, 7], heat[7, 8] = 0.5, 1.0, bad
    x, y = refine_cell(heat, 7, 7, method, kernel=1)
    assert abs(x - 7) <= 1 and abs(y - 7) <= 1


@pytest.mark.parametrize("method", METHODS)
def test_saturated_peaks_stay_within_a_cell(method: str) -> None:
    maps, _ = gaussians(2.0, count=20)
    for heat in np.minimum(maps, 0.3):
        row, col = np.unravel_index(heat.argmax(), heat.shape)
        x, y = refine_cell(heat, int(row), int(col), method)
        assert abs(x - col) <= 1 and abs(y - row) <= 1


@settings(max_examples=150)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.one_of(st.floats(0, 1, width=32), st.floats(width=32), st.sampled_from([0, 1, 0.5, 2.0**-100])),
    ),
    st.integers(0, 8),
    st.integers(0, 8),
    st.sampled_from(METHODS),
    st.sampled_from([1, 3, 11]),
)
@example(np.zeros((1, 1), np.float32), 0, 0, "dark", 11)
def test_no_map_gives_nan_or_leaves_the_map(heat: np.ndarray, row: int, col: int, method: str, kernel: int) -> None:
    row, col = row % heat.shape[0], col % heat.shape[1]
    before = heat.copy()
    x, y = refine_cell(heat, row, col, method, kernel)
    assert 0 <= x <= heat.shape[1] - 1 and 0 <= y <= heat.shape[0] - 1
    assert abs(x - col) <= 2 and abs(y - row) <= 2
    assert np.array_equal(heat, before, equal_nan=True)


@pytest.mark.parametrize("method", METHODS)
def test_mirrored_maps_give_mirrored_positions(method: str) -> None:
    maps, _ = gaussians(1.5, count=30)
    last = np.array(SHAPE[::-1]) - 1
    found = find_peaks(maps, 0.1, 1, Refinement(method)).xy[:, 0]
    turned = find_peaks(np.ascontiguousarray(maps[:, ::-1, ::-1]), 0.1, 1, Refinement(method)).xy[:, 0]
    np.testing.assert_allclose(turned, last - found, atol=1e-4)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 11, 17, 31])
def test_the_kernel_is_as_wide_as_that_of_opencv(size: int) -> None:
    kernel = gaussian_kernel(size)
    assert kernel.sum() == pytest.approx(1) and len(kernel) == size
    rounded = size < 11  # OpenCV has coarse tables for small kernels
    np.testing.assert_allclose(kernel, cv2.getGaussianKernel(size, 0)[:, 0], atol=0.025 if rounded else 1e-6)
