"""Test the decoder of networks that output people: rows are read, duplicates and bad numbers are dropped."""

import numpy as np
import pytest
from decoders import assert_shareable
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, HeadSpec, ModelSpec, PeopleSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton

TRIO = Skeleton("trio", ("a", "b", "c"), ((0, 1), (1, 2)))
SPEC = ModelSpec("trio", TRIO, stride=1, grouping="direct")
PERSON = np.array([[10.25, 8.5, 0.9], [20.75, 20.5, 0.8], [25.0, 30.125, 0.7]])
BOX = np.array([8.0, 6.0, 27.0, 32.0])


def rows(*people: np.ndarray) -> np.ndarray:
    """Return the field (3 K, P) of people (K, 3)."""
    return np.stack([person.ravel() for person in people], axis=1)


def moved(x: float, y: float = 0.0) -> np.ndarray:
    return PERSON + np.array([x, y, 0])


def decode(
    people: np.ndarray, scores: list[float], boxes: np.ndarray | None = None, spec: ModelSpec = SPEC, **config: object
) -> People:
    fields = Fields(people=people, person_scores=np.array([scores]), boxes=boxes)
    return make_decoder(spec, "direct", DecoderConfig(**config))(fields)


def test_people_are_sorted_by_score() -> None:
    people = decode(rows(PERSON, moved(100), moved(200)), [0.3, 0.9, 0.6])
    assert people.keypoints[:, 0, 0].tolist() == [110.25, 210.25, 10.25]
    np.testing.assert_allclose(people.keypoints[2], PERSON[:, :2])
    np.testing.assert_allclose(people.scores, [PERSON[:, 2]] * 3)
    np.testing.assert_allclose(people.person_scores, [0.9, 0.6, 0.3])


def test_stride_and_origin_place_the_people() -> None:
    spec = ModelSpec("trio", TRIO, stride=4, origin=-1.5)
    np.testing.assert_allclose(decode(rows(PERSON), [1], spec=spec).keypoints[0], PERSON[:, :2] * 4 - 1.5)


def test_fractions_are_of_width_and_height() -> None:
    spec = ModelSpec("trio", TRIO, stride=1, origin=-0.5, people=PeopleSpec("fractions"))
    decoder = make_decoder(spec, "direct")
    people = rows(PERSON / [64, 32, 1])
    found = decoder(Fields(people=people, person_scores=np.ones((1, 1)), input_wh=np.array([64, 32])))
    np.testing.assert_allclose(found.keypoints[0], PERSON[:, :2] - 0.5, atol=1e-5)
    with pytest.raises(ValueError, match=r"model trio: expected the size of the network input.*set input.size_wh"):
        decoder(Fields(people=people, person_scores=np.ones((1, 1))))


def test_people_without_keypoint_scores_have_that_of_the_person() -> None:
    people = decode(rows(PERSON[:, :2]), [0.6])
    np.testing.assert_allclose(people.scores, [[0.6] * 3])
    np.testing.assert_allclose(people.keypoints[0], PERSON[:, :2])


def test_duplicates_are_removed_unless_the_network_does_so() -> None:
    people, scores = rows(PERSON, moved(0.25), moved(60)), [0.5, 0.9, 0.4]
    assert decode(people, scores).keypoints[:, 0, 0].tolist() == [10.5, 70.25]
    spec = ModelSpec("trio", TRIO, stride=1, people=PeopleSpec(nms=True))
    assert len(decode(people, scores, spec=spec)) == len(decode(people, scores, duplicate_oks=1.0)) == 3
    assert len(decode(people, scores, spec=spec, max_people=2)) == 2


@pytest.mark.parametrize("form", ["corners", "centre"])
def test_the_box_tells_how_near_duplicates_are(form: str) -> None:
    """Two rows of a face that differ by 2 px are one person if the person is large."""
    face = np.array([[100, 50, 0.9], [104, 46, 0.9], [96, 46, 0.9]], float)
    spec = ModelSpec("trio", TRIO, stride=1, people=PeopleSpec(box=form))
    large = [40, 20, 160, 420] if form == "corners" else [100, 220, 120, 400]
    small = [95, 45, 105, 51] if form == "corners" else [100, 48, 10, 6]
    people = rows(face, face + np.array([4, 4, 0]))
    found = {
        name: decode(people, [0.9, 0.8], np.tile(np.array([box]).T, 2), spec)
        for name, box in {"large": large, "small": small}.items()
    }
    assert (len(found["large"]), len(found["small"]), len(decode(people, [0.9, 0.8]))) == (1, 2, 2)


@pytest.mark.parametrize(
    ("side", "people"),
    [(32768, 1), (32769, 2), (-300, 2), (0, 2)],
    ids=["the largest", "too large", "inverted", "empty"],
)
def test_a_box_of_an_impossible_size_is_unknown(side: int, people: int) -> None:
    """In a box of known size, two people 6 px apart are duplicates. Without one, their keypoints tell them apart."""
    boxes = np.tile(np.array([[0, 0, side, side]]).T, 2)
    assert len(decode(rows(PERSON, moved(6)), [0.9, 0.8], boxes)) == people


