"""Test that the garbage collector visits fewer objects while a model loads, and works as before afterwards."""

import gc
from collections.abc import Iterator

import pytest

from pose_ros.garbage import LOADING, collect_less

BEFORE = (500, 9, 8)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*BEFORE)
    yield
    gc.set_threshold(*before)


def test_the_thresholds_return_also_after_an_error() -> None:
    with pytest.raises(ValueError), collect_less():
        assert gc.get_threshold() == LOADING
        raise ValueError
    assert gc.get_threshold() == BEFORE


def test_the_first_of_two_threads_restores_the_thresholds() -> None:
    first, second = collect_less(), collect_less()
    with first:
        second.__enter__()
    second.__exit__(None, None, None)
    assert gc.get_threshold() == BEFORE


def test_a_collector_that_is_off_stays_off() -> None:
    gc.set_threshold(0)
    with collect_less():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0
