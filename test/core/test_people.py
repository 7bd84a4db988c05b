"""Test the validated struct of people."""

import numpy as np
import pytest

from pose_ros.people import NOT_TRACKED, People


def make_people(n: int = 3, k: int = 4) -> People:
    random = np.random.default_rng(0)
    scores = random.uniform(0.1, 1, (n, k)).astype(np.float32)
    scores[:, -1] = 0
    keypoints = np.where(scores[..., None] > 0, random.uniform(0, 100, (n, k, 2)), 0).astype(np.float32)
    return People(keypoints, scores, np.linspace(1, 0.2, n, dtype=np.float32))


def test_an_empty_result_has_columns_and_no_people() -> None:
    people = People.empty(18)
    assert len(people) == 0 and people.keypoints.shape == (0, 18, 2)
    assert people.boxes().shape == (0, 4) and list(people) == []


def test_people_have_no_track_by_default() -> None:
    assert make_people().ids.tolist() == [NOT_TRACKED] * 3


@pytest.mark.parametrize("index", [1, -1, slice(0, 2), [2, 0], np.array([True, False, True])], ids=str)
def test_indexing_keeps_the_columns_together(index: object) -> None:
    people = make_people()
    part = people[index]
    rows = np.arange(3)[[index] if isinstance(index, int) else index]
    assert part.person_scores.tolist() == people.person_scores[rows].tolist()
    assert np.array_equal(part.keypoints, people.keypoints[rows])


def test_index_beyond_the_end_raises() -> None:
    with pytest.raises(IndexError):
        make_people()[3]


def test_iteration_gives_each_person() -> None:
    assert [float(p.person_scores[0]) for p in make_people()] == pytest.approx([1, 0.6, 0.2])


def test_boxes_contain_only_visible_keypoints() -> None:
    people = make_people()
    for person, box in zip(people, people.boxes(), strict=True):
        xy = person.keypoints[0, :3]
        assert box.tolist() == [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()]


def test_a_person_without_keypoints_has_an_empty_box() -> None:
    assert People(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.zeros(1)).boxes().tolist() == [[0, 0, 0, 0]]


def test_absent_keypoints_are_not_moved() -> None:
    moved = make_people().with_keypoints(np.full((3, 4, 2), 7, np.float32))
    assert (moved.keypoints[:, :3] == 7).all() and (moved.keypoints[:, 3] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((3, 4))}, r"keypoints: expected shape \(N, K, 2\), got \(3, 4\)"),
        ({"scores": np.zeros((3, 5))}, r"scores: expected shape \(3, 4\), got \(3, 5\)"),
        ({"person_scores": np.zeros(2)}, r"person_scores: expected shape \(3,\), got \(2,\)"),
        ({"ids": np.zeros(2)}, r"ids: expected shape \(3,\), got \(2,\)"),
        ({"scores": np.full((3, 4), 1.5)}, r"scores: expected values in \[0, 1\]"),
        ({"scores": np.full((3, 4), np.nan)}, r"scores: expected values in \[0, 1\], got nan"),
        ({"person_scores": np.full(3, -0.5)}, r"person_scores: expected values in \[0, 1\]"),
        ({"keypoints": np.full((3, 4, 2), np.inf)}, "keypoints: expected finite"),
        ({"masks": np.zeros((2, 5, 6), bool)}, r"masks: expected shape \(3, H, W\), got \(2, 5, 6\)"),
        ({"masks": np.zeros((3, 5), bool)}, r"masks: expected shape \(3, H, W\), got \(3, 5\)"),
    ],
)
def test_wrong_arrays_are_refused(change: dict, message: str) -> None:
    arrays = {"keypoints": np.zeros((3, 4, 2)), "scores": np.zeros((3, 4)), "person_scores": np.zeros(3), **change}
    with pytest.raises(ValueError, match=message):
        People(**arrays)


def test_the_mark_of_refined_people_follows_them() -> None:
    people = make_people()
    marked = People(people.keypoints, people.scores, people.person_scores, refined=np.array([True, False, True]))
    assert marked[1:].refined.tolist() == [False, True]
    assert marked.append(people).refined.tolist() == [True, False, True, False, False, False]
    assert people.append(people).refined is None
    with pytest.raises(ValueError, match="refined: expected shape"):
        People(people.keypoints, people.scores, people.person_scores, refined=np.array([True]))


@pytest.mark.parametrize("index", [1, [2, 0], np.array([True, False, True])], ids=str)
def test_masks_follow_their_people(index: object) -> None:
    people, masks = make_people(), np.arange(3)[:, None, None] == np.arange(3).reshape(1, 1, 3)
    part = People(people.keypoints, people.scores, people.person_scores, masks=masks)[index]
    np.testing.assert_array_equal(part.masks, masks[[index] if isinstance(index, int) else index])
