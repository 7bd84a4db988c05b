"""Test the CenterNet decoder: people, snapping of keypoints, missing fields, and arrays of any form."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scene
import scene_centernet
from decoders import assert_same, assert_shareable
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.decoder.centernet import CenterNetDecoder
from pose_ros.fields import Fields, HeadSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton
from pose_ros.training.targets.make import confidence_maps

SPEC = ModelSpec("test", COCO_17, stride=4, origin=1.5)
TRIO = Skeleton("trio", ("a", "b", "c"), ((0, 1), (1, 2)))
TRIO_SPEC = ModelSpec("trio", TRIO, stride=1)
SHAPE = (40, 60)
OPTIONAL = ("centre_offsets", "sizes", "heatmaps", "heatmap_offsets")
PERSON = [[10.25, 8.5], [20.75, 20.5], [28.25, 30.75]]
"""Its box spans (9.25, 7.5) to (29.25, 31.75). Its centre is the cell (19, 19)."""
OTHER = [[40.5, 8.5], [50.5, 20.5], [46.5, 30.5]]


def decode(fields: Fields, spec: ModelSpec = TRIO_SPEC, **config: object) -> People:
    return make_decoder(spec, "centernet", DecoderConfig(**config))(fields)


def ideal(*people: list, without: tuple[str, ...] = ()) -> Fields:
    fields = scene_centernet.ideal_fields(np.array(people, np.float32), SHAPE)
    return replace(fields, **dict.fromkeys(without))


def put(fields: Fields, name: str, xy: tuple[int, int], value: object) -> Fields:
    """Copy the fields with another value at a cell."""
    array = getattr(fields, name).copy()
    array[:, xy[1], xy[0]] = value
    return replace(fields, **{name: array})


@pytest.mark.parametrize("count", [1, 5, 10, 20, 30])
def test_a_crowd_is_found_completely(count: int) -> None:
    fields, truth = scene_centernet.fields(count)
    people = decode(fields, SPEC)
    assert len(people) == count and people.visible.all()
    distance = np.linalg.norm(people.keypoints[:, None] - (truth * 4 + 1.5)[None], axis=3)  # (found, true, K)
    assert sorted(distance.mean(axis=2).argmin(axis=1)) == list(range(count))
    nearest = distance[np.arange(count), distance.mean(axis=2).argmin(axis=1)]
    assert np.median(nearest) < 0.2 and np.percentile(nearest, 99) < 4  # px, with cells of 4 px
    assert (np.diff(people.person_scores) <= 0).all()


def test_offsets_start_at_the_cell_of_the_centre_and_not_at_the_centre() -> None:
    fields = ideal(PERSON, without=("heatmaps", "heatmap_offsets"))
    assert not np.array_equal(fields.centre_offsets[:, 19, 19], [0, 0])
    np.testing.assert_allclose(decode(fields).keypoints[0], PERSON, atol=1e-5)


def test_with_half_cells_a_peak_is_the_middle_of_its_cell() -> None:
    fields = ideal(PERSON, without=("heatmap_offsets",))
    uneven = put(fields, "heatmaps", (11, 8), 0.95 * fields.heatmaps[0, 8, 10])  # a parabola has its top between
    for half_cell, is_refined in ((True, False), (False, True)):
        (person,) = decode(uneven, half_cell=half_cell)
        expected = np.floor(PERSON[0]) + 0.5 * half_cell
        assert np.allclose(person.keypoints[0, 0], expected, atol=1e-4) != is_refined


def test_the_cell_of_a_plateau_is_the_nearest_to_its_centre() -> None:
    """The centre of this arch, (19, 19.8), is not a part of it. The two nearest cells lead to (20, 20)."""
    fields = ideal(PERSON, without=("heatmaps", "heatmap_offsets", "centre_offsets", "sizes"))
    fields = replace(fields, centres=np.zeros_like(fields.centres))
    for cell in ((18, 19), (18, 20), (19, 21), (20, 20), (20, 19)):
        vector = np.array([20 - cell[0], 0] * 3) if cell[1] == 20 else 5
        fields = put(put(fields, "centres", cell, 0.9), "keypoint_offsets", cell, vector)
    np.testing.assert_array_equal(decode(fields).keypoints[0], [[20, 20]] * 3)


def test_origin_and_stride_place_the_cells() -> None:
    spec = ModelSpec("trio", TRIO, stride=4, origin=-1.5)
    np.testing.assert_allclose(decode(ideal(PERSON), spec).keypoints[0], np.array(PERSON) * 4 - 1.5, atol=1e-4)
    _, boxes = CenterNetDecoder(spec, DecoderConfig()).people_and_boxes(ideal(PERSON))
    np.testing.assert_allclose(boxes[0], np.array([9.25, 7.5, 29.25, 31.75]) * 4 - 1.5, atol=1e-4)


def test_keypoints_snap_to_the_nearest_peak_and_take_its_score() -> None:
    fields = ideal(PERSON)
    fields.heatmaps[1] *= 0.6
    fields.keypoint_offsets[:, 19, 19] += 3
    (person,) = decode(fields)
    np.testing.assert_allclose(person.keypoints[0], PERSON, atol=1e-5)
    np.testing.assert_allclose(person.scores[0], [1, 0.6, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "config"),
    [
        (lambda f: f.heatmaps.__imul__(0.05), {}),
        (lambda f: f.heatmaps.__imul__(0.5), {"snap_threshold": 0.6}),
        (lambda f: f.sizes.__imul__(0.1), {}),
        (lambda f: f.heatmaps.fill(0), {}),
        (lambda f: f.heatmaps.fill(np.nan), {}),
        (lambda _: None, {"snap_distance": 0.05}),
        (lambda _: None, {"snap_distance": 0.0}),
    ],
    ids=["too weak", "below the threshold", "outside of the box", "no peaks", "NaN", "too far", "off"],
)
def test_a_keypoint_without_a_fitting_peak_stays_and_has_the_score_of_the_centre(change, config) -> None:
    fields = ideal(PERSON)
    fields.centres[:] *= 0.8
    fields.keypoint_offsets[:, 19, 19] += 3
    change(fields)
    (person,) = decode(fields, **config)
    np.testing.assert_allclose(person.keypoints[0], np.array(PERSON) + 3, atol=1e-5)
    np.testing.assert_allclose(person.scores[0], 0.8, atol=1e-6)


def test_the_longest_snap_depends_on_the_size_of_the_person() -> None:
    fields = ideal(PERSON)  # 24.25 cells high
    for shift, moves in ((7.2, True), (7.3, False)):
        shifted = put(fields, "keypoint_offsets", (19, 19), (np.array(PERSON) - 19 + (shift, 0)).ravel())
        assert np.allclose(decode(shifted).keypoints[0, 1], PERSON[1], atol=1e-4) == moves


def test_a_peak_outside_of_the_box_is_not_replaced_by_the_second_nearest() -> None:
    """Keypoint a of the person is hidden. The nearest peak is the neighbour's, and the peak in the box is noise."""
    fields = ideal(PERSON)
    fields.heatmaps[0] = 0
    fields.heatmaps[0, 8, 8], fields.heatmaps[0, 8, 15] = 0.9, 0.5  # 2 cells away outside, 5 cells away inside
    np.testing.assert_allclose(decode(fields).keypoints[0, 0], PERSON[0], atol=1e-5)
    fields.heatmaps[0, 8, 8] = 0
    assert decode(fields).keypoints[0, 0, 0] == pytest.approx(15, abs=1)


