"""Test agreement with published sub-pixel refinements and with the true centres."""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

from pose_ros.decoder.peaks import find_peaks
from pose_ros.decoder.subpixel import Refinement

CASES = golden.cases("dark")
INNER = [case for case in CASES if case["kind"] != "edge"]
CLEAN = [case for case in CASES if case["kind"] == "clean"]
EDGE = [case for case in CASES if case["kind"] == "edge"]
pytestmark = pytest.mark.skipif(
    not CASES, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN selects another)"
)


def parametrize_cases(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["id"])


def find_strongest(
    case: dict[str, Any], data: dict[str, np.ndarray], method: str, kernel: int | None = None
) -> np.ndarray:
    """Return (maps, 2), the strongest peak of each map, cells."""
    peaks = find_peaks(data["heat"], 0.0, 1, Refinement(method, kernel or case["parameters"]["blur_kernel"]))
    assert (peaks.counts == 1).all()
    return peaks.xy[:, 0]


def test_every_kind_of_case_is_tested() -> None:
    assert {case["kind"] for case in CASES} == {"clean", "noise", "edge"}


@parametrize_cases(CLEAN)
def test_dark_on_clean_maps(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    dark = find_strongest(case, data, "dark")
    assert np.abs(dark - data["expected_dark"]).max() <= 2e-3
    assert np.linalg.norm(dark - data["true_xy"], axis=1).max() <= 4e-3
    np.testing.assert_allclose(find_strongest(case, data, "dark", kernel=1), data["expected_taylor_no_blur"], atol=1e-4)


@parametrize_cases(INNER)
def test_quarter_shift_and_centroid(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    assert np.array_equal(find_strongest(case, data, "none"), data["argmax_xy"])
    assert np.array_equal(find_strongest(case, data, "quarter"), data["expected_quarter_shift"])
    np.testing.assert_allclose(find_strongest(case, data, "centroid"), data["expected_trt_pose_centroid"], atol=1e-4)


@parametrize_cases([case for case in INNER if case["kind"] == "noise"])
def test_dark_in_noise_is_no_worse_than_the_published_one(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    error, published_error = (
        np.median(np.linalg.norm(found - data["true_xy"], axis=1))
        for found in (find_strongest(case, data, "dark"), data["expected_dark"])
    )
    assert error <= published_error + 0.005


@parametrize_cases(EDGE)
@pytest.mark.parametrize("method", ["none", "quarter", "centroid", "quadratic", "dark"])
def test_edges_are_safe(case: dict[str, Any], method: str) -> None:
    data = golden.arrays(case)
    found = find_strongest(case, data, method)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - data["true_xy"], axis=1).max() <= 1.2
