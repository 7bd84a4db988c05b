"""Test that the PersonLab decoder gives the same people for arrays of any form, and without numba."""

import subprocess
import sys
from dataclasses import fields as names
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scene_personlab
from decoders import assert_same, assert_shareable, variants
from hypothesis import given, settings
from hypothesis import strategies as st
from personlab_people import CHAIN, CHAIN_SPEC, FIELD_NAMES, SPEC, chains, decode, ideal_chains

from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, HeadSpec, ModelSpec


def test_background_channels_are_ignored() -> None:
    fields, _ = scene_personlab.fields(3)
    more = replace(fields, heatmaps=np.concatenate([fields.heatmaps, np.ones((1, 31, 41), np.float32)]))
    assert_same(decode(more), decode(fields), 0)


def test_types_and_layouts_give_the_same_people_and_stay_unmodified() -> None:
    fields, _ = scene_personlab.fields(4)
    forms = {name: variants(getattr(fields, name)) for name in FIELD_NAMES}
    reference = decode(Fields(**{name: forms[name]["float16"] for name in FIELD_NAMES}))
    assert len(reference) == 4
    for form in forms["heatmaps"]:
        arrays = {name: forms[name][form] for name in FIELD_NAMES}
        before = {name: array.copy() for name, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        assert_same(decode(Fields(**arrays)), reference)
        assert all(np.array_equal(before[name], arrays[name]) for name in FIELD_NAMES), form


@pytest.mark.parametrize("hough_radius", [0.0, 32.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [*FIELD_NAMES, "all"])
def test_bad_values_over_one_person_leave_the_other(bad: float, where: str, hough_radius: float) -> None:
    fields = ideal_chains(chains(6, 30))
    for name in FIELD_NAMES:
        if where in (name, "all"):
            getattr(fields, name)[:, :15] = bad
    people = decode(fields, CHAIN_SPEC, hough_radius=hough_radius)
    assert np.isfinite(people.keypoints).all()
    whole = people[people.visible.all(axis=1)]
    assert np.linalg.norm(whole.keypoints - np.array(chains(30)) * 8, axis=2).max(axis=1).min() < 0.1
    if where in ("heatmaps", "all"):
        assert len(people) == 1


def test_constant_fields_have_no_people() -> None:
    for heat in (0, 0.5, 1):
        for offset in (0, 1):
            fields = Fields(
                heatmaps=np.full((3, 40, 60), heat),
                short_offsets=np.full((6, 40, 60), offset),
                mid_offsets=np.full((8, 40, 60), offset),
            )
            assert len(decode(fields, CHAIN_SPEC)) == 0


def test_a_plateau_is_one_person() -> None:
    """All border cells of a saturated heatmap, such as a disk, start the same person."""
    fields = ideal_chains(chains(20))
    fields.heatmaps[:] = np.minimum(2 * fields.heatmaps, 0.9)
    (person,) = decode(fields, CHAIN_SPEC)
    np.testing.assert_allclose(person.keypoints[0], [[80, 160], [200, 160], [320, 160]], atol=0.1)


def chain_fields(heatmaps: tuple, short: tuple | None, mid: tuple | None, **more: np.ndarray) -> Fields:
    make = [None if shape is None else np.zeros(shape) for shape in (short, mid)]
    return Fields(np.zeros(heatmaps), short_offsets=make[0], mid_offsets=make[1], **more)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (Fields(), "heatmaps: expected an array of 3 or 4 channels, got None"),
        (chain_fields((2, 8, 8), (6, 8, 8), (8, 8, 8)), r"heatmaps: expected shape \(3 or 4, H, W\)"),
        (chain_fields((3, 0, 8), (6, 0, 8), (8, 0, 8)), r"got \(3, 0, 8\)"),
        (chain_fields((3, 8, 8), None, (8, 8, 8)), "short_offsets: expected an array of 6 channels, got None"),
        (chain_fields((3, 8, 8), (5, 8, 8), (8, 8, 8)), r"short_offsets: expected shape \(6, H, W\)"),
        (chain_fields((3, 8, 8), (6, 8, 8), None), "mid_offsets: expected an array of 8 channels, got None"),
        (chain_fields((3, 8, 8), (6, 8, 8), (4, 8, 8)), r"mid_offsets: expected shape \(8, H, W\)"),
        (chain_fields((3, 8, 8), (6, 8, 9), (8, 8, 8)), r"short_offsets: expected the grid of the heatmaps, \(8, 8\)"),
        (chain_fields((3, 8, 8), (6, 8, 8), (8, 7, 8)), r"mid_offsets: expected the grid of the heatmaps, \(8, 8\)"),
        (
            chain_fields(
                (3, 8, 8), (6, 8, 8), (8, 8, 8), long_offsets=np.zeros((6, 8)), segmentation=np.zeros((1, 8, 8))
            ),
            "long_offsets: expected shape",
        ),
        (
            chain_fields(
                (3, 8, 8), (6, 8, 8), (8, 8, 8), long_offsets=np.zeros((6, 8, 8)), segmentation=np.zeros((1, 4, 8))
            ),
            "segmentation: expected the grid",
        ),
        (Fields(np.full((3, 8, 8), "x")), "heatmaps: expected real numbers"),
    ],
)
def test_wrong_fields_are_refused(fields: Fields, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(fields, CHAIN_SPEC)


def test_a_model_without_the_heads_is_refused() -> None:
    spec = ModelSpec("m", CHAIN, 8, heads=(HeadSpec("heatmaps", "h"),), grouping="personlab")
    with pytest.raises(ValueError, match=r"model m: expected heads \['short_offsets', 'mid_offsets'\]"):
        make_decoder(spec)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.sampled_from([0.0, 12.0]))
