"""Test the targets of DirectPose: which cells predict a person, and what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from target_samples import SPEC, make_sample

from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.fields import HeadSpec, InputSpec
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets

HEADS = tuple(HeadSpec(name, name, "NCP") for name in ("people", "person_scores"))
LEVELS3 = replace(SPEC, heads=HEADS, input=InputSpec(multiple=32))
CONFIG = TargetConfig(heatmap_form="rounded", heatmap_sigma=0.1)
COUNT = 12 * 16 + 6 * 8 + 3 * 4
XY = [[30, 30], [60, 40], [90, 80]]


def targets_of(sample: Sample, **settings: object) -> dict[str, np.ndarray]:
    return make_targets(sample, LEVELS3, replace(CONFIG, **settings))


def cell_xy(column: int) -> tuple[np.ndarray, int]:
    """Return the centre of a cell, px, and its stride."""
    for stride, rows, cols in ((8, 12, 16), (16, 6, 8), (32, 3, 4)):
        if column < rows * cols:
            return np.array([column % cols, column // cols]) * stride + (stride - 1) / 2, stride
        column -= rows * cols
    raise AssertionError


def test_shapes_and_types() -> None:
    made = targets_of(make_sample(XY))
    shapes = {name: array.shape for name, array in made.items() if not name.endswith("_weights")}
    assert shapes == {
        "person_scores": (1, COUNT),
        "centreness": (1, COUNT),
        "person_offsets": (6, COUNT),
        "keypoint_scores": (3, COUNT),
        "heatmaps": (3, 12, 16),
    }
    for name, shape in shapes.items():
        assert made[f"{name}_weights"].shape == shape and made[f"{name}_weights"].dtype == np.uint8
        assert made[name].dtype == np.float32
    assert made["heatmaps"].sum() == 3 and set(np.unique(made["heatmaps"])) == {0, 1}


@pytest.mark.parametrize(
    ("box", "stride"),
    [((10, 10, 60, 70), 8), ((10, 10, 88, 80), 8), ((0, 0, 128, 96), 16), ((-60, -60, 188, 156), 32)],
)
def test_the_level_fits_the_size_of_the_person(box: tuple, stride: int) -> None:
    """The farthest side of the box is at most 64 px away on the finest level, and 128 px on the next one."""
    made = targets_of(make_sample(XY, box=box))
    columns = made["person_scores"][0].nonzero()[0]
    assert len(columns) and {cell_xy(column)[1] for column in columns} == {stride}
    centre = (np.array(box[:2]) + box[2:]) / 2
    for column in columns:
        assert np.abs(cell_xy(column)[0] - centre).max() < 1.5 * stride
    assert len(columns) in (4, 6, 9)  # 3 x 3 cells, fewer if the centre is between cells or the map ends


def test_offsets_lead_from_each_cell_to_the_keypoints() -> None:
    made = targets_of(make_sample(XY, box=(0, 0, 128, 96)))
    columns = made["person_scores"][0].nonzero()[0]
    assert len(columns)
    for column in columns:
        centre, stride = cell_xy(column)
        np.testing.assert_allclose(made["person_offsets"][:, column].reshape(3, 2) * stride + centre, XY, atol=1e-4)
    assert not made["person_offsets_weights"][:, made["person_scores"][0] == 0].any()


def test_centreness_is_1_at_the_middle_and_falls_to_the_sides() -> None:
    made = targets_of(make_sample(XY, box=(35.5 - 30, 35.5 - 20, 35.5 + 30, 35.5 + 20)))
    values = {tuple(cell_xy(c)[0]): made["centreness"][0, c] for c in made["person_scores"][0].nonzero()[0]}
    assert values[35.5, 35.5] == 1
    assert values[43.5, 35.5] == pytest.approx(np.sqrt(22 / 38))
    assert values[43.5, 43.5] == pytest.approx(np.sqrt(22 / 38 * 12 / 28))


def test_the_smaller_of_two_people_gets_the_cell() -> None:
    sample = make_sample(XY, [[44, 44], [48, 48], [52, 52]])
    boxes = np.array([[20, 20, 80, 80], [36, 36, 64, 64]], np.float32)
    made = targets_of(replace(sample, boxes=boxes))
    middle = 6 * 16 + 6
    assert cell_xy(middle)[0].tolist() == [51.5, 51.5]
    np.testing.assert_allclose(made["person_offsets"][:2, middle], [(44 - 51.5) / 8] * 2)


def test_only_labelled_keypoints_are_taught() -> None:
    made = targets_of(make_sample(XY, states=[LABELLED, ABSENT, UNKNOWN]))
    columns = made["person_scores"][0].nonzero()[0]
    assert made["person_offsets_weights"][:, columns].T.tolist() == [[1, 1, 0, 0, 0, 0]] * len(columns)
    assert made["keypoint_scores"][:, columns].T.tolist() == [[1, 0, 0]] * len(columns)
    assert made["keypoint_scores_weights"][:, columns].T.tolist() == [[1, 1, 0]] * len(columns)
    uncertain = targets_of(make_sample(XY, states=[LABELLED, UNCERTAIN, LABELLED]))
    assert uncertain["keypoint_scores_weights"][1].sum() == 0


def test_people_without_keypoints_are_unknown_not_background() -> None:
    made = targets_of(make_sample(XY, states=[UNKNOWN] * 3))
    taught = targets_of(make_sample(XY))["person_scores"][0] == 1
    assert not made["person_scores"].any() and not made["person_offsets_weights"].any()
    assert (made["person_scores_weights"][0] == ~taught).all() and taught.any()


def test_ignored_areas_have_weight_0_except_for_people() -> None:
    ignored = np.zeros((96, 128), bool)
    ignored[:, 64:] = True
    made = targets_of(make_sample(XY, ignored=ignored, box=(40, 20, 90, 70)))
    for column, (weight, is_person) in enumerate(
        zip(made["person_scores_weights"][0], made["person_scores"][0], strict=True)
    ):
        assert weight == (is_person or cell_xy(column)[0][0] < 64)


def test_an_image_without_people_is_background() -> None:
    made = targets_of(make_sample())
    assert made["person_scores_weights"].all() and not made["person_scores"].any()
    assert made["person_offsets"].shape == (6, COUNT) and not made["person_offsets_weights"].any()
