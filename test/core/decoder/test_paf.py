"""Test the PAF decoder with known people and arrays of any form."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scene
from decoders import assert_same, assert_shareable, variants
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.decoder.limbs import _score_pairs_numpy, score_limbs
from pose_ros.decoder.matching import match
from pose_ros.decoder.peaks import Peaks
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import OPENPOSE_18, Skeleton
from pose_ros.training.targets.make import confidence_maps, part_affinity_fields

SPEC = ModelSpec("test", OPENPOSE_18, stride=8, origin=1.5)
CHAIN = Skeleton("chain", ("a", "b", "c"), ((0, 1), (1, 2)))
CHAIN_SPEC = ModelSpec("chain", CHAIN, stride=1)


def decode(fields: Fields, spec: ModelSpec = SPEC, **config: object) -> People:
    return make_decoder(spec, "paf", DecoderConfig(**config))(fields)


def ideal(keypoints: list, shape_hw: tuple[int, int] = (40, 60), visible: list | None = None) -> Fields:
    """Make the fields of chains a-b-c."""
    xy = np.array(keypoints, np.float32)
    seen = np.ones(xy.shape[:2], bool) if visible is None else np.array(visible, bool)
    return Fields(
        heatmaps=confidence_maps(xy, seen, shape_hw, 1.0),
        pafs=part_affinity_fields(xy, seen, CHAIN.limbs, shape_hw, 1.0),
    )


@pytest.mark.parametrize("count", [1, 2, 5, 20, 50])
def test_a_crowd_is_found_completely(count: int) -> None:
    fields, truth = scene.fields(count)
    people = decode(fields)
    assert len(people) == count
    distance = np.linalg.norm(people.keypoints[:, None] - (truth * 8 + 1.5)[None], axis=3)  # (found, true, K)
    mean = np.where(people.visible[:, None], distance, 0).sum(axis=2) / people.visible.sum(axis=1, keepdims=True)
    assert sorted(mean.argmin(axis=1)) == list(range(count))
    assert mean.min(axis=1).max() < 2  # px, with cells of 8 px
    assert people.visible.mean() > 0.99


def test_people_are_sorted_and_scored() -> None:
    people = decode(scene.fields(5)[0])
    assert (np.diff(people.person_scores) <= 0).all()
    assert people.person_scores.min() > 0.8
    assert (people.scores[people.visible] > 0.5).all()


def test_half_a_person_scores_less_than_a_whole() -> None:
    whole = decode(ideal([[[5, 5], [15, 5], [25, 5]]]), CHAIN_SPEC, min_keypoints=2)
    half = decode(ideal([[[5, 5], [15, 5], [25, 5]]], visible=[[1, 1, 0]]), CHAIN_SPEC, min_keypoints=2)
    assert half.person_scores[0] < 0.7 * whole.person_scores[0]
    assert whole.person_scores[0] == pytest.approx(1, abs=0.05)  # of one keypoint more than limbs
    assert half.scores[0, 2] == 0 and half.keypoints[0, 2].tolist() == [0, 0]


def test_parallel_people_do_not_mix() -> None:
    people = decode(ideal([[[5, 5], [25, 5], [45, 5]], [[5, 9], [25, 9], [45, 9]]]), CHAIN_SPEC)
    assert len(people) == 2
    for person in people.keypoints:
        assert np.ptp(person[:, 1]) < 0.2


def test_crossing_people_do_not_mix() -> None:
    a, b = [[5, 5], [20, 20], [35, 35]], [[35, 5], [22, 20], [5, 35]]
    people = decode(ideal([a, b]), CHAIN_SPEC)
    assert sorted(round(float(k[0, 0])) for k in people.keypoints) == [5, 35]
    for person in people.keypoints:
        first, last = round(float(person[0, 0])), round(float(person[2, 0]))
        assert (first, last) in ((5, 35), (35, 5))


def test_partial_people_merge() -> None:
    """The limbs at both ends are found before the one between them. Two fragments become one person."""
    path = Skeleton("path", ("a", "b", "c", "d"), ((0, 1), (2, 3), (1, 2)))
    xy = np.array([[[5, 5], [15, 5], [25, 5], [35, 5]]], np.float32)
    seen = np.ones((1, 4), bool)
    pafs = part_affinity_fields(xy, seen, path.limbs, (40, 60), 1.0)
    pafs[4:] *= 0.5  # the middle limb is the weakest, so it comes last
    fields = Fields(heatmaps=confidence_maps(xy, seen, (40, 60), 1.0), pafs=pafs)
    (person,) = decode(fields, ModelSpec("path", path, 1), min_keypoints=4)
    assert person.visible.all()


def test_fragments_that_share_a_keypoint_stay_apart() -> None:
    """The b of two people is linked to the same c. The better person gets c, and both keep a and b."""
    fields = ideal([[[5, 5], [15, 5], [25, 5]], [[5, 15], [15, 15], [25, 6]]], visible=[[1, 1, 1], [1, 1, 0]])
    people = decode(fields, CHAIN_SPEC, min_keypoints=2)
    assert len(people) == 2 and people.visible.sum() == 5


def test_very_short_limbs_are_accepted() -> None:
    """Two keypoints on one cell have no direction. This happens in the face of a distant person."""
    (person,) = decode(ideal([[[20, 20], [20, 20], [30, 20]]]), CHAIN_SPEC)
    assert person.visible.all()


def test_background_channels_are_ignored() -> None:
    fields, _ = scene.fields(3)
    assert fields.heatmaps.shape[0] == 19
    without = Fields(heatmaps=fields.heatmaps[:18], pafs=fields.pafs)
    assert_same(decode(fields), decode(without), 0)


def test_origin_and_stride_place_the_cells() -> None:
    fields = ideal([[[5, 6], [15, 6], [25, 6]]])
    (person,) = decode(fields, ModelSpec("chain", CHAIN, stride=4, origin=-1.5))
    np.testing.assert_allclose(person.keypoints[0], [[18.5, 22.5], [58.5, 22.5], [98.5, 22.5]], atol=1e-3)


def test_types_and_layouts_give_the_same_people_and_stay_unmodified() -> None:
    fields, _ = scene.fields(4)
    heatmaps, pafs = variants(fields.heatmaps), variants(fields.pafs)
    reference = decode(Fields(heatmaps=heatmaps["float16"], pafs=pafs["float16"]))
    assert len(reference) == 4
    for name in heatmaps:
        before = heatmaps[name].copy(), pafs[name].copy()
        assert_same(decode(Fields(heatmaps=heatmaps[name], pafs=pafs[name])), reference)
        assert np.array_equal(before[0], heatmaps[name]) and np.array_equal(before[1], pafs[name]), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["heatmaps", "pafs", "both"])
def test_bad_values_over_one_person_leave_the_other(bad: float, where: str) -> None:
    fields = ideal([[[5, 5], [15, 5], [25, 5]], [[5, 30], [15, 30], [25, 30]]])
    for name in ("heatmaps", "pafs"):
        if where in (name, "both"):
            getattr(fields, name)[:, :15] = bad
    (person,) = decode(fields, CHAIN_SPEC)
    np.testing.assert_allclose(person.keypoints[0], [[5, 30], [15, 30], [25, 30]], atol=0.05)


def test_constant_fields_have_no_people() -> None:
    zero, one = np.zeros((3, 40, 60)), np.ones((3, 40, 60))
    assert len(decode(Fields(heatmaps=zero, pafs=np.zeros((4, 40, 60))), CHAIN_SPEC)) == 0
    assert len(decode(Fields(heatmaps=one, pafs=np.zeros((4, 40, 60))), CHAIN_SPEC)) == 0
    assert len(decode(Fields(heatmaps=one, pafs=np.ones((4, 40, 60))), CHAIN_SPEC)) == 0


def test_limits_keep_the_best() -> None:
    chains = [[[5, y], [15, y], [25, y]] for y in (5, 15, 25, 35)]
    fields = ideal(chains)
    fields.heatmaps[:, 20:30] *= 0.5
    assert len(decode(fields, CHAIN_SPEC, max_people=3)) == 3
    best = decode(fields, CHAIN_SPEC, max_peaks=3)
    assert sorted(round(float(y)) for y in best.keypoints[:, 0, 1]) == [5, 15, 35]
    assert len(decode(fields, CHAIN_SPEC, min_person_score=0.8)) == 3
    assert len(decode(fields, CHAIN_SPEC, score_threshold=0.6)) == 3
    assert len(decode(ideal(chains, visible=[[1, 1, 0]] * 4), CHAIN_SPEC)) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (Fields(), "heatmaps: expected an array of 3 or 4 channels, got None"),
        (
            Fields(heatmaps=np.zeros((2, 8, 8)), pafs=np.zeros((4, 8, 8))),
            r"heatmaps: expected shape \(3 or 4, H, W\)",
        ),
        (Fields(heatmaps=np.zeros((3, 8)), pafs=np.zeros((4, 8, 8))), r"got \(3, 8\)"),
        (Fields(heatmaps=np.zeros((3, 0, 8)), pafs=np.zeros((4, 0, 8))), r"got \(3, 0, 8\)"),
        (Fields(heatmaps=np.zeros((3, 8, 8))), "pafs: expected an array of 4 channels, got None"),
        (
            Fields(heatmaps=np.zeros((3, 8, 8)), pafs=np.zeros((4, 8, 9))),
            r"pafs: expected the grid of the heatmaps, \(8, 8\)",
        ),
        (Fields(heatmaps=np.full((3, 8, 8), "x"), pafs=np.zeros((4, 8, 8))), "real numbers"),
        (Fields(heatmaps=np.zeros((3, 8, 8), complex), pafs=np.zeros((4, 8, 8))), "real numbers, got complex"),
    ],
)
def test_wrong_fields_are_refused(fields: Fields, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(fields, CHAIN_SPEC)


def test_a_model_without_the_heads_is_refused() -> None:
    spec = ModelSpec("m", CHAIN, 8, heads=(HeadSpec("heatmaps", "h"),))
    with pytest.raises(ValueError, match=r"model m: expected heads \['pafs'\] for grouping 'paf'"):
        make_decoder(spec)
    with pytest.raises(ValueError, match=r"grouping: expected one of paf, .*got 'flag'"):
        make_decoder(spec, "flag")


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_noise_of_any_size_gives_valid_people(seed: int, rows: int, cols: int, bad: float) -> None:
    random = np.random.default_rng(seed)
    heatmaps, pafs = random.normal(0.3, 0.5, (3, rows, cols)), random.normal(0, 1, (4, rows, cols))
    for array in (heatmaps, pafs):
        array[random.random(array.shape) < 0.1 * bad] = random.choice([np.nan, np.inf, -np.inf])
    first = decode(Fields(heatmaps=heatmaps, pafs=pafs), CHAIN_SPEC, min_keypoints=2, min_person_score=0.0)
    again = decode(Fields(heatmaps=heatmaps, pafs=pafs), CHAIN_SPEC, min_keypoints=2, min_person_score=0.0)
    assert_same(first, again, 0)
    used = first.keypoints[first.visible]
    assert ((used >= 0) & (used <= (cols - 1, rows - 1))).all()


def test_threads_may_share_a_decoder() -> None:
    assert_shareable(make_decoder(SPEC), [scene.fields(n)[0] for n in (1, 5, 10)])


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from pose_ros.config import DecoderConfig
from pose_ros.decoder import jit, make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import OPENPOSE_18
assert not jit.COMPILED
data = np.load(sys.argv[1])
decoder = make_decoder(ModelSpec("test", OPENPOSE_18, stride=8, origin=1.5), "paf", DecoderConfig(min_keypoints=1))
out = {}
for name in sorted({key.split("_")[0] for key in data}):
    people = decoder(Fields(heatmaps=data[name + "_heatmaps"], pafs=data[name + "_pafs"]))
    out.update({name + "_" + k: getattr(people, k) for k in ("keypoints", "scores", "person_scores")})
np.savez(sys.argv[2], **out)
"""