def test_noise_of_any_size_gives_valid_people(seed: int, rows: int, cols: int, bad: float, hough: float) -> None:
    random = np.random.default_rng(seed)
    arrays = {
        "heatmaps": random.normal(0.3, 0.5, (3, rows, cols)),
        "short_offsets": random.normal(0, 10, (6, rows, cols)),
        "mid_offsets": random.normal(0, 40, (8, rows, cols)),
        "long_offsets": random.normal(0, 40, (6, rows, cols)),
        "segmentation": random.random((1, rows, cols)),
    }
    for array in arrays.values():
        array[random.random(array.shape) < 0.1 * bad] = random.choice([np.nan, np.inf, -np.inf, 1e30])
    config = {"min_person_score": 0.0, "hough_radius": hough, "mask_distance": 5.0}
    first, again = decode(Fields(**arrays), CHAIN_SPEC, **config), decode(Fields(**arrays), CHAIN_SPEC, **config)
    assert_same(first, again, 0)
    assert np.array_equal(first.masks, again.masks)
    assert first.masks.shape == (len(first), rows, cols) and (first.masks.sum(axis=0) <= 1).all()
    used = first.keypoints[first.visible]
    assert ((used >= 0) & (used <= (8 * cols - 8, 8 * rows - 8))).all()
    assert first.visible.any(axis=1).all()


def test_threads_may_share_a_decoder() -> None:
    assert_shareable(make_decoder(SPEC, "personlab"), [scene_personlab.fields(n)[0] for n in (1, 5, 10)])


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from scene_personlab import POSENET_17
from pose_ros.config import DecoderConfig
from pose_ros.decoder import jit, make_decoder
from pose_ros.fields import Fields, ModelSpec
assert not jit.COMPILED
data = np.load(sys.argv[1])
out = {}
for case in sorted({key.split("/")[0] for key in data}):
    fields = Fields(**{key.split("/")[1]: data[key] for key in data if key.startswith(case + "/")})
    config = DecoderConfig(hough_radius=32.0 if "hough" in case else 0.0)
    people = make_decoder(ModelSpec("test", POSENET_17, stride=16, origin=1.5), "personlab", config)(fields)
    out.update({case + "/" + k: getattr(people, k) for k in ("keypoints", "scores", "person_scores", "masks")})
np.savez(sys.argv[2], **out)
"""


def test_plain_python_gives_the_same_people(tmp_path: Path) -> None:
    random = np.random.default_rng(3)

    def noise(rows: int, cols: int, heat: np.ndarray) -> Fields:
        return Fields(
            heatmaps=heat.astype(np.float32),
            short_offsets=random.normal(0, 10, (34, rows, cols)).astype(np.float32),
            mid_offsets=random.normal(0, 40, (64, rows, cols)).astype(np.float32),
        )

    cases = {f"crowd{n}": scene_personlab.fields(n, seed=n)[0] for n in (1, 4, 12)}
    cases["noise"] = noise(12, 9, random.normal(0.3, 0.3, (17, 12, 9)))
    cases["ties"] = noise(7, 8, random.integers(0, 4, (17, 7, 8)) / 4)
    bad = scene_personlab.fields(4)[0]
    bad.heatmaps[:, :, 5:9], bad.mid_offsets[:, 10:12], bad.short_offsets[:, 20:22] = np.nan, np.inf, np.nan
    cases.update(bad=bad, hough=cases["crowd4"], hough_noise=cases["noise"])
    for name, fields in cases.items():
        rows, cols = fields.heatmaps.shape[1:]
        long = random.normal(0, 60, (34, rows, cols)).astype(np.float32)
        segmentation = random.random((1, rows, cols)).astype(np.float32)
        cases[name] = replace(fields, long_offsets=long, segmentation=segmentation)
    given = {name: {f.name: getattr(fields, f.name) for f in names(fields)} for name, fields in cases.items()}
    arrays = {f"{n}/{key}": array for n, case in given.items() for key, array in case.items() if array is not None}
    np.savez(tmp_path / "in.npz", **arrays)
    benchmarks = Path(scene_personlab.__file__).parent
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120, cwd=benchmarks)
    plain = np.load(tmp_path / "out.npz")
    for name, fields in cases.items():
        people = decode(fields, hough_radius=32.0 if "hough" in name else 0.0)
        assert len(people) > 0
        for key in ("keypoints", "scores", "person_scores"):
            np.testing.assert_allclose(plain[f"{name}/{key}"], getattr(people, key), atol=1e-3, err_msg=name)
        assert np.array_equal(plain[f"{name}/masks"], people.masks), name
