"""Test the order of links, and the shortcut of the assignment of tags."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.decoder.assignment import assign
from pose_ros.decoder.matching import sort_descending
from pose_ros.decoder.tag_groups import NEW_PERSON_COST, _choose_cheapest


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100, 379])
def test_values_are_sorted_and_equal_values_keep_their_order(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 20, count).astype(np.float64)
    assert np.array_equal(sort_descending(values), np.argsort(-values, kind="stable"))


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 2), st.floats(0, 1), st.booleans())
def test_the_cheapest_people_are_those_of_the_assignment(
    seed: int, peaks: int, more: int, far: float, ties: bool
) -> None:
    random, shape = np.random.default_rng(seed), (peaks, peaks + more)
    costs = random.integers(0, 3, shape).astype(float) if ties else random.uniform(0, 3, shape)
    costs[random.random(shape) < far] = NEW_PERSON_COST
    chosen, expected = np.empty(peaks, np.int64), assign(costs)
    if _choose_cheapest(costs, chosen):
        joins = costs[np.arange(peaks), expected] < NEW_PERSON_COST
        assert np.array_equal(costs[np.arange(peaks), chosen] < NEW_PERSON_COST, joins)
        assert np.array_equal(chosen[joins], expected[joins])


def test_each_peak_with_its_own_person_needs_no_assignment() -> None:
    costs = np.full((3, 4), NEW_PERSON_COST)
    costs[0, 2] = costs[1, 0] = 0.0
    chosen = np.empty(3, np.int64)
    assert _choose_cheapest(costs, chosen) and chosen.tolist()[:2] == [2, 0]
    costs[2, 2] = 0.5
    assert not _choose_cheapest(costs, chosen)
