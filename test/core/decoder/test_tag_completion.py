"""Test completion: weak keypoints are found, and those of other people are not used."""

import numpy as np
import pytest
import scene_tags
from tag_people import TRIPLE_SPEC, decode, ideal_tags, row

from pose_ros.fields import Fields


def weak_keypoint(strength: float, tag: float) -> Fields:
    """Make a person with tag 5 at y = 5, and one with tag 1 at y = 30. The c of the second is weak and has ``tag``."""
    fields = ideal_tags([row(5), row(30)], [[5.0, 5.0, 5.0], [1.0, 1.0, tag]])
    fields.heatmaps[2, 18:] *= strength
    return fields


def test_completion_finds_a_weak_keypoint() -> None:
    fields = weak_keypoint(0.06, 1.0)
    without = decode(fields, TRIPLE_SPEC, min_keypoints=2)
    with_it = decode(fields, TRIPLE_SPEC, min_keypoints=2, complete=True)
    assert without.visible.sum() == 5 and with_it.visible.sum() == 6
    assert with_it.scores[1, 2] == pytest.approx(0.06, abs=1e-3)
    np.testing.assert_allclose(with_it.keypoints[1], row(30), atol=0.05)
    np.testing.assert_allclose(with_it.person_scores, without.person_scores)


@pytest.mark.parametrize(("strength", "tag"), [(0.06, 5.0), (0.06, 1.6), (0.0, 1.0), (-0.5, 1.0)])
def test_completion_ignores_other_tags_and_empty_cells(strength: float, tag: float) -> None:
    """A cell with another tag or without confidence is not a keypoint."""
    people = decode(weak_keypoint(strength, tag), TRIPLE_SPEC, min_keypoints=2, complete=True)
    assert people.visible.sum() == 5


def test_completion_uses_the_first_of_equal_cells() -> None:
    fields = ideal_tags([row(30)], [1.0], visible=[[1, 1, 0]], far=1.0)
    fields.heatmaps[2, [3, 3, 20], [9, 40, 5]] = 0.05
    (person,) = decode(fields, TRIPLE_SPEC, complete=True, min_keypoints=2, subpixel="none")
    assert person.keypoints[0, 2].tolist() == [9, 3]


def test_completion_of_a_crowd() -> None:
    fields, _ = scene_tags.fields(10, dims=2)
    whole = decode(fields)
    faint = fields.heatmaps.copy()
    gone = np.arange(0, 17, 3)
    faint[gone] *= 0.09  # below the threshold of peaks
    assert decode(Fields(faint, tags=fields.tags), score_threshold=0.1).visible[:, gone].sum() == 0
    people = decode(Fields(faint, tags=fields.tags), score_threshold=0.1, complete=True)
    assert people.visible.all() and len(people) == len(whole) == 10
    for person in people.keypoints:
        assert np.abs(whole.keypoints - person).max(axis=(1, 2)).min() < 1.5
