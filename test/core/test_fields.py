"""Test model descriptions: conversion in both directions, selection of channels, errors."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from pose_ros.fields import Fields, HeadSpec, InputSpec, ModelSpec, field_array
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

FULL = ModelSpec(
    "full",
    Skeleton("two", ("head", "tail"), ((0, 1),), sigmas=(0.1, 0.2)),
    stride=4,
    origin=1.5,
    input=InputSpec("x", "NCHW", "float32", "bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 8, 256, (320, 256)),
    heads=(HeadSpec("heatmaps", "y", "NHWC", (0, 2)), HeadSpec("pafs", "y", "NHWC", (4, 3))),
    grouping="tag",
    licence="MIT",
)


@pytest.mark.parametrize("spec", [FULL, ModelSpec("small", COCO_17, 8)], ids=lambda spec: spec.name)
def test_a_written_spec_is_read_back(spec: ModelSpec) -> None:
    assert ModelSpec.from_dict(yaml.safe_load(yaml.safe_dump(spec.to_dict()))) == spec


def test_a_known_skeleton_is_written_by_name() -> None:
    assert ModelSpec("m", OPENPOSE_18, 8).to_dict()["skeleton"] == "openpose_18"


def test_limbs_default_to_those_of_the_skeleton() -> None:
    assert ModelSpec("m", OPENPOSE_18, 8).limbs == OPENPOSE_18.limbs
    assert ModelSpec("m", OPENPOSE_18, 8, limbs=((0, 1),)).limbs == ((0, 1),)


def test_heads_select_reorder_and_transpose_channels() -> None:
    output = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # NHWC, batch of 2
    fields = FULL.fields({"y": output}, index=1)
    assert fields.heatmaps.shape == (2, 3, 4)
    assert np.array_equal(fields.heatmaps, output[1, :, :, [0, 2]])
    assert np.array_equal(fields.pafs, output[1, :, :, [4, 3]])


@pytest.mark.parametrize("channels", [(), (0, 1, 2, 3), (1, 2)])
def test_consecutive_channels_are_not_copied(channels: tuple[int, ...]) -> None:
    output = np.zeros((1, 4, 6, 7), np.float32)
    assert np.shares_memory(HeadSpec("heatmaps", "y", channels=channels).read({"y": output}, 0), output)


def test_float32_fields_are_not_copied() -> None:
    array = np.zeros((5, 6, 7), np.float32)
    assert np.shares_memory(field_array("heatmaps", array, 5), array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton": "dog"}, "skeleton: expected one of coco_17, openpose_18"),
        ({"stride": 0}, "stride: expected 0.000976562 to 1024, got 0"),
        ({"stride": None}, "model description"),
        (
            {"grouping": "magic"},
            "grouping: expected one of paf, tag, personlab, centernet, single, direct, got 'magic'",
        ),
        ({"limbs": [[0, 99]]}, r"limbs: expected keypoint indices below 18, got \(0, 99\)"),
        ({"limbs": [[0, -1]]}, r"limbs: expected keypoint indices below 18, got \(0, -1\)"),
        ({"heads": [{"field": "masks", "tensor": "y"}]}, "head.field: expected one of heatmaps"),
        ({"heads": [{"field": "pafs"}]}, "model description.*tensor"),
        ({"heads": [{"field": "people", "tensor": "y"}]}, "head.layout of people: expected one of NCP, NPC"),
        ({"heads": [{"field": "pafs", "tensor": "y", "layout": "NPC"}]}, "head.layout of pafs: expected one of NCHW"),
        ({"people": {"units": "px"}}, "people.units: expected one of pixels, fractions, got 'px'"),
        ({"people": {"box": "cxcywh"}}, "people.box: expected one of corners, centre, got 'cxcywh'"),
        ({"heads": 3}, "model description"),
        ({"input": {"layout": "CHWN"}}, "input.layout: expected one of NHWC, NCHW"),
        ({"input": {"dtype": "uint8", "mean": [1, 1, 1]}}, "mean 0 and std 1 with dtype uint8"),
        ({"input": {"dtype": "float32", "std": [0, 1, 1]}}, "input.std: expected 1e-06 to 1e.06, got 0"),
        ({"stride": float("inf")}, "stride: expected .* to 1024, got inf"),
        ({"origin": float("nan")}, "origin: expected -8192 to 8192, got nan"),
        (
            {"skeleton": {"name": "s", "keypoint_names": [str(k) for k in range(1001)], "limbs": []}},
            "got 1001",
        ),
        ({"limbs": [[0, 1]] * 5000}, "limbs: number: expected 0 to 4096, got 5000"),
        ({"heads": [{"field": "pafs", "tensor": "y", "channels": [-1]}]}, "head.channels: expected 0 to 8191, got -1"),
        ({"heads": [{"field": "pafs", "tensor": "y", "channels": [1 << 40]}]}, "head.channels: expected 0 to 8191"),
        ({"heads": [{"field": "pafs", "tensor": "y"}] * 99}, "heads: number: expected 0 to 18, got 99"),
        (
            {"input": {"dtype": "float32", "mean": [0, float("nan"), 1]}},
            "input.mean: expected .*, got nan",
        ),
        ({"input": {"dtype": "float32", "std": [1, float("inf"), 1]}}, "input.std: expected 1e-06 to 1e.06, got inf"),
        ({"input": {"short_side": 8}}, "input.short_side: expected 32 to 4096, got 8"),
        ({"input": {"short_side": 100_000}}, "input.short_side: expected 32 to 4096, got 100000"),
        ({"input": {"multiple": 100_000}}, "input.multiple: expected 1 to 1024, got 100000"),
        ({"input": {"size_wh": [0, 4]}}, "input.size_wh: expected 1 to 8192, got 0"),
        ({"input": {"size_wh": [10**6, 10**6]}}, "input.size_wh: expected 1 to 8192, got 1000000"),
        ({"input": {"size_wh": [8192, 8192]}}, "input.size_wh: width x height: expected 1 to .*, got 67108864"),
        (
            {"input": {"pose_channels": 17}},
            "input.pose_channels: expected 0 or one for each of the 18 keypoints, got 17",
        ),
        ({"input": {"pose_channels": 18, "dtype": "int32"}}, "input.dtype: expected uint8 or float32 with pose_chan"),
        ({"input": {"pose_sigma": 0}}, "input.pose_sigma: expected 0.1 to 8192, got 0"),
        ({"colour": "rgb"}, "model description.*colour"),
    ],
)
def test_wrong_descriptions_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_dict({"name": "m", "skeleton": "openpose_18", "stride": 8, **change})


def test_missing_entries_are_named() -> None:
    with pytest.raises(ValueError, match="stride"):
        ModelSpec.from_dict({"name": "m", "skeleton": "openpose_18"})


def test_fields_may_be_absent() -> None:
    assert Fields().heatmaps is None


def test_a_permutation_between_the_same_ends_is_applied() -> None:
    output = np.arange(4.0).reshape(1, 4, 1, 1)
    assert HeadSpec("heatmaps", "y", channels=(0, 2, 1, 3)).read({"y": output}, 0).ravel().tolist() == [0, 2, 1, 3]


def test_a_changed_skeleton_with_a_known_name_is_written_in_full() -> None:
    spec = ModelSpec("m", replace(OPENPOSE_18, limbs=OPENPOSE_18.limbs[:3], redundant_limbs=()), 8)
    assert ModelSpec.from_dict(spec.to_dict()) == spec
