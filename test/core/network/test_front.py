"""Test the decode front: in the network's graph, it finds the same as the decoder finds in the fields."""

import numpy as np
import pytest

pytest.importorskip("torch")

import golden
import scene
import torch

from pose_ros.config import DecoderConfig
from pose_ros.decoder import fields_to_read, make_decoder
from pose_ros.decoder.limbs import score_limbs
from pose_ros.decoder.peaks import find_peaks
from pose_ros.decoder.subpixel import Refinement
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.network import front
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton
from pose_ros.training.targets.make import confidence_maps, part_affinity_fields

SPEC = ModelSpec("test", OPENPOSE_18, stride=8, origin=1.5)
GOLDEN = [case for case in golden.cases("paf_synthetic", "paf_real") if case["kind"] != "noise"]


def tensor(array: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]


def run_front(spec: ModelSpec, fields: Fields, max_peaks: int = 64, max_samples: int = front.MAX_SAMPLES) -> Fields:
    module = front.DecodeFront(len(spec.skeleton), spec.limbs, max_peaks, max_samples)
    with torch.inference_mode():
        peaks, values = module(tensor(fields.heatmaps), tensor(fields.pafs))
    return Fields(peaks=peaks[0].numpy(), limb_scores=values[0].numpy())


def peaks_of(heatmap: np.ndarray, count: int = 8) -> list[tuple[float, ...]]:
    """Return (x, y, score) of the front's peaks, sorted."""
    (peaks,) = front.find_peaks(tensor(heatmap[None]), count)[0].numpy()
    return sorted(map(tuple, np.round(peaks[peaks[:, 2] > 0], 4).tolist()))


def expected_peaks(heatmap: np.ndarray, count: int = 8) -> list[tuple[float, ...]]:
    peaks = find_peaks(np.ascontiguousarray(heatmap[None], np.float32), 0.0, count)
    rows = np.concatenate([peaks.xy[0], peaks.scores[0, :, None]], axis=1)[: peaks.counts[0]]
    return sorted(map(tuple, np.round(rows, 4).tolist()))


def make_heatmap(cells: dict[tuple[int, int], float], shape_hw: tuple[int, int] = (7, 9)) -> np.ndarray:
    """Make a heatmap of zeros with some cells (row, column) set."""
    heatmap = np.zeros(shape_hw, np.float32)
    for cell, value in cells.items():
        heatmap[cell] = value
    return heatmap


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param({}, id="nothing"),
        pytest.param({(3, 4): 0.5}, id="one cell"),
        pytest.param({(3, 4): 0.5, (3, 5): 0.4, (2, 4): 0.1}, id="between cells"),
        pytest.param({(3, 4): 0.5, (3, 5): 0.5, (2, 4): 0.2}, id="two equal in a row"),
        pytest.param({(3, 4): 0.5, (4, 4): 0.5, (3, 5): 0.2}, id="two equal in a column"),
        pytest.param({(3, 4): 0.5, (3, 5): 0.5, (3, 6): 0.6}, id="equal next to a higher one"),
        pytest.param({(3, 4): 0.5, (4, 5): 0.5, (5, 6): 0.6}, id="equal next to a higher one, diagonal"),
        pytest.param({(0, 0): 0.5, (6, 8): 0.4, (0, 1): 0.2}, id="corners"),
        pytest.param({(0, 4): 0.5, (0, 5): 0.4, (6, 3): 0.3, (5, 3): 0.2}, id="borders"),
        pytest.param({(3, 4): 1.7, (3, 5): 1.2}, id="above one"),
        pytest.param({(3, 4): np.nan, (3, 5): 0.3, (1, 1): np.inf, (1, 2): 0.2, (5, 5): -np.inf}, id="not finite"),
        pytest.param({(3, 4): -0.5, (5, 5): 0.1, (5, 6): -0.2}, id="negative"),
    ],
)
def test_peaks_equal_those_of_the_decoder(cells: dict[tuple[int, int], float]) -> None:
    assert peaks_of(make_heatmap(cells)) == expected_peaks(make_heatmap(cells))


@pytest.mark.parametrize("seed", range(5))
def test_peaks_of_random_maps_equal_those_of_the_decoder(seed: int) -> None:
    heatmap = np.random.default_rng(seed).normal(0, 0.3, (30, 40)).astype(np.float32)
    assert peaks_of(heatmap, 200) == expected_peaks(heatmap, 200)
    assert len(peaks_of(heatmap, 16)) == 16 and set(peaks_of(heatmap, 16)) <= set(peaks_of(heatmap, 200))


