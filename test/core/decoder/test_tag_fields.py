"""Test the tag decoder with arrays of any form: the same people, or a clear error."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scene_tags
from decoders import assert_same, assert_shareable, variants
from hypothesis import given, settings
from hypothesis import strategies as st
from tag_people import EIGHT, SHAPE, SPEC, TRIPLE, TRIPLE_SPEC, decode, ideal_tags, row

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.skeleton import COCO_17


@pytest.mark.parametrize("complete", [False, True])
def test_types_and_layouts_give_the_same_people_and_stay_unmodified(complete: bool) -> None:
    fields, _ = scene_tags.fields(4, (96, 64), missing=0.1)
    heatmaps, tags = variants(fields.heatmaps), variants(fields.tags)
    reference = decode(Fields(heatmaps=heatmaps["float16"], tags=tags["float16"]), complete=complete)
    assert len(reference) == 4
    for name in heatmaps:
        before = heatmaps[name].copy(), tags[name].copy()
        assert_same(decode(Fields(heatmaps=heatmaps[name], tags=tags[name]), complete=complete), reference)
        assert np.array_equal(before[0], heatmaps[name]) and np.array_equal(before[1], tags[name]), name


def test_integer_tags_are_accepted() -> None:
    fields = ideal_tags([row(5), row(35)], [1.0, 5.0])
    assert_same(
        decode(Fields(fields.heatmaps, tags=fields.tags.astype(np.int16)), TRIPLE_SPEC), decode(fields, TRIPLE_SPEC), 0
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["heatmaps", "tags", "both"])
@pytest.mark.parametrize("complete", [False, True])
def test_bad_values_over_one_person_leave_the_other(bad: float, where: str, complete: bool) -> None:
    fields = ideal_tags([row(5), row(30)], [1.0, 5.0])
    for name in ("heatmaps", "tags"):
        if where in (name, "both"):
            getattr(fields, name)[:, :15] = bad
    (person,) = decode(fields, TRIPLE_SPEC, complete=complete, min_keypoints=1)
    np.testing.assert_allclose(person.keypoints[0], row(30), atol=0.05)


def test_constant_fields_have_no_people() -> None:
    zero, one = np.zeros((3, *SHAPE)), np.ones((3, *SHAPE))
    for complete in (False, True):
        assert len(decode(Fields(heatmaps=zero, tags=zero), TRIPLE_SPEC, complete=complete)) == 0
        assert len(decode(Fields(heatmaps=one, tags=zero), TRIPLE_SPEC, complete=complete)) <= 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (Fields(), "heatmaps: expected an array of 3 or 4 channels, got None"),
        (Fields(heatmaps=np.zeros((2, 8, 8)), tags=np.zeros((3, 8, 8))), r"heatmaps: expected shape \(3 or 4, H, W\)"),
        (Fields(heatmaps=np.zeros((3, 0, 8)), tags=np.zeros((3, 0, 8))), r"got \(3, 0, 8\)"),
        (Fields(heatmaps=EIGHT), "tags: expected an array of 3 channels, got None"),
        (Fields(heatmaps=EIGHT, tags=np.zeros((3, 8))), r"tags: .*got \(3, 8\)"),
        (Fields(heatmaps=EIGHT, tags=np.array(1.0)), r"tags: .*got \(\)"),
        (Fields(heatmaps=EIGHT, tags=np.zeros((2, 8, 8))), r"tags: expected \(K D, H, W\) with K 3"),
        (Fields(heatmaps=EIGHT, tags=np.zeros((4, 8, 8))), r"tags: expected \(K D, H, W\) with K 3, got \(4, 8, 8\)"),
        (Fields(heatmaps=EIGHT, tags=np.zeros((3, 4, 4))), r"tags: expected the grid of the heatmaps, \(8, 8\)"),
        (Fields(heatmaps=EIGHT, tags=np.full((3, 8, 8), "x")), "tags: expected real numbers"),
    ],
)
def test_wrong_fields_are_refused(fields: Fields, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(fields, TRIPLE_SPEC)


def test_a_model_without_tags_is_refused() -> None:
    spec = ModelSpec("m", TRIPLE, 8, heads=(HeadSpec("heatmaps", "h"),))
    with pytest.raises(ValueError, match=r"model m: expected heads \['tags'\] for grouping 'tag'"):
        make_decoder(spec, "tag")


def test_the_spec_can_select_tags() -> None:
    fields, _ = scene_tags.fields(2)
    spec = ModelSpec("m", COCO_17, 4, grouping="tag")
    assert len(make_decoder(spec)(fields)) == 2


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    dims=st.integers(1, 3),
    bad=st.floats(0, 1),
    spatial=st.booleans(),
    complete=st.booleans(),
)
def test_noise_of_any_size_gives_valid_people(
    seed: int, rows: int, cols: int, dims: int, bad: float, spatial: bool, complete: bool
) -> None:
    random = np.random.default_rng(seed)
    heatmaps, tags = random.normal(0.3, 0.5, (3, rows, cols)), random.normal(0, 2, (3 * dims, rows, cols))
    for array in (heatmaps, tags):
        array[random.random(array.shape) < 0.1 * bad] = random.choice([np.nan, np.inf, -np.inf, 1e38])
    config = {"min_keypoints": 1, "min_person_score": 0.0, "tag_spatial": spatial, "complete": complete}
    first = decode(Fields(heatmaps=heatmaps, tags=tags), TRIPLE_SPEC, **config)
    assert_same(first, decode(Fields(heatmaps=heatmaps, tags=tags), TRIPLE_SPEC, **config), 0)
    used = first.keypoints[first.visible]
    assert ((used >= 0) & (used <= (cols - 1, rows - 1))).all()
    assert first.visible.any(axis=1).all()
    if not complete:  # no peak belongs to two people
        for k in range(3):
            of_one = first.keypoints[first.visible[:, k], k]
            assert len(np.unique(of_one, axis=0)) == len(of_one)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_tags_may_be_shifted_together(seed: int, count: int, spatial: bool) -> None:
    """A common shift or a change of sign of the tags has no effect."""
    fields, _ = scene_tags.fields(count, (48, 64), sigma=1.0, seed=seed % 1000)
    shift = np.float32(np.random.default_rng(seed).integers(-64, 64))
    expected = decode(fields, tag_spatial=spatial)
    for tags in (fields.tags + shift, -fields.tags):
        assert_same(decode(Fields(fields.heatmaps, tags=tags), tag_spatial=spatial), expected)


def test_threads_may_share_a_decoder() -> None:
    assert_shareable(
        make_decoder(SPEC, "tag", DecoderConfig(complete=True)),
        [scene_tags.fields(n, (64, 96), missing=0.1)[0] for n in (1, 5, 10)],
    )


@pytest.mark.parametrize("complete", [False, True])
def test_memory_does_not_grow_with_the_image(complete: bool) -> None:
    decoder = make_decoder(SPEC, "tag", DecoderConfig(complete=complete))
    peaks = []
    for side in (64, 256):
        fields, _ = scene_tags.fields(2, (side, side), missing=0.1)
        decoder(fields)
        tracemalloc.start()
        decoder(fields)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from pose_ros.config import DecoderConfig
from pose_ros.decoder import jit, make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17
assert not jit.COMPILED
data, out = np.load(sys.argv[1]), {}
for name in sorted({key.split("_")[0] for key in data}):
    config = DecoderConfig(min_keypoints=1, complete=True, tag_spatial="spatial" in name)
    decoder = make_decoder(ModelSpec("test", COCO_17, stride=4, origin=1.5), "tag", config)
    people = decoder(Fields(heatmaps=data[name + "_heatmaps"], tags=data[name + "_tags"]))
    out.update({name + "_" + k: getattr(people, k) for k in ("keypoints", "scores", "person_scores")})
np.savez(sys.argv[2], **out)
"""


