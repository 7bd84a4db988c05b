"""Test agreement with published decoders on their own outputs, with the tolerances of the golden cases' README.

The environment variable POSE_ROS_GOLDEN selects another folder of golden cases.
"""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

from pose_ros.decoder.peaks import find_peaks

PAF = golden.cases("paf_synthetic", "paf_real")
ADVERSARIAL = [c for c in golden.cases("adversarial") if c["decoder"] in ("peaks", "paf")]
pytestmark = pytest.mark.skipif(not PAF, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN selects another)")


def measure_agreement(family: str, noise: bool) -> dict[str, float]:
    agreement = golden.Agreement()
    for case in PAF:
        if case["family"] != family or (case["kind"] == "noise") != noise:
            continue
        data = golden.arrays(case)
        heat, paf = (data["fields"][:19], data["fields"][19:]) if family == "paf_real" else (data["heat"], data["paf"])
        reference = data["consensus"] if family == "paf_real" else data["gt_components"]
        people = golden.as_array(golden.decode_paf(case, heat, paf))
        agreement.add(reference, people, np.array(golden.skeleton(case).sigmas), case["stride"])
    assert agreement.reference > 0
    return agreement.figures


def test_paf_on_synthetic_scenes() -> None:
    figures = measure_agreement("paf_synthetic", noise=False)
    assert figures["recall"] >= 0.96 and figures["recall_75"] >= 0.94 and figures["precision"] >= 0.95, figures
    assert figures["keypoint_recall"] >= 0.98 and figures["median"] <= 0.22 and figures["p95"] <= 0.35, figures


def test_paf_in_noise() -> None:
    figures = measure_agreement("paf_synthetic", noise=True)
    assert figures["recall"] >= 0.96, figures


def test_paf_on_photos() -> None:
    figures = measure_agreement("paf_real", noise=False)
    assert figures["recall"] >= 0.93 and figures["precision"] >= 0.87 and figures["keypoint_recall"] >= 0.97, figures
    assert figures["median"] <= 0.20 and figures["p95"] <= 0.40, figures


@pytest.mark.parametrize("case", ADVERSARIAL, ids=lambda case: case["id"])
def test_adversarial(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    checks = {check["type"]: check for check in case["checks"]}
    if case["decoder"] == "peaks":
        for check in (c for c in case["checks"] if c["type"] == "peaks"):
            _check_peaks(data["heat"], check)
        return
    heat, paf = data["heat"], data["paf"]
    if "batch" in checks:
        counts = [len(golden.decode_paf(case, h, p)) for h, p in zip(heat, paf, strict=True)]
        assert counts == checks["batch"]["people_per_image"]
        return
    before = heat.copy(), paf.copy()
    people = golden.as_array(golden.decode_paf(case, heat, paf))
    assert np.isfinite(people).all()
    assert np.array_equal(before[0], heat, equal_nan=True) and np.array_equal(before[1], paf, equal_nan=True)
    assert np.array_equal(people, golden.as_array(golden.decode_paf(case, heat, paf)))
    for kind, check in checks.items():
        CHECKS.get(kind, lambda *_: None)(check, people, data, case)


def _check_peaks(heat: np.ndarray, check: dict[str, Any]) -> None:
    channel = np.ascontiguousarray(heat[check["channel"]][None], np.float32)
    peaks = find_peaks(channel, 0.1, check.get("max_peaks_param", 100))
    count, xy = peaks.counts[0], peaks.xy[0]
    assert check["min"] <= count <= check["max"]
    assert (xy[:count] >= -0.5).all() and (xy[:count] <= np.array(channel.shape[:0:-1]) - 0.5).all()
    for near in check.get("near_xy_cells", check.get("near_xy_cells_if_any", []) if count else []):
        assert np.abs(xy[:count] - near).max(axis=1).min() <= check["tol_cells"]
    if check.get("must_contain_strongest"):
        finite = np.where(np.isfinite(channel[0]), channel[0], -np.inf)
        row, col = np.unravel_index(finite.argmax(), finite.shape)
        assert np.abs(xy[0] - (col, row)).max() <= 1


def _check_count(check: dict[str, Any], people: np.ndarray, *_: Any) -> None:
    assert check["min"] <= len(people) <= check["max"]


def _check_match(check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], _: Any) -> None:
    for person in data[check["array"]]:
        used = person[:, 2] > 0
        near = (np.linalg.norm(people[:, used, :2] - person[used, :2], axis=2) <= check["px_tol"]) & (
            people[:, used, 2] > 0
        )
        assert near.mean(axis=1).max() >= check["min_joint_fraction"]


def _check_box(check: dict[str, Any], people: np.ndarray, _: Any, case: dict[str, Any]) -> None:
    cells = people[people[..., 2] > 0][:, :2] / case["stride"]
    x0, y0, x1, y1 = check["box"]
    assert not ((cells > (x0, y0)) & (cells < (x1, y1))).all(axis=1).any()


def _check_transpose(check: dict[str, Any], people: np.ndarray, _: Any, __: Any) -> None:
    other = next(c for c in ADVERSARIAL if c["id"] == check["case"])
    data = golden.arrays(other)
    expected = golden.as_array(golden.decode_paf(other, data["heat"], data["paf"]))[..., [1, 0, 2]]
    gap = np.abs(people[:, None, :, :2] - expected[None, :, :, :2]).max(axis=(2, 3))
    assert len(people) == len(expected) and gap.min(axis=1).max() <= check["px_tol"]


def _check_variants(
    check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], case: dict[str, Any]
) -> None:
    heat, paf = data["heat"], data["paf"]
    for change in (lambda a: a.astype(np.float32), lambda a: a.astype(np.float64), np.asfortranarray, _every_other):
        other = golden.as_array(golden.decode_paf(case, change(heat), change(paf)))
        np.testing.assert_allclose(other[..., :2], people[..., :2], atol=check["px_tol"])
        np.testing.assert_allclose(other[..., 2], people[..., 2], atol=check["score_tol"])


def _every_other(array: np.ndarray) -> np.ndarray:
    large = np.zeros((array.shape[0], 2 * array.shape[1], 2 * array.shape[2]), np.float32)
    large[:, ::2, ::2] = array
    return large[:, ::2, ::2]


CHECKS = {
    "num_people": _check_count,
    "people_match": _check_match,
    "no_joint_in_box_xyxy_cells": _check_box,
    "equals_transpose_of": _check_transpose,
    "same_result_for": _check_variants,
}
