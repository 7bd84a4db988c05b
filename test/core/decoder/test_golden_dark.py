"""Agreement with the published sub-pixel refinements, and with the true centres."""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

from pose_ros.decoder.peaks import find_peaks

CASES = golden.cases("dark")
INNER = [case for case in CASES if case["kind"] != "edge"]
CLEAN = [case for case in CASES if case["kind"] == "clean"]
EDGE = [case for case in CASES if case["kind"] == "edge"]
pytestmark = pytest.mark.skipif(not CASES, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN names another)")


def by_id(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["id"])


def refined(case: dict[str, Any], data: dict[str, np.ndarray], method: str, kernel: int | None = None) -> np.ndarray:
    """(maps, 2): the strongest peak of each map, in cells."""
    peaks = find_peaks(data["heat"], 0.0, 1, method, kernel or case["parameters"]["blur_kernel"])
    assert (peaks.counts == 1).all()
    return peaks.xy[:, 0]


def test_every_case_is_of_a_kind_judged_here() -> None:
    assert {case["kind"] for case in CASES} == {"clean", "noise", "edge"}


@by_id(CLEAN)
def test_dark_on_clean_maps(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    dark = refined(case, data, "dark")
    assert np.abs(dark - data["expected_dark"]).max() <= 2e-3
    assert np.linalg.norm(dark - data["true_xy"], axis=1).max() <= 4e-3
    np.testing.assert_allclose(refined(case, data, "dark", kernel=1), data["expected_taylor_no_blur"], atol=1e-4)


@by_id(INNER)
def test_quarter_shift_and_centroid(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    assert np.array_equal(refined(case, data, "none"), data["argmax_xy"])
    assert np.array_equal(refined(case, data, "quarter"), data["expected_quarter_shift"])
    np.testing.assert_allclose(refined(case, data, "centroid"), data["expected_trt_pose_centroid"], atol=1e-4)


@by_id([case for case in INNER if case["kind"] == "noise"])
def test_dark_in_noise_is_no_worse_than_the_published_one(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    ours, theirs = (
        np.median(np.linalg.norm(found - data["true_xy"], axis=1))
        for found in (refined(case, data, "dark"), data["expected_dark"])
    )
    assert ours <= theirs + 0.005


@by_id(EDGE)
@pytest.mark.parametrize("method", ["none", "quarter", "centroid", "quadratic", "dark"])
def test_edges_are_safe(case: dict[str, Any], method: str) -> None:
    data = golden.arrays(case)
    found = refined(case, data, method)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - data["true_xy"], axis=1).max() <= 1.2