def test_weak_keypoints_and_people_are_absent() -> None:
    weak = PERSON.copy()
    weak[1, 2] = 0.05
    (person,) = decode(rows(weak), [0.5], min_keypoints=2)
    assert person.visible[0].tolist() == [True, False, True] and person.keypoints[0, 1].tolist() == [0, 0]
    assert len(decode(rows(weak), [0.5], min_keypoints=3)) == 0
    assert len(decode(rows(PERSON, moved(60)), [0.3, 0.1], min_person_score=0.2)) == 1
    assert len(decode(rows(PERSON), [0.0], min_person_score=0.0)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300])
def test_bad_numbers_are_missing(bad: float) -> None:
    people, boxes = rows(PERSON, moved(60), moved(120)), np.tile(BOX[:, None], 3)
    people[3, 0] = people[7, 1] = boxes[2, 0] = bad
    found = decode(people, [0.9, 0.8, 0.7], boxes, min_keypoints=1)
    assert found.visible.sum(axis=1).tolist() == [2, 2, 3]
    assert len(decode(people, [0.9, 0.8, bad], boxes, min_keypoints=1)) == 2 + (bad == 1e38)
    assert len(decode(people, [bad] * 3, boxes)) == (1 if bad == 1e38 else 0)


def test_scores_above_1_become_1() -> None:
    (person,) = decode(rows(PERSON * [1, 1, 10]), [7.0])
    assert person.scores.tolist() == [[1, 1, 1]] and person.person_scores.tolist() == [1]


@pytest.mark.parametrize("boxes", [None, np.zeros((4, 0))])
def test_no_rows_are_no_people(boxes: np.ndarray | None) -> None:
    assert decode(np.zeros((9, 0)), [], boxes).keypoints.shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": None}, "people: expected an array of 9 or 6 channels, got None"),
        ({"people": np.zeros((8, 2))}, r"people: expected shape \(9 or 6, P\), got \(8, 2\); correct the head people"),
        ({"people": np.zeros((9, 2, 2))}, r"got \(9, 2, 2\)"),
        ({"people": np.zeros((9, 2), complex)}, "people: expected real numbers, got complex128"),
        ({"person_scores": None}, "person_scores: expected an array of 1 channels, got None"),
        ({"person_scores": np.zeros((1, 3))}, "person_scores: expected 2 people, as in the field people, got 3"),
        ({"boxes": np.zeros((5, 2))}, r"boxes: expected shape \(4, P\), got \(5, 2\)"),
        ({"boxes": np.zeros((4, 1))}, "boxes: expected 2 people"),
    ],
    ids=str,
)
def test_wrong_fields_are_refused(change: dict, message: str) -> None:
    fields = {"people": np.zeros((9, 2)), "person_scores": np.zeros((1, 2)), "boxes": np.zeros((4, 2))}
    with pytest.raises(ValueError, match=message):
        make_decoder(SPEC)(Fields(**(fields | change)))


def test_a_model_without_scores_is_refused() -> None:
    spec = ModelSpec("m", TRIO, 1, heads=(HeadSpec("people", "p", "NPC"),), grouping="direct")
    with pytest.raises(ValueError, match=r"model m: expected heads \['person_scores'\] for grouping 'direct'"):
        make_decoder(spec)


def test_noise_of_8400_anchors_is_bounded() -> None:
    random = np.random.default_rng(0)
    people = random.normal(300, 200, (51, 8400)).astype(np.float32)
    people[2::3] = random.random((17, 8400))
    people[random.random(people.shape) < 0.01] = np.nan
    fields = Fields(people=people, person_scores=random.random((1, 8400)).astype(np.float32))
    spec = ModelSpec("m", COCO_17, 1)
    assert len(make_decoder(spec, "direct", DecoderConfig(max_people=40))(fields)) == 40


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([np.float16, np.float32, np.float64]))
def test_any_numbers_give_valid_people(seed: int, count: int, kind: type) -> None:
    random = np.random.default_rng(seed)
    values = {"people": (9, count), "person_scores": (1, count), "boxes": (4, count)}
    with np.errstate(over="ignore"):
        fields = {
            name: (random.normal(0, 10.0 ** random.integers(-3, 9), shape)).astype(kind)
            for name, shape in values.items()
        }
    for array in fields.values():
        array[random.random(array.shape) < 0.1] = random.choice([np.nan, np.inf, -np.inf, 0])
    spec = ModelSpec("m", TRIO, 1, people=PeopleSpec(box=str(random.choice(["corners", "centre"]))))
    before = {name: array.copy() for name, array in fields.items()}
    people = make_decoder(spec, "direct", DecoderConfig(min_keypoints=1, max_people=5))(Fields(**fields))
    assert len(people) <= 5 and (np.diff(people.person_scores) <= 0).all()
    assert all(np.array_equal(before[name], array, equal_nan=True) for name, array in fields.items())


def test_threads_may_share_a_decoder() -> None:
    jobs = [Fields(people=rows(moved(x), moved(x + 0.25)), person_scores=np.array([[0.5, 0.6]])) for x in range(4)]
    assert_shareable(make_decoder(SPEC), jobs)
