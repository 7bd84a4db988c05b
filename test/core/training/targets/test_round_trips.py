"""Test that ideal fields of random people decode to the same people."""

from dataclasses import replace

import numpy as np
import pytest
import scene
import scene_personlab

from pose_ros.config import DecoderConfig
from pose_ros.datasets.sample import ABSENT, LABELLED, Sample
from pose_ros.decoder import make_decoder
from pose_ros.fields import GROUPING_HEADS, Fields, HeadSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import OPENPOSE_18, Skeleton
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets

SIZE_HW = (384, 512)
TRIPLE = Skeleton("triple", ("neck", "right_wrist", "left_ankle"), ())
CENTERNET = ("centres", "keypoint_offsets", "centre_offsets", "sizes", "heatmaps", "heatmap_offsets")


def make_spec(heads: tuple[str, ...], skeleton: Skeleton, stride: float) -> ModelSpec:
    return ModelSpec("ideal", skeleton, stride, (stride - 1) / 2, heads=tuple(HeadSpec(name, name) for name in heads))


def make_crowd(
    people: int, skeleton: Skeleton, seed: int, lost: float = 0.0, size_hw: tuple[int, int] = SIZE_HW
) -> Sample:
    """Make random people with some absent keypoints, and their boxes as masks."""
    xy = (scene if skeleton is OPENPOSE_18 else scene_personlab).crowd(people, size_hw, seed)
    states = np.where(np.random.default_rng(seed).uniform(size=xy.shape[:2]) < lost, ABSENT, LABELLED).astype(np.uint8)
    boxes = np.concatenate([xy.min(axis=1) - 6, xy.max(axis=1) + 6], axis=1)
    people_map = np.zeros(size_hw, np.uint8)
    for n, (left, top, right, bottom) in enumerate(boxes.astype(int)):
        people_map[max(top, 0) : bottom, max(left, 0) : right] = n + 1
    return Sample(np.zeros((*size_hw, 3), np.uint8), xy, states, boxes, people_map=people_map)


def select_keypoints(sample: Sample, names: tuple[str, ...]) -> Sample:
    chosen = [OPENPOSE_18.index(name) for name in names]
    return replace(sample, keypoints=sample.keypoints[:, chosen], states=sample.states[:, chosen])


def assert_same_people(people: People, sample: Sample, tolerance_px: float) -> None:
    """Assert that each true person is detected exactly once, with the same keypoints."""
    labelled = sample.states == LABELLED
    distances = np.linalg.norm(people.keypoints[:, None] - sample.keypoints, axis=3)  # (detected, true, K)
    distances = np.where(people.visible[:, None] & labelled, distances, 0).sum(axis=2) / labelled.sum(axis=1)
    best = distances.argmin(axis=0)
    assert sorted(best) == list(range(len(people)))
    for n, detected in enumerate(best):
        assert (people.visible[detected] == labelled[n]).all()
        difference = people.keypoints[detected] - sample.keypoints[n]
        assert np.abs(difference[labelled[n]]).max() <= tolerance_px


@pytest.mark.parametrize("form", ["hard", "soft"])
@pytest.mark.parametrize(("people", "stride"), [(1, 8), (4, 8), (4, 4), (9, 4)])
def test_part_affinity_fields(people: int, stride: int, form: str) -> None:
    spec, sample = make_spec(GROUPING_HEADS["paf"], OPENPOSE_18, stride), make_crowd(people, OPENPOSE_18, people)
    config = TargetConfig(heatmap_sigma=stride, limb_half_width=stride, limb_form=form)
    targets = make_targets(sample, spec, config)
    fields = Fields(heatmaps=targets["heatmaps"], pafs=targets["pafs"])
    assert_same_people(make_decoder(spec, "paf", DecoderConfig())(fields), sample, 0.25 * stride)


@pytest.mark.parametrize("seed", range(4))
def test_short_limbs_have_no_gaps_on_a_coarse_grid(seed: int) -> None:
    """At 110 px and stride 8, the neck is 4 cells from the hip. Without overhang, people were split there."""
    spec = make_spec(GROUPING_HEADS["paf"], OPENPOSE_18, 8)
    sample = make_crowd(4, OPENPOSE_18, seed, size_hw=(256, 256))
    targets = make_targets(sample, spec, TargetConfig())
    people = make_decoder(spec, "paf", DecoderConfig())(Fields(heatmaps=targets["heatmaps"], pafs=targets["pafs"]))
    assert people.visible.all()
    assert_same_people(people, sample, 3)


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize(("people", "stride"), [(1, 8), (4, 8), (9, 4)])
def test_tags(people: int, stride: int, lost: float) -> None:
    spec, sample = make_spec(GROUPING_HEADS["tag"], OPENPOSE_18, stride), make_crowd(people, OPENPOSE_18, people, lost)
    targets = make_targets(sample, spec, TargetConfig(heatmap_sigma=stride))
    tags = np.full(targets["heatmaps"].shape, -50, np.float32)
    for n, cells in enumerate(targets["tag_cells"]):
        for k in np.flatnonzero(cells >= 0):
            tags[k].ravel()[cells[k]] = 10 * n
    fields = Fields(heatmaps=targets["heatmaps"], tags=tags)
    assert_same_people(make_decoder(spec, "tag", DecoderConfig())(fields), sample, 0.25 * stride)


@pytest.mark.parametrize("form", ["gaussian", "disk"])
@pytest.mark.parametrize(("people", "stride"), [(1, 16), (3, 16), (3, 8)])
def test_personlab(people: int, stride: int, form: str) -> None:
    heads = (*GROUPING_HEADS["personlab"], "long_offsets", "segmentation")
    spec = make_spec(heads, scene_personlab.POSENET_17, stride)
    sample = make_crowd(people, scene_personlab.POSENET_17, people)
    targets = make_targets(sample, spec, TargetConfig(heatmap_form=form, heatmap_sigma=stride, disk_radius=32))
    fields = Fields(**{name: targets[name] for name in heads})
    detected = make_decoder(spec, "personlab", DecoderConfig())(fields)
    assert_same_people(detected, sample, 0.25 * stride)
    assert detected.masks is not None
    assert (detected.masks.any(axis=0) == (targets["segmentation"][0] > 0)).mean() > 0.98


@pytest.mark.parametrize("form", ["gaussian", "centernet"])
@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("people", [1, 4, 9])
def test_centernet(people: int, lost: float, form: str) -> None:
    """Use three keypoints far from each other, because keypoints in one cell share their offset."""
    spec, sample = make_spec(CENTERNET, TRIPLE, 4), make_crowd(people, OPENPOSE_18, people, lost)
    sample = select_keypoints(sample, TRIPLE.keypoint_names)
    targets = make_targets(sample, spec, TargetConfig(heatmap_form=form, heatmap_sigma=4))
    fields = Fields(**{name: targets[name] for name in CENTERNET})
    fields.keypoint_offsets[targets["keypoint_offsets_weights"] == 0] = np.nan
    assert_same_people(make_decoder(spec, "centernet", DecoderConfig(min_keypoints=1))(fields), sample, 1e-3)
