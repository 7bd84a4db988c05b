"""Test agreement of PersonLab with the authors' decoder and true people, with the tolerances of the golden cases.

The environment variable POSE_ROS_GOLDEN selects another folder of golden cases.
"""

from __future__ import annotations

from dataclasses import fields as names
from typing import Any

import golden
import numpy as np
import pytest

from pose_ros.fields import Fields

REAL = golden.cases("personlab")
SYNTHETIC = golden.cases("personlab_synthetic")
ADVERSARIAL = [case for case in golden.cases("adversarial") if case["decoder"] == "personlab"]
SURE = 0.3
pytestmark = pytest.mark.skipif(
    not REAL, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN selects another)"
)


def decode(case: dict[str, Any], data: dict[str, np.ndarray], **config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the people as an array, and their scores."""
    settings = {**golden.personlab_config(case), **config}
    people = golden.decode_personlab(case, golden.personlab_fields(data), **settings)
    return golden.as_array(people), people.person_scores


def match_distances(reference: np.ndarray, people: np.ndarray, least: float = 0) -> np.ndarray:
    """Return the largest keypoint distance of each reference person to its best match, px.

    Only reference keypoints with a score above ``least`` count. No person may match two reference people.
    """
    used = reference[:, None, :, 2] > least
    distance = np.linalg.norm(reference[:, None, :, :2] - people[None, :, :, :2], axis=3)
    distance = np.where(people[None, :, :, 2] > 0, distance, np.inf)
    worst = np.where(used, distance, 0).max(axis=2)
    best = worst.argmin(axis=1)
    assert len(set(best)) == len(best)
    return worst.min(axis=1)


@pytest.mark.parametrize("case", REAL + SYNTHETIC, ids=lambda case: case["id"])
def test_the_authors_decoder_gives_the_same_people(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    people, scores = decode(case, data)
    expected = data["expected_libcoral_person_score"]
    assert np.count_nonzero(scores >= SURE) == np.count_nonzero(expected >= SURE)
    if (expected >= SURE).any():
        assert match_distances(data["expected_libcoral"][expected >= SURE], people[scores >= SURE], SURE).max() <= 0.1
    np.testing.assert_allclose(scores[scores >= SURE], expected[expected >= SURE], atol=1e-3)


@pytest.mark.parametrize("case", SYNTHETIC, ids=lambda case: case["id"])
def test_true_people(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    people, _ = decode(case, data)
    if case["kind"] in ("plain", "nonsquare", "overlap"):
        assert match_distances(data["gt"], people).max() <= 0.1
    elif case["kind"] == "truncated":
        assert len(people) >= 0.75 * len(data["gt"])


def test_true_people_in_noise() -> None:
    total = golden.Agreement()
    for case in SYNTHETIC:
        if case["kind"] == "noise":
            data = golden.arrays(case)
            sigmas = np.array(golden.personlab_spec(case).skeleton.sigmas)
            total.add(data["gt"], decode(case, data)[0], sigmas, case["stride"])
    figures = total.figures
    assert figures["recall"] == 1 and figures["keypoint_recall"] == 1 and figures["p95"] <= 0.2, figures


def test_people_with_default_settings() -> None:
    """The default thresholds and limits find the people of the authors' decoder."""
    total = golden.Agreement()
    for case in REAL:
        data = golden.arrays(case)
        expected = data["expected_libcoral"][data["expected_libcoral_person_score"] >= SURE]
        people = golden.as_array(golden.decode_personlab(case, golden.personlab_fields(data)))
        sigmas = np.array(golden.personlab_spec(case).skeleton.sigmas)
        total.add(np.where(expected[..., 2:] >= SURE, expected, 0), people, sigmas, case["stride"])
    assert total.figures["recall"] >= 0.86 and total.figures["median"] <= 0.05, total.figures


@pytest.mark.parametrize("config", [{}, {"hough_radius": 32.0}])
def test_agreement_with_an_accelerator(config: dict[str, Any]) -> None:
    """Compare with published results of the same network on an accelerator, with another rounding."""
    for case in REAL:
        data = golden.arrays(case)
        if "published_reference" not in data:
            continue
        people, scores = decode(case, data, **config)
        published = data["published_reference"]
        assert len(people) == len(published)
        for reference, person in zip(published, people, strict=True):
            sure = reference[:, 2] >= SURE
            assert np.median(np.linalg.norm(person[sure, :2] - reference[sure, :2], axis=1)) <= 1
        np.testing.assert_allclose(scores, data["published_reference_person_score"], atol=0.02)


@pytest.mark.parametrize("case", ADVERSARIAL, ids=lambda case: case["id"])
@pytest.mark.parametrize("published_settings", [True, False])
def test_adversarial(case: dict[str, Any], published_settings: bool) -> None:
    fields = golden.personlab_fields(golden.arrays(case))
    config = golden.personlab_config(case) if published_settings else {}
    before = copy_arrays(fields)
    people = golden.as_array(golden.decode_personlab(case, fields, **config))
    assert np.isfinite(people).all()
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, copy_arrays(fields), strict=True))
    assert np.array_equal(people, golden.as_array(golden.decode_personlab(case, fields, **config)))
    for check in case["checks"]:
        if check["type"] == "num_people":
            assert check["min"] <= len(people) <= check["max"]
        elif check["type"] == "joint_at":
            where = people[:, check["keypoint"]]
            assert (np.linalg.norm(where[:, :2] - check["xy_px"], axis=1) <= check["px_tol"]).any() and where[
                :, 2
            ].all()


def copy_arrays(fields: Fields) -> list[np.ndarray]:
    return [getattr(fields, f.name).copy() for f in names(fields) if getattr(fields, f.name) is not None]