def test_plain_numpy_gives_the_same_people(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    cases = {f"crowd{n}": scene_tags.fields(n, (64, 96), dims=d, missing=0.1)[0] for n, d in ((1, 1), (4, 2), (12, 1))}
    noise = Fields(heatmaps=random.normal(0, 0.1, (17, 20, 30)), tags=random.normal(0, 2, (34, 20, 30)))
    ties = Fields(heatmaps=random.integers(0, 4, (17, 12, 14)) / 4, tags=random.integers(0, 3, (17, 12, 14)))
    bad = Fields(heatmaps=cases["crowd4"].heatmaps.copy(), tags=cases["crowd4"].tags.copy())
    bad.heatmaps[:, :, 30:50], bad.tags[:, 20:30], bad.tags[5] = np.nan, np.inf, 1e38
    cases.update(noise=noise, spatialnoise=noise, ties=ties, bad=bad)
    arrays = {f"{n}_{k}": np.asarray(getattr(f, k), np.float32) for n, f in cases.items() for k in ("heatmaps", "tags")}
    np.savez(tmp_path / "in.npz", **arrays)
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120)
    plain = np.load(tmp_path / "out.npz")
    for name, fields in cases.items():
        people = decode(fields, min_keypoints=1, complete=True, tag_spatial="spatial" in name)
        assert len(people) > 0
        for key in ("keypoints", "scores", "person_scores"):
            np.testing.assert_allclose(plain[f"{name}_{key}"], getattr(people, key), atol=1e-4, err_msg=name)
