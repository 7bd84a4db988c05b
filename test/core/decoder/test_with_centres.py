"""Test the keypoints that people get from their centres."""

from dataclasses import replace

import numpy as np
import pytest

from pose_ros.config import DecoderConfig
from pose_ros.decoder import fields_to_read, make_decoder
from pose_ros.decoder.with_centres import CentreKeypoints
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

SHAPE = (30, 40)
CHAIN = Skeleton("chain", ("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
NAMES = ("heatmaps", "pafs", "tags", "centres", "keypoint_offsets")
SPEC = ModelSpec(
    "m", CHAIN, 4, 1.5, heads=tuple(HeadSpec(name, name) for name in NAMES), snapping="scaled", score_threshold=0.2
)
PERSON = np.array([[10, 10], [14, 10], [18, 10], [22, 10]])
CENTRE = np.array([16, 10])
SETTINGS = {"min_keypoints": 2, "min_person_score": 0, "half_cell": False}


def make_fields(person: np.ndarray = PERSON, values: tuple[float, ...] = (0.9, 0.9, 0.9, 0.9)) -> Fields:
    """Make fields of one person. The heatmap of keypoint k has ``values[k]`` at its cell."""
    heatmaps, pafs = np.zeros((4, *SHAPE), np.float32), np.zeros((6, *SHAPE), np.float32)
    centres, offsets = np.zeros((1, *SHAPE), np.float32), np.zeros((8, *SHAPE), np.float32)
    for k, (x, y) in enumerate(person):
        if 0 <= x < SHAPE[1] and 0 <= y < SHAPE[0]:
            heatmaps[k, y, x] = values[k]
    pafs[0::2] = 1
    centres[0, CENTRE[1], CENTRE[0]] = 0.8
    offsets[:, CENTRE[1], CENTRE[0]] = (person - CENTRE).reshape(-1)
    return Fields(heatmaps=heatmaps, pafs=pafs, tags=np.zeros((4, *SHAPE)), centres=centres, keypoint_offsets=offsets)


def decode(fields: Fields, grouping: str = "paf", **config: object) -> People:
    return make_decoder(SPEC, grouping, DecoderConfig(**SETTINGS, **config))(fields)


@pytest.mark.parametrize("grouping", ["paf", "tag"])
def test_a_weak_keypoint_is_filled_in_where_centre_and_heatmap_agree(grouping: str) -> None:
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))  # below score_threshold 0.2, above 0.4 of it
    people = decode(fields, grouping)
    assert len(people) == 1 and people.scores[0] == pytest.approx([0.9, 0.9, 0.9, 0.1], abs=1e-6)
    np.testing.assert_allclose(people.keypoints[0], 4 * PERSON + 1.5, atol=0.01)
    assert decode(fields, grouping, with_centres=False).scores[0, 3] == 0


def test_the_score_of_the_person_and_present_keypoints_do_not_change() -> None:
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))
    improved, plain = decode(fields), decode(fields, with_centres=False)
    np.testing.assert_array_equal(improved.person_scores, plain.person_scores)
    np.testing.assert_array_equal(improved.keypoints[:, :3], plain.keypoints[:, :3])


@pytest.mark.parametrize(
    ("column", "joined", "predicted", "is_kept"),
    [
        pytest.param(24, 0.3, 0.8, False, id="near, less certain"),
        pytest.param(24, 0.8, 0.3, True, id="near, more certain"),
        pytest.param(30, 0.8, 0.3, False, id="far"),
    ],
)
def test_of_two_candidates_the_more_certain_one_is_used(
    column: int, joined: float, predicted: float, is_kept: bool
) -> None:
    """The tags join another peak than the one that the centre predicts."""
    fields = make_fields(values=(0.9, 0.9, 0.9, predicted))
    fields.heatmaps[3, 10, column] = joined
    fields.tags[3, :, :24] = 9
    found = decode(fields, "tag", with_centres=False).keypoints[0, 3]
    assert found.tolist() == pytest.approx([4 * column + 1.5, 41.5])
    people = decode(fields, "tag")
    column = column if is_kept else PERSON[3][0]
    assert people.keypoints[0, 3].tolist() == pytest.approx([4 * column + 1.5, 41.5])
    assert people.scores[0, 3] == pytest.approx(joined if is_kept else predicted, rel=0.3)