def test_plain_numpy_gives_the_same_people(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    cases = {f"crowd{n}": scene.fields(n, seed=n)[0] for n in (1, 4, 12)}
    noise = Fields(heatmaps=random.normal(0.1, 0.1, (18, 24, 30)), pafs=random.normal(0, 0.6, (38, 24, 30)))
    ties = Fields(heatmaps=random.integers(0, 4, (18, 12, 14)) / 4, pafs=random.normal(0, 1, (38, 12, 14)))
    bad = Fields(heatmaps=cases["crowd4"].heatmaps.copy(), pafs=cases["crowd4"].pafs.copy())
    bad.heatmaps[:, :, 50:80], bad.pafs[:, 30:40] = np.nan, np.inf
    cases.update(noise=noise, ties=ties, bad=bad)
    arrays = {f"{n}_{k}": np.asarray(getattr(f, k), np.float32) for n, f in cases.items() for k in ("heatmaps", "pafs")}
    np.savez(tmp_path / "in.npz", **arrays)
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120)
    plain = np.load(tmp_path / "out.npz")
    for name, fields in cases.items():
        people = decode(fields, min_keypoints=1)
        assert len(people) > 0
        for key in ("keypoints", "scores", "person_scores"):
            np.testing.assert_allclose(plain[f"{name}_{key}"], getattr(people, key), atol=1e-4, err_msg=name)