def test_without_sizes_the_box_is_that_of_the_keypoints() -> None:
    fields = ideal(PERSON, without=("sizes",))
    fields.keypoint_offsets[:, 19, 19] += 1
    decoder = CenterNetDecoder(TRIO_SPEC, DecoderConfig())
    people, boxes = decoder.people_and_boxes(fields)
    np.testing.assert_allclose(people.keypoints[0], PERSON, atol=1e-5)  # the outermost keypoints snap, too
    margin = 0.1 * 22.25
    np.testing.assert_allclose(boxes[0], [11.25 - margin, 9.5 - margin, 29.25 + margin, 31.75 + margin], atol=1e-4)


def test_without_offset_heads_points_lie_half_a_cell_beyond_their_cell() -> None:
    fields = ideal(PERSON, without=("heatmap_offsets", "centre_offsets"))
    people, boxes = CenterNetDecoder(TRIO_SPEC, DecoderConfig()).people_and_boxes(fields)
    np.testing.assert_allclose(people.keypoints[0], np.floor(PERSON) + 0.5, atol=1e-5)
    np.testing.assert_allclose(boxes[0], [19.5 - 10, 19.5 - 12.125, 19.5 + 10, 19.5 + 12.125], atol=1e-4)


def test_models_without_rounding_are_refined_between_cells() -> None:
    truth = scene.crowd(1, SHAPE)[:, :3]
    fields = scene_centernet.ideal_fields(truth, SHAPE)
    heatmaps = confidence_maps(truth, np.ones((1, 3), bool), SHAPE, 1.5)
    fields = replace(fields, heatmaps=heatmaps, heatmap_offsets=None)
    for method, error in (("none", 0.75), ("quadratic", 0.05), ("dark", 0.02)):
        (person,) = decode(fields, half_cell=False, subpixel=method, dark_kernel=7)
        assert np.linalg.norm(person.keypoints[0] - truth[0], axis=1).max() < error


