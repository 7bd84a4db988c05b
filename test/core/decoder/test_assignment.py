"""Test the assignment problem against all permutations."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.decoder.assignment import assign


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(0, 2), st.booleans())
def test_the_assignment_has_the_lowest_sum(seed: int, rows: int, more: int, ties: bool) -> None:
    random, cols = np.random.default_rng(seed), rows + more
    costs = random.integers(-2, 3, (rows, cols)).astype(float) if ties else random.normal(0, 3, (rows, cols))
    before = costs.copy()
    chosen = assign(costs)
    assert len(chosen) == len(set(chosen.tolist())) == rows and np.array_equal(before, costs)
    best = min(sum(costs[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(cols), rows))
    assert costs[np.arange(rows), chosen].sum() == pytest.approx(best, abs=1e-9)


def test_assignment_of_a_large_matrix() -> None:
    """A hidden permutation of cost 0 is found among costs above 0."""
    random = np.random.default_rng(5)
    costs, hidden = random.uniform(1, 2, (150, 400)), random.permutation(400)[:150]
    costs[np.arange(150), hidden] = 0
    assert np.array_equal(assign(costs), hidden)