@pytest.mark.parametrize("matching", ["greedy", "hungarian", "global"])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_every_matching_finds_the_crowd(matching: str, count: int) -> None:
    people = decode(scene.fields(count)[0], matching=matching)
    assert len(people) == count and people.visible.mean() > 0.98


def test_global_matching_completes_a_person() -> None:
    """Global matching passes all links to the assembly, which completes the person."""
    fields = ideal([[[5, 5], [15, 5], [25, 5]]])
    people = decode(fields, CHAIN_SPEC, matching="global")
    assert len(people) == 1 and people.visible.all()


def test_a_duplicate_is_dropped() -> None:
    """Two peaks a cell apart in every channel make two people of one."""
    xy = np.array([[[5, 5], [15, 5], [25, 5]], [[5, 7], [15, 7], [25, 7]]], np.float32)
    seen = np.ones((2, 3), bool)
    fields = Fields(
        heatmaps=confidence_maps(xy, seen, (40, 60), 0.5),
        pafs=part_affinity_fields(xy, seen, CHAIN.limbs, (40, 60), 1.0),
    )
    assert len(decode(fields, CHAIN_SPEC, duplicate_oks=1.0)) == 2
    assert len(decode(fields, CHAIN_SPEC, duplicate_oks=0.2)) == 1