@pytest.mark.parametrize("field", OPTIONAL)
def test_every_optional_field_may_be_missing(field: str) -> None:
    (person,) = decode(ideal(PERSON, without=(field,)))
    np.testing.assert_allclose(person.keypoints[0], PERSON, atol=0.8)


def test_only_centres_and_offsets_are_enough() -> None:
    people = decode(ideal(PERSON, OTHER, without=OPTIONAL))
    assert sorted(people.keypoints[:, 0, 0].round(3)) == [10.25, 40.5]


@pytest.mark.parametrize(
    "plateau",
    [[(19, 19), (20, 19), (19, 20), (20, 20)], [(18, 18), (19, 18), (20, 18), (20, 19), (20, 20), (18, 19), (18, 20)]],
    ids=["square", "U around a lower cell"],
)
def test_a_plateau_is_one_person_with_the_offsets_of_one_cell(plateau: list[tuple[int, int]]) -> None:
    fields = ideal(PERSON, without=("heatmaps",))
    for name in ("centres", "keypoint_offsets", "sizes", "centre_offsets"):
        getattr(fields, name)[:] = 0
    fields.keypoint_offsets[:] = 500  # beyond the map: no person may be read there
    for x, y in plateau:
        fields.centres[0, y, x] = 0.7
        fields.keypoint_offsets[:, y, x] = (np.array(PERSON) - (x, y)).ravel()
    (person,) = decode(fields)
    np.testing.assert_allclose(person.keypoints[0], PERSON, atol=1e-4)


def test_offsets_of_a_plateau_of_a_heatmap_are_read_at_one_of_its_cells() -> None:
    fields = ideal(PERSON)
    fields.heatmap_offsets[:] = 7
    for x, y in [(10, 8), (11, 8), (10, 9), (11, 9)]:
        fields.heatmaps[0, y, x] = 3.0  # saturated above 1
        fields.heatmap_offsets[:, y, x] = np.array(PERSON[0]) - (x, y)
    (person,) = decode(fields)
    np.testing.assert_allclose(person.keypoints[0, 0], PERSON[0], atol=1e-4)
    assert person.scores[0, 0] == 1


def test_a_duplicate_is_dropped() -> None:
    fields = ideal(PERSON)
    fields.centres[0, 19, 23] = 0.9  # a second centre of the same person
    fields.keypoint_offsets[:, 19, 23] = (np.array(PERSON) - (23, 19)).ravel()
    assert len(decode(fields)) == 1
    assert len(decode(fields, duplicate_oks=1.0)) == 2


def test_limits_keep_the_best() -> None:
    fields = ideal(PERSON, OTHER)
    fields.centres[0, :, 35:] *= 0.5
    assert len(decode(fields)) == 2
    for limits in (
        {"max_people": 1},
        {"max_peaks": 1},
        {"centre_threshold": 0.6},
        {"min_person_score": 0.6},
    ):
        (person,) = decode(fields, **limits)
        np.testing.assert_allclose(person.keypoints[0], PERSON, atol=1e-4)
    assert len(decode(fields, min_keypoints=4)) == 0


def test_equal_people_come_in_the_order_of_rows() -> None:
    fields = ideal(OTHER, PERSON)
    assert decode(fields).keypoints[:, 0, 0].tolist() == pytest.approx([10.25, 40.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38])
@pytest.mark.parametrize("name", ["keypoint_offsets", "sizes", "centre_offsets", "heatmap_offsets", "heatmaps"])
def test_bad_values_of_one_person_leave_the_other(bad: float, name: str) -> None:
    fields = ideal(PERSON, OTHER)
    getattr(fields, name)[:, :, :33] = bad
    people, boxes = CenterNetDecoder(TRIO_SPEC, DecoderConfig()).people_and_boxes(fields)
    assert np.isfinite(boxes).all()
    np.testing.assert_allclose(people.keypoints[-1], OTHER, atol=1e-4)
    if name == "keypoint_offsets":
        assert len(people) == 1
    elif not (name == "heatmaps" and 0 < bad < np.inf):  # a large plateau is a peak
        np.testing.assert_allclose(people.keypoints[0], PERSON, atol=1)


