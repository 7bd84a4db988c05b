"""Test the tag decoder with known people."""

import numpy as np
import pytest
import scene_tags
from decoders import assert_same
from tag_people import TRIPLE, TRIPLE_SPEC, decode, ideal_tags, row

from pose_ros.decoder.tag import keypoint_order
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import BODY_25, COCO_17, OPENPOSE_18, SKELETONS, Skeleton
from pose_ros.training.targets.make import confidence_maps


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 2, 5, 20, 30])
def test_a_crowd_is_found_completely(count: int, dims: int, spatial: bool) -> None:
    fields, truth = scene_tags.fields(count, dims=dims)
    people = decode(fields, tag_spatial=spatial)
    assert len(people) == count
    distance = np.linalg.norm(people.keypoints[:, None] - (truth * 4 + 1.5)[None], axis=3)  # (found, true, K)
    mean = np.where(people.visible[:, None], distance, 0).sum(axis=2) / people.visible.sum(axis=1)[:, None]
    assert sorted(mean.argmin(axis=1)) == list(range(count))
    assert mean.min(axis=1).max() < 1  # px, with cells of 4 px
    assert people.visible.mean() > 0.99


def test_people_are_sorted_and_scored() -> None:
    people = decode(scene_tags.fields(5)[0])
    assert (np.diff(people.person_scores) <= 0).all()
    assert people.person_scores.min() > 0.8
    assert (people.scores[people.visible] > 0.5).all()


def test_a_person_of_more_keypoints_scores_more() -> None:
    def score(*visible: int) -> float:
        fields = ideal_tags([row(10)], [1.0], visible=[visible])
        return float(decode(fields, TRIPLE_SPEC, min_keypoints=1).person_scores[0])

    assert score(1, 1, 1) > score(1, 1, 0) > score(1, 0, 0) > 0.3


def test_absent_keypoints_are_zero() -> None:
    (person,) = decode(ideal_tags([row(10)], [1.0], visible=[[1, 1, 0]]), TRIPLE_SPEC, min_keypoints=2)
    assert person.scores[0, 2] == 0 and person.keypoints[0, 2].tolist() == [0, 0]


@pytest.mark.parametrize("dims", [1, 3])
def test_people_of_equal_tags_stay_apart(dims: int) -> None:
    """No person has a keypoint twice, and no keypoint is lost. Near keypoints belong together."""
    tags = np.full((2, 3, dims), 7.0)
    people = decode(ideal_tags([row(5), row(35)], tags), TRIPLE_SPEC)
    assert len(people) == 2 and people.visible.all()
    for person in people.keypoints:
        assert np.ptp(person[:, 1]) < 0.5


def test_people_of_equal_tags_in_one_keypoint_stay_two() -> None:
    fields = ideal_tags([row(5), row(35)], [[1.0, 1.0, 1.0], [5.0, 1.0, 5.0]])
    people = decode(fields, TRIPLE_SPEC, min_keypoints=1)
    whole = [p for p in people.keypoints if p[0].any() and p[2].any()]
    assert len(whole) == 2
    for person in whole:
        assert abs(person[0, 1] - person[2, 1]) < 0.5


def test_two_lone_keypoints_of_equal_tag_are_two_people() -> None:
    fields = ideal_tags([row(5), row(35)], [1.0, 1.0], visible=[[1, 0, 0], [1, 0, 0]])
    assert len(decode(fields, TRIPLE_SPEC, min_keypoints=1)) == 2


def test_a_keypoint_with_the_tag_of_another_person_does_not_split_it() -> None:
    """The left hip of the second person has the tag of the first. It may be lost, but the first person is complete."""
    shape, names, random = (64, 64), COCO_17.keypoint_names, np.random.default_rng(0)
    rows = np.arange(17) * 3.0 + 8
    xy = np.stack([np.stack([np.full(17, x), rows], axis=1) for x in (16, 48)]).astype(np.float32)
    tags = np.where(np.arange(64) < 32, 0.0, 4.0) + random.normal(0, 0.1, (17, 64, 64))
    tags[names.index("left_hip")] = 0
    heatmaps = confidence_maps(xy, np.ones((2, 17), bool), shape, 1.5)
    people = decode(Fields(heatmaps=heatmaps, tags=tags), ModelSpec("m", COCO_17, 1))
    assert sorted(people.visible.sum(axis=1)) in ([16, 17], [17, 17])
    assert all(np.ptp(p[v, 0]) < 1 for p, v in zip(people.keypoints, people.visible, strict=True))