@pytest.mark.parametrize("cells", [[(3, 3), (3, 4), (3, 5)], [(2, 3), (2, 4), (3, 3), (3, 4)]], ids=["row", "square"])
def test_a_large_plateau_is_one_peak_within_half_a_cell_of_its_first(cells: list[tuple[int, int]]) -> None:
    ((x, y, score),) = peaks_of(make_heatmap(dict.fromkeys(cells, 0.5)))
    assert abs(x - cells[0][1]) <= 0.5 and abs(y - cells[0][0]) <= 0.5 and score == 0.5


def test_scores_are_cell_values_in_descending_order() -> None:
    heatmap = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    scores = front.find_peaks(tensor(heatmap[None]), 32)[0, 0, :, 2].numpy()
    assert np.isin(scores, heatmap).all() and (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("channels", [2, 4], ids=["shared", "each"])
def test_offsets_move_the_peaks_as_in_the_decoder(channels: int) -> None:
    random = np.random.default_rng(0)
    heatmaps = random.normal(0, 0.3, (2, 30, 40)).astype(np.float32)
    offsets = random.normal(0, 2, (channels, 30, 40)).astype(np.float32)
    offsets[random.random(offsets.shape) < 0.1] = np.nan
    offsets[random.random(offsets.shape) < 0.1] = 1e9
    expected = find_peaks(heatmaps, 0.0, 100, Refinement("offsets", offsets=offsets))
    peaks = front.find_peaks(tensor(heatmaps), 100, tensor(offsets))[0].numpy()
    for k in range(2):
        count = expected.counts[k]
        rows = np.concatenate([expected.xy[k], expected.scores[k, :, None]], axis=1)[:count]
        assert sorted(map(tuple, peaks[k, :count].round(4).tolist())) == sorted(map(tuple, rows.round(4).tolist()))


@pytest.mark.parametrize(("samples", "gap"), [(25, 5e-4), (10, 0.1)])
@pytest.mark.parametrize("count", [5, 20])
def test_limb_scores_equal_those_of_the_decoder(count: int, samples: int, gap: float) -> None:
    """With the same number of samples they are equal. With 10, limbs over 10 cells differ by less than 0.1."""
    fields, _ = scene.fields(count)
    output = run_front(SPEC, fields, 64, samples)
    limbs = np.array(SPEC.limbs)
    peaks = find_peaks(np.ascontiguousarray(fields.heatmaps[:18]), 0.0, 64)
    xy, scores = output.peaks[..., :2], output.peaks[..., 2]
    peaks.xy[:], peaks.scores[:] = xy, scores
    links, values = score_limbs(fields.pafs, peaks, limbs, 0.05, 0.8)
    got = output.limb_scores[tuple(links.T)]
    assert len(links) > 19 * count * 0.9
    assert (got > 0).mean() > 0.995
    assert np.abs(got - values)[got > 0].max() < gap
    assert (output.limb_scores > 0).sum() < 1.02 * len(links)  # noise that the decoder's quick test rejects


def count_equal_people(spec: ModelSpec, fields: Fields, output: Fields, max_peaks: int = 64) -> tuple[int, int, int]:
    """Count people of the fields, people of the front, and people equal within a hundredth of a cell."""
    decoder = make_decoder(spec, "paf", DecoderConfig(max_peaks=max_peaks))
    expected, people = decoder(fields), decoder(output)
    equal = sum(any(is_same(person, other, 0.01 * spec.stride) for other in people) for person in expected)
    return len(expected), len(people), equal


def is_same(a: People, b: People, px: float) -> bool:
    return bool(np.array_equal(a.visible, b.visible) and np.abs(a.keypoints - b.keypoints).max() < px)


@pytest.mark.parametrize("count", [0, 1, 5, 20, 50])
def test_people_are_the_same(count: int) -> None:
    fields = scene.fields(count)[0] if count else Fields(np.zeros((19, 20, 30)), np.zeros((38, 20, 30)))
    assert count_equal_people(SPEC, fields, run_front(SPEC, fields)) == (count, count, count)


@pytest.mark.skipif(not GOLDEN, reason=f"no golden cases in {golden.FOLDER}")
def test_people_of_golden_scenes_are_the_same() -> None:
    """At least 99 % of people are equal within a hundredth of a cell."""
    totals = np.zeros(3)
    for case in GOLDEN:
        data = golden.arrays(case)
        heat, paf = (data["fields"][:19], data["fields"][19:]) if "fields" in data else (data["heat"], data["paf"])
        spec, fields = ModelSpec(case["id"], golden.skeleton(case), case["stride"]), Fields(heat, paf)
        totals += count_equal_people(spec, fields, run_front(spec, fields))
    expected, people, equal = totals
    assert expected > 100 and abs(people - expected) <= 0.01 * expected and equal >= 0.99 * expected, totals


def test_keypoints_on_one_cell_are_linked_but_start_no_person() -> None:
    chain = Skeleton("chain", ("a", "b", "c"), ((0, 1), (1, 2)))
    spec = ModelSpec("chain", chain, 1)
    for xy, count in (([[20, 20], [20, 20], [30, 20]], 1), ([[20, 20], [20, 20], [20, 20]], 0)):
        points, visible = np.array([xy], np.float32), np.ones((1, 3), bool)
        fields = Fields(
            confidence_maps(points, visible, (40, 60), 1.0),
            part_affinity_fields(points, visible, chain.limbs, (40, 60), 1.0),
        )
        assert count_equal_people(spec, fields, run_front(spec, fields)) == (count, count, count)


def test_score_threshold_and_limits_apply_on_the_host() -> None:
    fields, _ = scene.fields(5)
    output = run_front(SPEC, fields)
    decoder = make_decoder(SPEC, "paf", DecoderConfig(score_threshold=0.95))
    scores = decoder(output).scores
    assert (scores[scores > 0] > 0.95).all()
    from_front = count_equal_people(SPEC, fields, output, max_peaks=2)
    assert from_front == count_equal_people(SPEC, fields, fields, max_peaks=2)


@pytest.mark.parametrize("change", [{"subpixel": "none"}, {"paf_threshold": 0.3}, {"paf_fraction": 0.5}], ids=str)
def test_settings_that_the_front_does_not_support(change: dict) -> None:
    """The decoder then uses heatmaps and PAFs."""
    fields, _ = scene.fields(5)
    output = run_front(SPEC, fields)
    both = Fields(fields.heatmaps, fields.pafs, peaks=output.peaks, limb_scores=output.limb_scores)
    decoder = make_decoder(SPEC, "paf", DecoderConfig(**change))
    assert np.array_equal(decoder(both).keypoints, decoder(fields).keypoints)
    with pytest.raises(ValueError, match="heatmaps: expected an array"):
        decoder(output)


@pytest.mark.parametrize(
    ("peaks", "values", "message"),
    [
        ((18, 8, 3), None, "limb_scores: expected an array of 19 channels, got None"),
        ((18, 8, 2), (19, 8, 8), r"peaks: expected \(K, M, 3\)"),
        ((18, 8, 3), (19, 8, 9), r"limb_scores \(L, M, M\), got .*\(19, 8, 9\)"),
        ((17, 8, 3), (19, 8, 8), "peaks: expected shape"),
    ],
)
def test_wrong_shapes_are_rejected(peaks: tuple, values: tuple | None, message: str) -> None:
    output = Fields(peaks=np.zeros(peaks), limb_scores=None if values is None else np.zeros(values))
    with pytest.raises(ValueError, match=message):
        make_decoder(SPEC, "paf")(output)


def heads(*names: str) -> tuple[HeadSpec, ...]:
    return tuple(HeadSpec(name, name) for name in names)


@pytest.mark.parametrize(
    ("grouping", "names", "change", "expected"),
    [
        ("paf", ("heatmaps", "pafs", "tags"), {}, {"heatmaps", "pafs"}),
        ("paf", ("heatmaps", "pafs", "peaks", "limb_scores"), {}, {"peaks", "limb_scores"}),
        ("paf", ("heatmaps", "pafs", "peaks", "limb_scores"), {"subpixel": "dark"}, {"heatmaps", "pafs"}),
        ("paf", ("peaks", "limb_scores"), {}, {"peaks", "limb_scores"}),
        ("tag", ("heatmaps", "pafs", "tags", "peaks", "limb_scores"), {}, {"heatmaps", "tags"}),
        ("single", ("heatmaps", "pafs"), {}, {"heatmaps"}),
        ("personlab", ("heatmaps", "short_offsets", "mid_offsets"), {}, {"heatmaps", "short_offsets", "mid_offsets"}),
        (
            "centernet",
            ("centres", "keypoint_offsets", "heatmaps", "sizes", "tags"),
            {},
            {"centres", "keypoint_offsets", "heatmaps", "sizes"},
        ),
    ],
)
def test_only_fields_that_are_read_must_be_fetched(
    grouping: str, names: tuple[str, ...], change: dict, expected: set[str]
) -> None:
    spec, config = ModelSpec("m", COCO_17, 8, heads=heads(*names), grouping=grouping), DecoderConfig(**change)
    assert set(fields_to_read(spec, None, config)) == expected
    make_decoder(spec, None, config)


def test_fields_that_were_not_fetched_are_none() -> None:
    fields = ModelSpec("m", COCO_17, 8, heads=heads("heatmaps", "pafs")).fields({"pafs": np.zeros((1, 2, 3, 3))})
    assert fields.heatmaps is None and fields.pafs is not None
