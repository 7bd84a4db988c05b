"""Test the precision report with known differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import scene

from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.precision import PrecisionReport, compare
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.runtime.runner import Runner, TensorSpec
from pose_ros.skeleton import OPENPOSE_18

SHAPE_HW, STRIDE = (46, 82), 8
BLANK = np.zeros((SHAPE_HW[0] * STRIDE, SHAPE_HW[1] * STRIDE, 3), np.uint8)
PEOPLE = 5


class Painted(Runner):
    """Runner that returns the same fields for every image."""

    metadata: Mapping[str, str] = {}
    description = "painted"
    reason = ""

    def __init__(self, fields: Fields) -> None:
        self._arrays = {name: array[None] for name, array in vars(fields).items() if array is not None}
        self.inputs = (TensorSpec("image", (None, None, None, 3), np.dtype(np.uint8)),)
        self.outputs = tuple(TensorSpec(name, (None,) * 4, np.dtype(np.float32)) for name in self._arrays)

    def _run(self, feeds: object, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self._arrays[name] for name in names}


def make_estimator(fields: Fields) -> PoseEstimator:
    heads = tuple(HeadSpec(name, name) for name, array in vars(fields).items() if array is not None)
    config = EstimatorConfig(runtime=RuntimeConfig(warm_up=False))
    return PoseEstimator(Painted(fields), ModelSpec("painted", OPENPOSE_18, STRIDE, heads=heads), config)


@pytest.fixture(scope="module")
def fields() -> Fields:
    return scene.fields(PEOPLE, SHAPE_HW)[0]


def compare_with(fields: Fields, heatmaps: np.ndarray, pafs: np.ndarray) -> PrecisionReport:
    other = Fields(heatmaps=heatmaps.astype(np.float32), pafs=pafs.astype(np.float32))
    return compare(make_estimator(fields), make_estimator(other), [BLANK, BLANK])


def test_equal_fields_have_no_difference(fields: Fields) -> None:
    report = compare_with(fields, fields.heatmaps, fields.pafs)
    assert report.images == 2 and report.people == report.kept == 2 * PEOPLE and report.lost == report.added == 0
    assert report.keypoints == len(report.shifts_px) == 2 * PEOPLE * 18
    assert not report.keypoints_lost + report.keypoints_added
    assert not report.shifts_px.any() and (report.oks == 1).all()
    assert all(field.mean == field.largest == 0 for field in report.fields.values())


def test_a_shift_of_one_cell_is_a_shift_of_its_stride(fields: Fields) -> None:
    report = compare_with(fields, *(np.roll(field, 1, axis=2) for field in (fields.heatmaps, fields.pafs)))
    assert report.lost == report.added == 0 and np.median(report.shifts_px) == pytest.approx(STRIDE, abs=1e-3)
    assert 0.3 < report.oks.mean() < 0.95


def test_lost_and_added_people_and_keypoints(fields: Fields) -> None:
    """One half of the image and all noses are cleared: lost in one direction, added in the other."""
    heatmaps, pafs = fields.heatmaps.copy(), fields.pafs.copy()
    heatmaps[:, :, : SHAPE_HW[1] // 2] = 0
    heatmaps[OPENPOSE_18.index("nose")] = 0
    lost = compare_with(fields, heatmaps, pafs)
    assert 0 < lost.lost < lost.people == 2 * PEOPLE and lost.added == 0
    assert lost.keypoints_lost >= lost.kept > 0 and lost.keypoints_added == 0
    other = make_estimator(Fields(heatmaps=heatmaps, pafs=pafs))
    added = compare(other, make_estimator(fields), [BLANK, BLANK])
    assert (added.people, added.lost, added.added) == (lost.kept, 0, lost.lost)
    assert (added.keypoints_lost, added.keypoints_added) == (0, lost.keypoints_lost)


def test_differences_are_relative_to_the_range(fields: Fields) -> None:
    heatmaps = fields.heatmaps.copy()
    heatmaps[0, 3, 4] += 0.5 * np.ptp(heatmaps)
    report = compare_with(fields, heatmaps, fields.pafs).fields
    assert report["heatmaps"].largest == pytest.approx(0.5, rel=1e-5)
    assert report["heatmaps"].mean == pytest.approx(0.5 / heatmaps.size, rel=1e-4)
    assert report["pafs"].largest == 0


def test_images_without_people(fields: Fields) -> None:
    empty = Fields(heatmaps=np.zeros_like(fields.heatmaps), pafs=np.zeros_like(fields.pafs))
    report = compare(make_estimator(empty), make_estimator(empty), [BLANK])
    assert (report.people, report.lost, report.added, report.keypoints, len(report.oks)) == (0, 0, 0, 0, 0)
    assert [value for _, value in report.rows()][-2:] == ["0: 0, 0, 0", "0: 0, 0, 0"]


def test_the_rows_of_the_report(fields: Fields) -> None:
    rows = dict(compare_with(fields, *(np.roll(field, 1, axis=2) for field in (fields.heatmaps, fields.pafs))).rows())
    assert rows["people in float32: kept, lost, added"] == f"{2 * PEOPLE}: {2 * PEOPLE}, 0, 0"
    assert rows["shift of these keypoints, median, p95"].startswith("8.00 px, ")
    assert rows["heatmaps: mean, largest difference"].endswith(" %")


def test_other_fields_are_refused(fields: Fields) -> None:
    smaller = Fields(heatmaps=fields.heatmaps[:, :-1], pafs=fields.pafs[:, :-1])
    with pytest.raises(ValueError, match=r"heatmaps: expected shape \(19, 46, 82\), got \(19, 45, 82\)"):
        compare(make_estimator(fields), make_estimator(smaller), [BLANK])


def test_no_images_are_refused(fields: Fields) -> None:
    with pytest.raises(ValueError, match="compare: expected at least one image, got none"):
        compare(make_estimator(fields), make_estimator(fields), [])