def test_an_arm_does_not_reach_to_the_neighbour() -> None:
    """The shoulder has only a weak link to a distant elbow. The link is not used."""
    person = scene.crowd(1, (40, 30)) + np.float32(2)
    elbow, shoulder = OPENPOSE_18.index("left_elbow"), OPENPOSE_18.index("left_shoulder")
    person[0, elbow] = person[0, shoulder] + (45, 3)
    seen = np.ones((1, 18), bool)
    fields = Fields(
        heatmaps=confidence_maps(person, seen, (44, 90), 1.0),
        pafs=part_affinity_fields(person, seen, OPENPOSE_18.limbs, (44, 90), 1.0),
    )
    arm = OPENPOSE_18.limbs.index((shoulder, elbow))
    fields.pafs[2 * arm : 2 * arm + 2] *= 0.6
    assert not decode(fields).visible[0, elbow]
    assert decode(fields, max_stretch=0.0).visible[0, elbow]


def test_hungarian_takes_the_largest_sum_and_greedy_the_best_link() -> None:
    """Hungarian matching prefers two medium links to one good link. Greedy matching does not. Both match the papers."""
    links = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 2, 2]])
    values = np.array([0.9, 0.5, 0.5, 0.3])
    chosen = {method: match(links, values, method, 2, 3)[0].tolist() for method in ("greedy", "hungarian", "global")}
    assert chosen["greedy"] == [[0, 0, 0], [1, 2, 2]]
    assert chosen["hungarian"] == [[0, 0, 1], [0, 1, 0], [1, 2, 2]]
    assert chosen["global"] == links.tolist()


