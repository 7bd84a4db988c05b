"""Test that explicit settings are obeyed, or that one line says what overrules them."""

from __future__ import annotations

import re
import sys
from typing import ClassVar

import numpy as np
import pytest

from pose_ros.config import AUTO, DecoderConfig, EstimatorConfig, PreprocessConfig, RefinementConfig, RuntimeConfig
from pose_ros.decoder import make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.fields import Fields, HeadSpec, InputSpec, ModelSpec
from pose_ros.overruled import READERS, overruled_settings
from pose_ros.preprocess import fit
from pose_ros.runtime.runner import Runner, TensorSpec
from pose_ros.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "neck"), ((0, 1),))
FIXED = ModelSpec("fixed", PAIR, 8, input=InputSpec("image", size_wh=(320, 160)))


class PairNetwork(Runner):
    """Network that finds as many pairs of keypoints as fit into 32 x 32 cells."""

    inputs = (TensorSpec("image", (None, None, None, 3), np.dtype(np.uint8)),)
    outputs = (
        TensorSpec("heatmaps", (None, 2, None, None), np.dtype(np.float32)),
        TensorSpec("pafs", (None, 2, None, None), np.dtype(np.float32)),
    )
    metadata: ClassVar[dict[str, str]] = {}

    def _run(self, feeds, names) -> dict[str, np.ndarray]:
        heatmaps, pafs = np.zeros((1, 2, 64, 64), np.float32), np.zeros((1, 2, 64, 64), np.float32)
        heatmaps[0, 0, 1::5, 2::5] = heatmaps[0, 1, 4::5, 2::5] = 1
        pafs[0, 1, :, 2::5] = 1
        return {"heatmaps": heatmaps, "pafs": pafs}


def describe(config: EstimatorConfig, spec: ModelSpec = FIXED, grouping: str = "paf", front: int | None = None) -> str:
    return "\n".join(overruled_settings(spec, grouping, config, front))


@pytest.mark.parametrize(
    ("size_wh", "settings", "scaled_wh"),
    [
        ((3840, 2160), {"short_side": 1080}, (1920, 1080)),
        ((4000, 500), {"short_side": 576}, (4608, 576)),
        ((4000, 500), {}, (1312, 164)),
        ((4000, 500), {"short_side": 576, "max_long_side": 2000}, (2000, 250)),
        ((100_000, 1), {"short_side": 576}, (8192, 1)),
    ],
    ids=str,
)
def test_a_short_side_is_obeyed_unless_a_limit_is_set(size_wh, settings, scaled_wh) -> None:
    assert fit(size_wh, InputSpec(multiple=8, short_side=352), PreprocessConfig(**settings)).scaled_wh == scaled_wh


@pytest.mark.parametrize(
    ("settings", "people", "peaks"),
    [({}, 100, 100), ({"max_people": 128}, 128, 128), ({"max_peaks": 300}, 300, 300), ({"max_people": 5}, 5, 100)],
    ids=str,
)
def test_one_limit_raises_the_other(settings: dict[str, int], people: int, peaks: int) -> None:
    config = DecoderConfig(**settings)
    assert (config.most_people, config.most_peaks) == (people, peaks)


@pytest.mark.parametrize(("settings", "people"), [({}, 100), ({"max_people": 160}, 160), ({"max_peaks": 300}, 156)])
def test_a_crowd_is_found_by_raising_one_limit(settings: dict[str, int], people: int) -> None:
    heads = (HeadSpec("heatmaps", "heatmaps"), HeadSpec("pafs", "pafs"))
    spec = ModelSpec("pairs", PAIR, 8, heads=heads, input=InputSpec("image", multiple=8, short_side=64))
    decoder = DecoderConfig(min_keypoints=2, duplicate_oks=1.0, max_stretch=0.0, with_centres=True, **settings)
    texts: list[str] = []
    config = EstimatorConfig(decoder=decoder, runtime=RuntimeConfig(warm_up=False))
    estimator = PoseEstimator(PairNetwork(), spec, config, notify=texts.append)
    found = [len(estimator.estimate(np.zeros((512, 512, 3), np.uint8))) for _ in range(2)]
    assert found == [min(people, 156)] * 2
    cut = "decoder.max_people: at most 100 people are returned, and an image has as many; raise it"
    assert [text for text in texts if "max_people" in text] == ([] if settings else [cut])