def test_a_keypoint_without_an_offset_is_absent() -> None:
    fields = ideal(PERSON)
    fields.keypoint_offsets[3, 19, 19] = np.nan  # y of b
    (person,) = decode(fields, min_keypoints=2)
    assert person.visible[0].tolist() == [True, False, True]
    assert person.keypoints[0, 1].tolist() == [0, 0]
    assert len(decode(fields)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_centres_give_no_people(bad: float) -> None:
    fields = ideal(PERSON, OTHER)
    fields.centres[:, :, :33] = bad
    (person,) = decode(fields)
    np.testing.assert_allclose(person.keypoints[0], OTHER, atol=1e-4)


def test_keypoints_may_lie_outside_of_the_image() -> None:
    (person,) = decode(ideal([[10, 8], [20, 20], [28, 30]], without=("heatmaps",)), ModelSpec("m", TRIO, 1, -15.0))
    assert person.keypoints[0, 0].tolist() == [-5, -7]


def test_constant_fields() -> None:
    zero = {name: np.zeros_like(value) for name, value in vars(ideal(PERSON)).items() if value is not None}
    assert len(decode(Fields(**zero))) == 0
    one = {name: np.ones_like(value) for name, value in zero.items()}
    assert len(decode(Fields(**one))) == 1  # one plateau
    assert len(decode(Fields(**{name: value * np.nan for name, value in one.items()}))) == 0


def variants(array: np.ndarray) -> dict[str, np.ndarray]:
    large = np.zeros((array.shape[0], 2 * array.shape[1], 2 * array.shape[2]), np.float32)
    large[:, ::2, ::2] = array.astype(np.float16)
    return {
        "float16": array.astype(np.float16),
        "float32 of float16": array.astype(np.float16).astype(np.float32),
        "float64 of float16": array.astype(np.float16).astype(np.float64),
        "every other cell": large[:, ::2, ::2],
        "channels last": np.ascontiguousarray(array.astype(np.float16).transpose(1, 2, 0)).transpose(2, 0, 1),
        "Fortran order": np.asfortranarray(array.astype(np.float16)),
    }


def test_types_and_layouts_give_the_same_people_and_stay_unmodified() -> None:
    fields, _ = scene_centernet.fields(4)
    forms = {name: variants(array) for name, array in vars(fields).items() if array is not None}
    reference = decode(Fields(**{name: form["float16"] for name, form in forms.items()}), SPEC)
    assert len(reference) == 4
    for kind in forms["centres"]:
        arrays = {name: form[kind] for name, form in forms.items()}
        before = {name: array.copy() for name, array in arrays.items()}
        assert_same(decode(Fields(**arrays), SPEC), reference)
        assert all(np.array_equal(before[name], arrays[name]) for name in arrays), kind


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centres": None}, "centres: expected an array of 1 channels, got None"),
        ({"keypoint_offsets": None}, "keypoint_offsets: expected an array of 6 channels, got None"),
        ({"centres": np.zeros(SHAPE)}, r"centres: expected shape \(1, H, W\), got \(40, 60\)"),
        ({"keypoint_offsets": np.zeros((5, *SHAPE))}, r"keypoint_offsets: expected shape \(6, H, W\)"),
        ({"keypoint_offsets": np.zeros((6, 4, 4))}, r"keypoint_offsets: expected the grid of the centres, \(40, 60\)"),
        ({"heatmaps": np.zeros((3, 40, 61))}, r"heatmaps: expected the grid of the centres, .* got \(40, 61\)"),
        ({"heatmaps": np.zeros((2, *SHAPE))}, r"heatmaps: expected shape \(3 or 4, H, W\)"),
        ({"heatmap_offsets": np.zeros((2, 8, 8))}, r"heatmap_offsets: expected the grid"),
        ({"centre_offsets": np.zeros((1, *SHAPE))}, r"centre_offsets: expected shape \(2"),
        ({"sizes": np.zeros((2, 1, 1))}, r"sizes: expected the grid"),
        ({"centres": np.zeros((1, 0, 4))}, r"got \(1, 0, 4\)"),
        ({"sizes": np.zeros((2, *SHAPE), complex)}, "sizes: expected real numbers, got complex"),
    ],
)
def test_wrong_fields_are_refused(changes: dict, message: str) -> None:
    for fields in (ideal(PERSON), ideal(PERSON, OTHER)):
        with pytest.raises(ValueError, match=message):
            decode(replace(fields, **changes))