def test_a_keypoint_without_evidence_stays_absent() -> None:
    assert decode(make_fields(values=(0.9, 0.9, 0.9, 0.07))).scores[0, 3] == 0
    assert decode(make_fields(values=(0.9, 0.9, 0.9, 0.0))).scores[0, 3] == 0


def test_a_keypoint_outside_the_image_stays_absent() -> None:
    person = np.array([[10, 10], [14, 10], [18, 10], [60, 10]])
    people = decode(make_fields(person))
    assert people.scores[0].tolist() == pytest.approx([0.9, 0.9, 0.9, 0])
    assert people.keypoints[0, 3].tolist() == [0, 0]


def test_the_centre_of_somebody_else_adds_nothing() -> None:
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))
    offsets = fields.keypoint_offsets.copy()
    offsets[1::2] += 12  # the centre predicts a person 12 cells below
    assert decode(replace(fields, keypoint_offsets=offsets)).scores[0, 3] == 0


def test_a_model_without_centres_and_an_image_without_them_work() -> None:
    plain = replace(SPEC, heads=SPEC.heads[:3])
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))
    people = make_decoder(plain, "paf", DecoderConfig(**SETTINGS))(replace(fields, centres=None, keypoint_offsets=None))
    assert people.scores[0, 3] == 0
    assert decode(replace(fields, centres=np.zeros((1, *SHAPE)))).scores[0, 3] == 0
    assert len(decode(replace(fields, heatmaps=np.zeros((4, *SHAPE))))) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_fields_that_are_not_finite_never_spoil_a_person(value: float) -> None:
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))
    fields.keypoint_offsets[:] = value
    people = decode(fields)
    assert np.isfinite(people.keypoints).all() and people.scores[0, :3] == pytest.approx(0.9)


def test_no_people_and_people_without_shared_keypoints() -> None:
    combination, fields = CentreKeypoints(SPEC, DecoderConfig(score_threshold=0.2)), make_fields()
    assert len(combination.improve(People.empty(4), fields)) == 0
    one = People(np.zeros((1, 4, 2), np.float32), np.array([[0.5, 0, 0, 0]], np.float32), np.array([0.5], np.float32))
    np.testing.assert_array_equal(combination.improve(one, fields).scores, one.scores)


def test_the_fields_of_centres_are_read_only_if_they_are_used() -> None:
    for grouping in ("paf", "tag"):
        assert {"centres", "keypoint_offsets"} <= set(fields_to_read(SPEC, grouping))
        assert "centres" not in fields_to_read(SPEC, grouping, DecoderConfig(with_centres=False))
    assert "sizes" not in fields_to_read(SPEC, "paf")


@pytest.mark.parametrize("value", [0, -0.1, 1.1, np.nan])
def test_a_wrong_threshold_in_the_description_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="score_threshold: expected a number above 0, at most 1"):
        replace(SPEC, score_threshold=value)


def test_the_threshold_of_the_settings_replaces_that_of_the_description() -> None:
    fields = make_fields(values=(0.9, 0.9, 0.15, 0.1))
    assert decode(fields, with_centres=False).scores[0, 2] == 0
    assert decode(fields, with_centres=False, score_threshold=0.12).scores[0, 2] == pytest.approx(0.15)


def test_fragments_of_one_person_become_one_person() -> None:
    fields = make_fields()
    fields.pafs[2:4] = 0  # no limb between b and c
    config = {**SETTINGS, "min_keypoints": 2}
    assert len(make_decoder(SPEC, "paf", DecoderConfig(**config, with_centres=False))(fields)) == 2
    people = make_decoder(SPEC, "paf", DecoderConfig(**config))(fields)
    assert len(people) == 1 and people.scores[0] == pytest.approx([0.9] * 4)


def test_positions_are_as_exact_as_those_of_peaks_without_offsets() -> None:
    fields = make_fields(values=(0.9, 0.9, 0.9, 0.1))
    people = make_decoder(SPEC, "paf", DecoderConfig(min_keypoints=2, min_person_score=0))(fields)  # half_cell: true
    np.testing.assert_allclose(people.keypoints[0, 3], 4 * PERSON[3] + 1.5, atol=0.01)