def test_the_stronger_of_two_peaks_with_similar_tags_is_used() -> None:
    """Within half a threshold, the exact tag does not matter."""
    fields = ideal_tags([row(10), row(25)], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.3]], visible=[[1, 1, 1], [0, 0, 1]])
    fields.heatmaps[2, :18] *= 0.4
    (person,) = decode(fields, TRIPLE_SPEC)
    assert round(float(person.keypoints[0, 2, 1])) == 25


def test_tags_beyond_the_threshold_do_not_join() -> None:
    fields = ideal_tags([row(10)], [[0.0, 0.8, 1.5]])
    assert decode(fields, TRIPLE_SPEC, min_keypoints=1).visible.sum(axis=1).tolist() == [2, 1]
    assert decode(fields, TRIPLE_SPEC, min_keypoints=1, tag_threshold=3.0).visible.sum(axis=1).tolist() == [3]


def test_spatial_weighting_prefers_the_near_person() -> None:
    """Each c is next to its person, but its tag is slightly nearer to that of the other person."""
    fields = ideal_tags([row(5), row(35)], [[0.0, 0.0, 0.58], [0.9, 0.9, 0.32]])
    for person in decode(fields, TRIPLE_SPEC, tag_spatial=True).keypoints:
        assert np.ptp(person[:, 1]) < 0.5
    assert np.ptp(decode(fields, TRIPLE_SPEC).keypoints[..., 1], axis=1).max() > 20


def test_limits_keep_the_best() -> None:
    fields = ideal_tags([row(y) for y in (5, 15, 25, 35)], [0.0, 5.0, 10.0, 15.0])
    fields.heatmaps[:, 20:30] *= 0.5
    best = decode(fields, TRIPLE_SPEC, max_people=3)
    assert sorted(round(float(y)) for y in best.keypoints[:, 0, 1]) == [5, 15, 35]
    best = decode(fields, TRIPLE_SPEC, max_peaks=3)
    assert sorted(round(float(y)) for y in best.keypoints[:, 0, 1]) == [5, 15, 35]
    assert len(decode(fields, TRIPLE_SPEC, min_person_score=0.8)) == 3
    assert len(decode(fields, TRIPLE_SPEC, score_threshold=0.6)) == 3
    assert len(decode(ideal_tags([row(10)], [0.0], visible=[[1, 1, 0]]), TRIPLE_SPEC)) == 0


@pytest.mark.parametrize("limit", [1, 5, 29, 30, 31])
def test_max_people_limits_a_crowd(limit: int) -> None:
    fields, _ = scene_tags.fields(30)
    people = decode(fields, max_people=limit)
    assert len(people) == min(limit, 30) and people.visible.mean() > 0.99


def test_background_channels_are_ignored() -> None:
    fields, _ = scene_tags.fields(3)
    with_background = np.concatenate([fields.heatmaps, 1 - fields.heatmaps.max(axis=0, keepdims=True)])
    assert_same(decode(Fields(heatmaps=with_background, tags=fields.tags)), decode(fields), 0)


def test_origin_and_stride_place_the_cells() -> None:
    (person,) = decode(ideal_tags([row(6)], [1.0]), ModelSpec("triple", TRIPLE, stride=4, origin=-1.5))
    np.testing.assert_allclose(person.keypoints[0], [[38.5, 22.5], [98.5, 22.5], [158.5, 22.5]], atol=1e-3)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_keypoints_are_grouped_torso_first(skeleton: Skeleton) -> None:
    order = keypoint_order(skeleton)
    assert sorted(order) == list(range(len(skeleton)))
    rank = {skeleton.keypoint_names[k]: place for place, k in enumerate(order)}
    inner, outer = ("shoulder", "hip"), ("elbow", "wrist", "knee", "ankle", "eye", "ear")
    outermost = [rank[f"right_{p}"] for p in outer if f"right_{p}" in rank]
    assert max(rank[f"left_{p}"] for p in inner) < min(outermost)
    assert "nose" not in rank or rank["nose"] < rank["left_elbow"]
    if skeleton in (OPENPOSE_18, BODY_25):
        assert order[0] == skeleton.index("neck")


def test_unknown_keypoints_are_grouped_last_in_their_order() -> None:
    skeleton = Skeleton("cat", ("tail", "whisker", "nose", "left_hip"), ())
    assert keypoint_order(skeleton) == (3, 2, 0, 1)