LEG = ("neck", "right_hip", "right_knee", "right_ankle")


def decode_body(names: tuple[str, ...], limbs: tuple[tuple[int, int], ...], moved: tuple[float, float]) -> People:
    """Decode a person of 40 cells. The last keypoint is moved, and the limb to it comes last."""
    body = Skeleton("body", names, limbs)
    xy = (body.standing * 40 + (20, 4)).astype(np.float32)[None]
    xy[0, -1] += moved
    seen = np.ones((1, len(names)), bool)
    fields = Fields(
        heatmaps=confidence_maps(xy, seen, (60, 60), 0.7),
        pafs=part_affinity_fields(xy, seen, limbs, (60, 60), 0.7),
    )
    fields.pafs[-2:] *= 0.6
    return decode(fields, ModelSpec("body", body, stride=1))


@pytest.mark.parametrize("last", [(0, 4), (4, 0)], ids=["from the group", "to the group"])
@pytest.mark.parametrize(("moved", "is_found"), [((-4, 0), True), ((-14, 0), False)], ids=["arm", "too long"])
def test_three_limbs_limit_the_length_of_the_next(
    last: tuple[int, int], moved: tuple[int, int], is_found: bool
) -> None:
    (person,) = decode_body((*LEG, "right_shoulder"), ((0, 1), (1, 2), (2, 3), last), moved)
    assert person.visible[0].tolist() == [True] * 4 + [is_found]


def test_limbs_of_the_face_count_as_longer() -> None:
    """The eye is at three times its distance. For a limb of the body, this would be too long."""
    (person,) = decode_body((*LEG, "nose", "right_eye"), ((0, 1), (1, 2), (2, 3), (0, 4), (4, 5)), (-1.6, -1.6))
    assert person.visible.all()


@pytest.mark.parametrize("people", [5, 25, 40], ids=["few", "below a crowd", "crowd"])
def test_the_links_of_a_random_field_are_those_of_plain_numpy(people: int) -> None:
    """Fields of noise connect many pairs by chance. From CROWD_PAIRS on, another filter drops the hopeless ones."""
    random = np.random.default_rng(people)
    xy = random.uniform(0, (39, 29), (2, people, 2)).astype(np.float32)
    xy[1, 0] = xy[0, 0] + 0.1
    counts = np.array([people, people])
    peaks = Peaks(xy, np.ones((2, people), np.float32), counts)
    pafs = random.normal(0, 0.3, (2, 30, 41)).astype(np.float32)
    pafs[:, 3, 4] = np.nan
    limbs = np.array([[0, 1]])
    links, values = score_limbs(pafs, peaks, limbs, 0.05, 0.5)
    plain_links, plain_values = _score_pairs_numpy(pafs, xy, counts, limbs, 0.05, 0.5)
    assert len(links) > 0
    assert np.array_equal(links, plain_links)
    assert values == pytest.approx(plain_values, abs=1e-9)


@pytest.mark.parametrize(
    ("length", "strong_cells", "value"),
    [(0.9, (), 0.05), (1.0, (5,), None), (1.0, (5, 6), 1.0)],
    ids=["without a direction", "one cell", "two cells"],
)
def test_from_one_cell_on_the_field_must_agree(length: float, strong_cells: tuple[int, ...], value: float) -> None:
    """A field that agrees at one of the three points of a limb does not connect it, although most samples agree."""
    pafs = np.zeros((2, 12, 12), np.float32)
    pafs[0, 5, list(strong_cells)] = 2
    xy, counts, limbs = np.array([[[5, 5]], [[5 + length, 5]]], np.float32), np.array([1, 1]), np.array([[0, 1]])
    _, values = score_limbs(pafs, Peaks(xy, np.ones((2, 1), np.float32), counts), limbs, 0.05, 0.8)
    _, plain_values = _score_pairs_numpy(pafs, xy, counts, limbs, 0.05, 0.8)
    assert values.tolist() == plain_values.tolist() == ([] if value is None else [value])
