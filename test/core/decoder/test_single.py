"""Test the decoder of a single person: refined maximum of each heatmap, or absent."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from decoders import assert_shareable
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.decoder.single import soft_argmax
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton
from pose_ros.training.targets.make import confidence_maps

TRIO = Skeleton("trio", ("a", "b", "c"), ((0, 1), (1, 2)))
SPEC = ModelSpec("trio", TRIO, stride=1)
PERSON = np.array([[[10.3, 8.6], [20.8, 20.4], [25.1, 30.9]]], np.float32)
SHAPE = (48, 36)


def decode(heatmaps: np.ndarray, spec: ModelSpec = SPEC, **config: object) -> People:
    return make_decoder(spec, "single", DecoderConfig(**config))(Fields(heatmaps=heatmaps))


def ideal(sigma: float = 2.0) -> np.ndarray:
    return confidence_maps(PERSON, np.ones((1, 3), bool), SHAPE, sigma)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"subpixel": "none"}, 0.55),
        ({"subpixel": "quarter"}, 0.35),
        ({"subpixel": "centroid"}, 0.45),
        ({"subpixel": "quadratic"}, 0.02),
        ({"subpixel": "dark"}, 0.002),
        ({"soft_argmax": 25.0}, 0.15),
    ],
    ids=["none", "quarter", "centroid", "quadratic", "dark", "soft-argmax"],
)
def test_every_refinement_finds_the_person(config: dict, error: float) -> None:
    (person,) = decode(ideal(), **config)
    assert np.linalg.norm(person.keypoints - PERSON, axis=2).max() < error
    assert (person.scores > 0.9).all()
    assert person.person_scores[0] == pytest.approx(person.scores.mean())


def test_the_default_is_refined() -> None:
    assert np.abs(decode(ideal()).keypoints - PERSON).max() < 0.02


def test_origin_and_stride_place_the_cells() -> None:
    spec = ModelSpec("trio", TRIO, stride=4, origin=-1.5)
    np.testing.assert_allclose(decode(ideal(), spec, subpixel="dark").keypoints, PERSON * 4 - 1.5, atol=0.01)


def test_only_the_strongest_of_several_people_counts() -> None:
    heat = ideal()
    heat[:, 40, 30] = 0.8
    assert np.abs(decode(heat).keypoints - PERSON).max() < 0.02
    heat[:, 40, 30] = 1.1
    np.testing.assert_allclose(decode(heat).keypoints[0], [[30, 40]] * 3, atol=0.02)
    assert decode(heat).scores.tolist() == [[1, 1, 1]]


def test_equal_maxima_take_the_first_in_reading_order() -> None:
    heat = np.zeros((3, 10, 12))
    heat[:, 7, 2] = heat[:, 3, 9] = heat[:, 3, 4] = 0.5
    np.testing.assert_allclose(decode(heat).keypoints[0], [[4, 3]] * 3)


def test_a_plateau_is_taken_at_its_centre() -> None:
    heat = np.minimum(ideal(3.0), 0.7)
    assert np.abs(decode(heat).keypoints - PERSON).max() < 0.5
    square = np.zeros((3, 10, 12))
    square[:, 3:5, 6:8] = 1
    assert decode(square).keypoints[0].tolist() == [[6.5, 3.5]] * 3


def test_a_weak_keypoint_is_absent() -> None:
    heat = ideal()
    heat[1] *= 0.03
    (person,) = decode(heat)
    assert person.visible[0].tolist() == [True, False, True]
    assert person.keypoints[0, 1].tolist() == [0, 0]
    assert person.person_scores[0] == pytest.approx(person.scores[0, [0, 2]].sum() / 3)
    (person,) = decode(heat, score_threshold=0.01)
    assert person.visible.all()


@pytest.mark.parametrize("config", [{}, {"subpixel": "dark"}, {"soft_argmax": 20.0}], ids=str)
@pytest.mark.parametrize("value", [0.0, -1.0, 0.1, np.nan, np.inf, -np.inf, -3e38], ids=str)
def test_no_person_without_values_above_the_threshold(value: float, config: dict) -> None:
    people = decode(np.full((3, 9, 7), value), score_threshold=0.1, **config)
    assert len(people) == 0 and people.keypoints.shape == (0, 3, 2)


@pytest.mark.parametrize("soft", [0.0, 25.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_values_do_not_count(bad: float, soft: float) -> None:
    heat = ideal()
    clean = decode(heat, soft_argmax=soft)
    heat[:2, 40:44, 2:9], heat[2] = bad, bad
    (person,) = decode(heat, soft_argmax=soft)
    assert person.visible[0].tolist() == [True, True, False]
    np.testing.assert_allclose(person.keypoints[0, :2], clean.keypoints[0, :2], atol=1e-4)


def test_soft_argmax_is_the_weighted_mean() -> None:
    heat = np.array([[[0.0, 1.0], [0.0, 0.0]]], np.float32)
    e = np.exp(2.0)
    np.testing.assert_allclose(soft_argmax(heat, 2.0), [[(e + 1) / (e + 3), 2 / (e + 3)]])


def test_soft_argmax_of_high_sharpness_is_argmax() -> None:
    np.testing.assert_allclose(decode(ideal(), soft_argmax=1000.0).keypoints, np.round(PERSON), atol=0.1)


def test_soft_argmax_accepts_any_logits() -> None:
    heat = np.array([[[-3e38, 3e38, np.nan]], [[np.inf, -np.inf, np.nan]]], np.float32)
    assert soft_argmax(heat, 1000.0).tolist() == [[1, 0], [0, 0]]


def test_further_channels_are_ignored() -> None:
    heat = np.concatenate([ideal(), np.ones((1, *SHAPE))])
    assert np.array_equal(decode(heat).keypoints, decode(heat[:3]).keypoints)


def test_limits_on_people_do_not_apply() -> None:
    assert len(decode(ideal() * 0.2, min_keypoints=50, min_person_score=0.9)) == 1


def test_types_and_layouts_give_the_same_person_and_stay_unmodified() -> None:
    heat = ideal().astype(np.float16)
    large = np.zeros((3, 96, 72), np.float32)
    large[:, ::2, ::2] = heat
    forms = [
        heat,
        heat.astype(np.float32),
        heat.astype(np.float64),
        large[:, ::2, ::2],
        np.ascontiguousarray(heat.transpose(1, 2, 0)).transpose(2, 0, 1),
        np.asfortranarray(heat),
    ]
    reference = decode(heat)
    for form in forms:
        before = form.copy()
        for config in ({}, {"soft_argmax": 20.0}):
            found = decode(form, **config)
            np.testing.assert_allclose(found.keypoints, decode(heat, **config).keypoints, atol=1e-6)
            assert np.array_equal(found.scores, reference.scores)
        assert np.array_equal(before, form)


@pytest.mark.parametrize(
    ("heatmaps", "message"),
    [
        (None, "heatmaps: expected an array of 3 or 4 channels, got None"),
        (np.zeros((2, 8, 8)), r"heatmaps: expected shape \(3 or 4, H, W\), got \(2, 8, 8\)"),
        (np.zeros((3, 8)), r"got \(3, 8\)"),
        (np.zeros((3, 8, 0)), r"got \(3, 8, 0\)"),
        (np.zeros((3, 8, 8), complex), "real numbers, got complex"),
    ],
    ids=["none", "channels", "dimensions", "empty", "complex"],
)
def test_wrong_heatmaps_are_refused(heatmaps: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(heatmaps)


def test_a_model_without_heatmaps_is_refused() -> None:
    spec = ModelSpec("m", TRIO, 4, heads=(HeadSpec("pafs", "p"),))
    with pytest.raises(ValueError, match=r"model m: expected heads \['heatmaps'\] for grouping 'single'"):
        make_decoder(spec, "single")


@settings(max_examples=80)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(1, 12),
    st.floats(0, 1),
    st.sampled_from(["none", "quarter", "centroid", "quadratic", "dark", "soft"]),
)
def test_noise_of_any_size_gives_at_most_one_valid_person(
    seed: int, rows: int, cols: int, bad: float, method_name: str
) -> None:
    random = np.random.default_rng(seed)
    heat = random.normal(0, 0.3, (3, rows, cols))
    heat[random.random(heat.shape) < 0.3 * bad] = random.choice([np.nan, np.inf, -np.inf, 1e38])
    config = {"score_threshold": 0.1, **({"soft_argmax": 9.0} if method_name == "soft" else {"subpixel": method_name})}
    people, again = decode(heat, **config), decode(heat, **config)
    assert len(people) == int((np.where(np.isfinite(heat), heat, 0).astype(np.float32) > np.float32(0.1)).any())
    assert np.array_equal(people.keypoints, again.keypoints)
    used = people.keypoints[people.visible]
    assert ((used >= 0) & (used <= (cols - 1, rows - 1))).all()


def test_threads_may_share_a_decoder() -> None:
    assert_shareable(
        make_decoder(SPEC, "single"), [Fields(heatmaps=np.roll(ideal(), shift, axis=1)) for shift in range(4)]
    )


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from pose_ros.config import DecoderConfig
from pose_ros.decoder import jit, make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17
assert not jit.COMPILED
heat, out = np.load(sys.argv[1]), {}
for method in ("none", "quarter", "centroid", "quadratic", "dark"):
    decoder = make_decoder(ModelSpec("test", COCO_17, stride=4), "single", DecoderConfig(subpixel=method))
    person = decoder(Fields(heatmaps=heat))
    out.update({method + "_keypoints": person.keypoints, method + "_scores": person.scores})
np.savez(sys.argv[2], **out)
"""


def test_plain_numpy_gives_the_same_person(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    truth = random.uniform(0, 30, (1, 17, 2)).astype(np.float32)
    heat = confidence_maps(truth, np.ones((1, 17), bool), (32, 34), 1.7)
    heat = (heat + random.normal(0, 0.03, heat.shape)).astype(np.float32)
    heat[3], heat[4], heat[5] = 0, np.nan, np.minimum(heat[5], 0.4)
    np.save(tmp_path / "in.npy", heat)
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "in.npy", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120)
    plain = np.load(tmp_path / "out.npz")
    for method in ("none", "quarter", "centroid", "quadratic", "dark"):
        (person,) = decode(heat, ModelSpec("test", COCO_17, stride=4), subpixel=method)
        np.testing.assert_allclose(plain[method + "_keypoints"], person.keypoints, atol=1e-4, err_msg=method)
        assert np.array_equal(plain[method + "_scores"], person.scores)