@pytest.mark.parametrize(
    ("preprocess", "text"),
    [
        ({"short_side": 656}, "preprocess.short_side: 656 px has no effect, because the input of model fixed is"),
        ({"max_long_side": 128}, "preprocess.max_long_side: 128 px has no effect"),
        ({"short_side": 160, "max_long_side": 1312}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_a_model_of_fixed_size_overrules_sizes(preprocess: dict[str, int], text: str) -> None:
    said = describe(EstimatorConfig(preprocess=PreprocessConfig(**preprocess)))
    assert said.startswith(text) and bool(said) == bool(text)


@pytest.mark.parametrize("short_side", [0, 256, AUTO])
def test_scales_overrule_the_short_side(short_side: int) -> None:
    config = EstimatorConfig(PreprocessConfig(short_side=short_side, scales=(128, 192)))
    said = describe(config, ModelSpec("any", PAIR, 8))
    expected = "preprocess.short_side: 256 px has no effect, because preprocess.scales [128, 192] replace it"
    assert said.startswith(expected) if short_side == 256 else not said


@pytest.mark.parametrize(
    ("grouping", "settings", "front", "text"),
    [
        ("paf", {"tag_threshold": 2.0}, None, "decoder.tag_threshold: 2.0 has no effect with grouping paf"),
        ("tag", {"matching": "hungarian"}, None, "decoder.matching: hungarian has no effect with grouping tag"),
        ("tag", {"matching": "partition"}, None, ""),
        ("personlab", {"matching": "partition"}, None, "decoder.matching: partition has no effect with grouping"),
        ("paf", {"max_people": 128}, 32, "decoder.max_people: 128 people cannot be found, .* export with --max-peaks"),
        ("paf", {"max_people": 128, "max_peaks": 100}, None, "decoder.max_people: .* raise max_peaks"),
        ("paf", {"paf_threshold": 0.2, "max_people": 128}, None, ""),
    ],
    ids=str,
)
def test_a_grouping_overrules_settings_of_others(grouping, settings, front, text) -> None:
    said = describe(EstimatorConfig(decoder=DecoderConfig(**settings)), grouping=grouping, front=front)
    assert re.match(text, said) and bool(said) == bool(text)


def test_the_warm_up_of_partition_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    limits: list[float] = []
    monkeypatch.setattr(
        "pose_ros.decoder.partition_links.partition",
        lambda hypotheses, start, limit_ms: limits.append(limit_ms) or start,
    )
    heads = (HeadSpec("heatmaps", "heatmaps"), HeadSpec("pafs", "pafs"))
    spec = ModelSpec("pairs", PAIR, 8, heads=heads, input=InputSpec("image", multiple=8, short_side=64))
    decoder = DecoderConfig(matching="partition", partition_ms=0.0)
    estimator = PoseEstimator(PairNetwork(), spec, EstimatorConfig(decoder=decoder))
    assert limits == [DecoderConfig().partition_ms]
    estimator.estimate(np.zeros((64, 64, 3), np.uint8))
    assert limits[1:] == [0.0]


@pytest.mark.parametrize("grouping", ["paf", "tag"])
def test_partition_without_scipy_is_reported(monkeypatch: pytest.MonkeyPatch, grouping: str) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    said = describe(EstimatorConfig(decoder=DecoderConfig(matching="partition")), grouping=grouping)
    assert re.match("decoder.matching: partition has no effect, because SciPy .* run pip install scipy", said)
    assert not describe(EstimatorConfig(), grouping=grouping)


def test_refinement_needs_a_model() -> None:
    said = describe(EstimatorConfig(refinement=RefinementConfig(rotate=True)))
    assert said == "refinement.rotate: True has no effect without refinement.model"
    assert not describe(EstimatorConfig(refinement=RefinementConfig(model="second.onnx", rotate=True, period=2)))


def test_a_model_of_fixed_batch_overrules_max_batch() -> None:
    (said,) = overruled_settings(FIXED, "paf", EstimatorConfig(runtime=RuntimeConfig(max_batch=4)), batch=1)
    assert said.startswith("runtime.max_batch: 4 has no effect, because model fixed takes 1 image per run")


@pytest.mark.parametrize(("limit", "side"), [(128, 16), (32, 4)])  # 32 px cut the image of the warm-up, too
def test_the_cut_of_an_image_is_said_once(limit: int, side: int) -> None:
    heads = (HeadSpec("heatmaps", "heatmaps"), HeadSpec("pafs", "pafs"))
    spec = ModelSpec("pairs", PAIR, 8, heads=heads, input=InputSpec("image", multiple=8, short_side=64))
    config = EstimatorConfig(PreprocessConfig(max_long_side=limit), RuntimeConfig(warm_up=True))
    texts: list[str] = []
    estimator = PoseEstimator(PairNetwork(), spec, config, notify=texts.append)
    for width in (512, 520):
        estimator.preprocess(np.zeros((64, width, 3), np.uint8))
    (text,) = texts
    assert text == (
        f"preprocess.max_long_side: {limit} px cuts the short side of an image of 512 x 64 px from 64 to {side} px; "
        "raise max_long_side"
    )


class ReadSettings(DecoderConfig):
    """Settings that remember which of them were read."""

    def __getattribute__(self, name: str):
        if name in READERS:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


def test_the_table_of_readers_is_complete() -> None:
    """A setting that the table lists for other groupings only is not read by the decoder of a grouping."""
    heatmaps, cells = np.zeros((2, 8, 8), np.float32), np.zeros((4, 8, 8), np.float32)
    for k in range(2):
        heatmaps[k, 2 + 3 * k, 4] = 0.9
    fields = {
        "paf": {"pafs": cells[:2]},
        "tag": {"tags": cells[:2]},
        "centernet": {"centres": heatmaps[:1], "keypoint_offsets": cells},
        "personlab": {"short_offsets": cells, "mid_offsets": cells},
        "single": {},
    }
    spec = ModelSpec("m", PAIR, 8)
    for grouping, more in fields.items():
        decoder = make_decoder(spec, grouping, ReadSettings(score_threshold=0.3))
        READ.clear()
        decoder(Fields(heatmaps, **more))
        wrong = {name for name in READ if grouping not in READERS[name] and "centres" not in READERS[name]}
        assert not wrong, f"{grouping} reads {wrong}"
