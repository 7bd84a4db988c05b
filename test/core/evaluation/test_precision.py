"""The report of what a precision costs: of differences that are known."""

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
    """Gives the same fields whatever it sees."""

    metadata: Mapping[str, str] = {}
    description = "painted"
    reason = ""

    def __init__(self, fields: Fields) -> None:
        self._arrays = {name: array[None] for name, array in vars(fields).items() if array is not None}
        self.inputs = (TensorSpec("image", (None, None, None, 3), np.dtype(np.uint8)),)
        self.outputs = tuple(TensorSpec(name, (None,) * 4, np.dtype(np.float32)) for name in self._arrays)

    def _run(self, feeds: object, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self._arrays[name] for name in names}


def estimator(fields: Fields) -> PoseEstimator:
    heads = tuple(HeadSpec(name, name) for name, array in vars(fields).items() if array is not None)
    config = EstimatorConfig(runtime=RuntimeConfig(warm_up=False))
    return PoseEstimator(Painted(fields), ModelSpec("painted", OPENPOSE_18, STRIDE, heads=heads), config)


@pytest.fixture(scope="module")
def fields() -> Fields:
    return scene.fields(PEOPLE, SHAPE_HW)[0]


def against(fields: Fields, heatmaps: np.ndarray, pafs: np.ndarray) -> PrecisionReport:
    other = Fields(heatmaps=heatmaps.astype(np.float32), pafs=pafs.astype(np.float32))
    return compare(estimator(fields), estimator(other), [BLANK, BLANK])


def test_the_same_fields_cost_nothing(fields: Fields) -> None:
    got = against(fields, fields.heatmaps, fields.pafs)
    assert got.images == 2 and got.people == got.found == 2 * PEOPLE and got.lost == got.added == 0
    assert got.keypoints == len(got.shifts_px) == 2 * PEOPLE * 18 and not got.keypoints_lost + got.keypoints_added
    assert not got.shifts_px.any() and (got.oks == 1).all()
    assert all(field.mean == field.largest == 0 for field in got.fields.values())


def test_a_shift_of_one_cell_is_a_shift_of_its_stride(fields: Fields) -> None:
    got = against(fields, *(np.roll(field, 1, axis=2) for field in (fields.heatmaps, fields.pafs)))
    assert got.lost == got.added == 0 and np.median(got.shifts_px) == pytest.approx(STRIDE, abs=1e-3)
    assert 0.3 < got.oks.mean() < 0.95


def test_people_and_keypoints_that_go_or_come(fields: Fields) -> None:
    """One half of the picture is wiped, and everybody's nose: one way they are lost, the other way added."""
    heatmaps, pafs = fields.heatmaps.copy(), fields.pafs.copy()
    heatmaps[:, :, : SHAPE_HW[1] // 2] = 0
    heatmaps[OPENPOSE_18.index("nose")] = 0
    lost = against(fields, heatmaps, pafs)
    assert 0 < lost.lost < lost.people == 2 * PEOPLE and lost.added == 0
    assert lost.keypoints_lost >= lost.found > 0 and lost.keypoints_added == 0
    other = estimator(Fields(heatmaps=heatmaps, pafs=pafs))
    added = compare(other, estimator(fields), [BLANK, BLANK])
    assert (added.people, added.lost, added.added) == (lost.found, 0, lost.lost)
    assert (added.keypoints_lost, added.keypoints_added) == (0, lost.keypoints_lost)


def test_fields_are_compared_by_their_range(fields: Fields) -> None:
    heatmaps = fields.heatmaps.copy()
    heatmaps[0, 3, 4] += 0.5 * np.ptp(heatmaps)
    got = against(fields, heatmaps, fields.pafs).fields
    assert got["heatmaps"].largest == pytest.approx(0.5, rel=1e-5)
    assert got["heatmaps"].mean == pytest.approx(0.5 / heatmaps.size, rel=1e-4)
    assert got["pafs"].largest == 0


def test_nobody_in_sight(fields: Fields) -> None:
    empty = Fields(heatmaps=np.zeros_like(fields.heatmaps), pafs=np.zeros_like(fields.pafs))
    got = compare(estimator(empty), estimator(empty), [BLANK])
    assert (got.people, got.lost, got.added, got.keypoints, len(got.oks)) == (0, 0, 0, 0, 0)
    assert [value for _, value in got.rows()][-2:] == ["0: 0, 0, 0", "0: 0, 0, 0"]


def test_the_report_reads_as_numbers(fields: Fields) -> None:
    rows = dict(against(fields, *(np.roll(field, 1, axis=2) for field in (fields.heatmaps, fields.pafs))).rows())
    assert rows["people in float32: found, lost, added"] == f"{2 * PEOPLE}: {2 * PEOPLE}, 0, 0"
    assert rows["shift of the keypoints, median, p95"].startswith("8.00 px, ")
    assert rows["heatmaps: mean, largest difference"].endswith(" %")


def test_other_fields_are_refused(fields: Fields) -> None:
    smaller = Fields(heatmaps=fields.heatmaps[:, :-1], pafs=fields.pafs[:, :-1])
    with pytest.raises(ValueError, match=r"heatmaps: expected shape \(19, 46, 82\), got \(19, 45, 82\)"):
        compare(estimator(fields), estimator(smaller), [BLANK])


def test_no_images_are_refused(fields: Fields) -> None:
    with pytest.raises(ValueError, match="compare: expected images to show to both models, got none"):
        compare(estimator(fields), estimator(fields), [])