def test_wrong_fields_are_refused_even_without_people() -> None:
    no_people = replace(ideal(PERSON), centres=np.zeros((1, *SHAPE)))
    channels = {"keypoint_offsets": 6, "centre_offsets": 2, "sizes": 2, "heatmaps": 3}
    for name, count in channels.items():
        with pytest.raises(ValueError, match=f"{name}: expected the grid of the centres"):
            decode(replace(no_people, **{name: np.zeros((count, 3, 3))}))


def test_a_model_without_the_heads_is_refused() -> None:
    spec = ModelSpec("m", TRIO, 4, heads=(HeadSpec("centres", "c"),), grouping="centernet")
    with pytest.raises(ValueError, match=r"model m: expected heads \['keypoint_offsets'\] for grouping 'centernet'"):
        make_decoder(spec)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 15))
def test_noise_of_any_size_gives_valid_people(seed: int, rows: int, cols: int, bad: float, chosen: int) -> None:
    random = np.random.default_rng(seed)
    channels = {"centres": 1, "keypoint_offsets": 6, "centre_offsets": 2, "sizes": 2, "heatmaps": 3}
    channels["heatmap_offsets"] = 2
    for index, name in enumerate(OPTIONAL):
        if not chosen >> index & 1:
            del channels[name]
    arrays = {name: random.normal(0.3, 2, (count, rows, cols)) for name, count in channels.items()}
    for array in arrays.values():
        array[random.random(array.shape) < 0.1 * bad] = random.choice([np.nan, np.inf, -np.inf, 1e38])
    config = {"min_keypoints": 1, "min_person_score": 0.0, "half_cell": bool(seed % 2), "centre_threshold": 0.0}
    decoder = CenterNetDecoder(TRIO_SPEC, DecoderConfig(**config))
    people, boxes = decoder.people_and_boxes(Fields(**arrays))
    again = decoder(Fields(**arrays))
    assert_same(people, again, 0)
    assert boxes.shape == (len(people), 4) and np.isfinite(boxes).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert (np.diff(people.person_scores) <= 0).all() and people.visible.any(axis=1).all()


def test_threads_may_share_a_decoder() -> None:
    assert_shareable(make_decoder(SPEC, "centernet"), [scene_centernet.fields(n)[0] for n in (1, 5, 10)])


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
decoder = make_decoder(ModelSpec("test", COCO_17, stride=4, origin=1.5), "centernet", DecoderConfig(min_keypoints=1))
for case in sorted({key.split("/")[0] for key in data}):
    people = decoder(Fields(**{key.split("/")[1]: data[key] for key in data if key.split("/")[0] == case}))
    out.update({f"{case}/{name}": getattr(people, name) for name in ("keypoints", "scores", "person_scores")})
np.savez(sys.argv[2], **out)
"""


def test_plain_numpy_gives_the_same_people(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    cases = {f"crowd{n}": scene_centernet.fields(n)[0] for n in (1, 4, 20)}
    cases["plain"] = replace(cases["crowd4"], heatmap_offsets=None, centre_offsets=None, sizes=None)
    cases["noise"] = Fields(
        centres=random.normal(0.2, 0.3, (1, 24, 30)),
        keypoint_offsets=random.normal(0, 5, (34, 24, 30)),
        heatmaps=random.normal(0.1, 0.2, (17, 24, 30)),
    )
    cases["ties"] = replace(cases["noise"], heatmaps=random.integers(0, 4, (17, 24, 30)) / 4)
    cases["bad"] = replace(cases["crowd4"], **{"heatmaps": cases["crowd4"].heatmaps.copy()})
    cases["bad"].heatmaps[:, :, 50:80] = np.nan
    given = {
        case: {k: np.asarray(v, np.float32) for k, v in vars(f).items() if v is not None} for case, f in cases.items()
    }
    np.savez(tmp_path / "in.npz", **{f"{case}/{k}": v for case, arrays in given.items() for k, v in arrays.items()})
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120)
    plain = np.load(tmp_path / "out.npz")
    for case, arrays in given.items():
        people = decode(Fields(**arrays), SPEC, min_keypoints=1)
        assert len(people) > 0
        for key in ("keypoints", "scores", "person_scores"):
            np.testing.assert_allclose(plain[f"{case}/{key}"], getattr(people, key), atol=1e-4, err_msg=case)
