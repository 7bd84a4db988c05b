"""Test agreement of tag grouping with true people and published decoders, with the golden tolerances.

The environment variable POSE_ROS_GOLDEN selects another folder of golden cases.
"""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

SYNTHETIC = golden.cases("tags_synthetic")
ADVERSARIAL = [case for case in golden.cases("adversarial") if case["decoder"] == "tags"]
pytestmark = pytest.mark.skipif(
    not SYNTHETIC, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN selects another)"
)


def decode(case: dict[str, Any], data: dict[str, np.ndarray], **config: Any) -> np.ndarray:
    return golden.as_array(golden.decode_tags(case, data["heat"], data["tags"], **config))


def remove_ambiguous(case: dict[str, Any], people: np.ndarray) -> np.ndarray:
    """Remove the keypoint that has the tag of another person. It may belong to either person."""
    people = people.copy()
    if case.get("equal_tag"):
        equal = case["equal_tag"]
        people[[equal["person_a"], equal["person_b"]], equal["keypoint"]] = 0
    return people


def measure_agreement(heatnoise: bool, **config: Any) -> dict[str, float]:
    total = golden.Agreement()
    for case in SYNTHETIC:
        if (case["kind"] == "heatnoise") == heatnoise:
            data = golden.arrays(case)
            sigmas = np.array(golden.skeleton(case).sigmas)
            total.add(remove_ambiguous(case, data["gt"]), decode(case, data, **config), sigmas, case["stride"])
    assert total.reference > 0
    return total.figures


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize(
    ("subpixel", "median", "p95"), [("quarter", 0.20, 0.32), ("quadratic", 0.10, 0.20), ("dark", 0.10, 0.32)]
)
def test_synthetic_scenes(subpixel: str, median: float, p95: float, spatial: bool) -> None:
    figures = measure_agreement(False, subpixel=subpixel, tag_spatial=spatial)
    assert figures["recall"] >= 0.99 and figures["precision"] >= 0.95 and figures["keypoint_recall"] >= 0.99, figures
    assert figures["median"] <= median and figures["p95"] <= p95, figures


def test_noise_in_the_heatmaps_hides_no_person() -> None:
    assert measure_agreement(True)["recall"] >= 0.99


def test_completed_keypoints_are_true() -> None:
    """Compare with true people. The published ``filled_*`` results use keypoints of other people."""
    found, completed = measure_agreement(False), measure_agreement(False, complete=True)
    assert completed["keypoint_recall"] >= max(found["keypoint_recall"], 0.99)
    assert completed["recall"] >= 0.99 and completed["precision"] >= 0.95 and completed["p95"] <= 0.20, completed


@pytest.mark.parametrize("case", ADVERSARIAL, ids=lambda case: case["id"])
def test_adversarial(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    before = {name: array.copy() for name, array in data.items()}
    people = decode(case, data)
    assert np.isfinite(people).all()
    assert all(np.array_equal(before[name], data[name], equal_nan=True) for name in data)
    assert np.array_equal(people, decode(case, data))
    for check in case["checks"]:
        if check["type"] not in ALWAYS:
            CHECKS[check["type"]](check, _with_setting(check, people, data, case), data, case)


def _with_setting(
    check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], case: dict[str, Any]
) -> np.ndarray:
    """Return the people, decoded with the settings of the check."""
    if "max_people_param" in check:
        return decode(case, data, max_people=check["max_people_param"])
    if "if_min_joints_is" in check:
        return decode(case, data, min_keypoints=check["if_min_joints_is"])
    return people


def _near(person: np.ndarray, people: np.ndarray, px_tol: float) -> np.ndarray:
    """Return (N,), the share of a person's keypoints that each of the people has."""
    used = person[:, 2] > 0
    near = np.linalg.norm(people[:, used, :2] - person[used, :2], axis=2) <= px_tol
    return (near & (people[:, used, 2] > 0)).mean(axis=1)


def _check_count(check: dict[str, Any], people: np.ndarray, *_: Any) -> None:
    assert check["min"] <= len(people) <= check["max"]


def _check_match(check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], _: Any) -> None:
    for person in data[check["array"]]:
        assert _near(person, people, check["px_tol"]).max() >= check["min_joint_fraction"]


def _check_recall(check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], _: Any) -> None:
    found = [_near(person, people, check["px_tol"]).max() >= check["joint_fraction"] for person in data[check["array"]]]
    assert sum(found) >= check["min_people"] and len(people) <= check["max_people_param"]


def _check_all_used(check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], _: Any) -> None:
    for person in data[check["array"]]:
        for k in np.flatnonzero(person[:, 2] > 0):
            near = np.linalg.norm(people[:, k, :2] - person[k, :2], axis=1) <= check["px_tol"]
            assert (near & (people[:, k, 2] > 0)).sum() == 1


def _check_box(check: dict[str, Any], people: np.ndarray, _: Any, case: dict[str, Any]) -> None:
    cells = people[people[..., 2] > 0][:, :2] / case["stride"]
    x0, y0, x1, y1 = check["box"]
    assert not ((cells > (x0, y0)) & (cells < (x1, y1))).all(axis=1).any()


def _check_transpose(check: dict[str, Any], people: np.ndarray, _: Any, __: Any) -> None:
    other = next(case for case in ADVERSARIAL if case["id"] == check["case"])
    expected = decode(other, golden.arrays(other))[..., [1, 0, 2]]
    gap = np.abs(people[:, None, :, :2] - expected[None, :, :, :2]).max(axis=(2, 3))
    assert len(people) == len(expected) and gap.min(axis=1).max() <= check["px_tol"]


def _check_variants(
    check: dict[str, Any], people: np.ndarray, data: dict[str, np.ndarray], case: dict[str, Any]
) -> None:
    for change in (lambda a: a.astype(np.float32), lambda a: a.astype(np.float64), np.asfortranarray, _every_other):
        other = decode(case, {name: change(data[name]) for name in ("heat", "tags")})
        np.testing.assert_allclose(other[..., :2], people[..., :2], atol=check["px_tol"])
        np.testing.assert_allclose(other[..., 2], people[..., 2], atol=check["score_tol"])


def _every_other(array: np.ndarray) -> np.ndarray:
    large = np.zeros((array.shape[0], 2 * array.shape[1], 2 * array.shape[2]), np.float32)
    large[:, ::2, ::2] = array
    return large[:, ::2, ::2]


ALWAYS = ("no_crash", "finite", "time_limit_s", "inputs_unmodified", "same_result_twice")
CHECKS = {
    "num_people": _check_count,
    "people_match": _check_match,
    "recall": _check_recall,
    "all_joints_used_once": _check_all_used,
    "no_joint_in_box_xyxy_cells": _check_box,
    "equals_transpose_of": _check_transpose,
    "same_result_for": _check_variants,
}
