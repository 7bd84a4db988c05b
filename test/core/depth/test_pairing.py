"""Test pairing colour and depth images by stamp: never the newest with the newest, nothing lost, nothing hoarded."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_ros.config import DepthConfig
from pose_ros.depth.pairing import DepthPairing

PERIOD = 33


def ms(value):
    return round(value * 1e6)


def feed(events, **settings):
    """Add ``"c10"`` and ``"d7"`` in order. Return (colour, depth) stamps in ms as they come, and the pairing."""
    pairing, found = DepthPairing(DepthConfig(**settings)), []
    for event in events:
        kind, stamp = event[0], float(event[1:])
        add = pairing.add_colour if kind == "c" else pairing.add_depth
        found += [stamps_of(pair) for pair in add(ms(stamp), event)]
    return found, pairing


def stamps_of(pair):
    depth = None if pair.depth is None else pair.depth.stamp_ns / 1e6
    return pair.colour.stamp_ns / 1e6, depth


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["d0", "c0"], [(0, 0)]),
        (["c0", "d0"], [(0, 0)]),
        (["c0", "c33", "d0", "d33"], [(0, 0), (33, 33)]),  # depth arrives one image later than its colour image
        (["d0", "d33", "c0", "c33"], [(0, 0), (33, 33)]),
        (["d0", "c20", "d33"], [(20, 33)]),  # the next one is nearer than the one that is there
        (["d0", "c10", "d33"], [(10, 0)]),
        (["d0", "c50", "d100"], [(50, None)]),  # none is near enough
        (["c40", "d33", "d0", "d66"], [(40, 33)]),
        (["d66", "d33", "d0", "c33"], [(33, 33)]),  # out of order
        (["c33", "c0", "d33"], [(0, None), (33, 33)]),
        (["d0", "c0", "c5", "d33"], [(0, 0), (5, 0)]),  # colour is faster than depth
    ],
)
def test_pairs_have_the_nearest_stamps(events, expected):
    assert feed(events)[0] == expected


def test_a_near_depth_image_is_taken_at_once_if_the_next_one_cannot_be_nearer():
    assert feed(["d0", "d33", "d66", "c71"])[0] == [(71, 66)]
    assert feed(["d0", "d33", "d66", "c84"])[0] == []  # the next one is expected at 99


def test_colour_does_not_wait_for_a_sensor_that_stopped():
    found, _ = feed([f"c{PERIOD * n}" for n in range(10)], wait_ms=100.0)
    assert found == [(PERIOD * n, None) for n in range(6)]


@pytest.mark.parametrize("start", ["d", "c"])
def test_clock_that_goes_back_drops_the_images_from_before(start):
    """A bag starts again. The old depth image at 33 ms must not meet a new colour image by accident later."""
    old = ["d5000", "c5000", "c5033"]
    new = ["d0", "c0"] if start == "d" else ["c0", "d0"]
    found, pairing = feed([*old, *new, "d33", "c33"])
    assert found == [(5000, 5000), (5033, None), (0, 0), (33, 33)]
    assert pairing.find_depth(ms(5000)) is None


def test_old_depth_image_after_the_colour_clock_went_back():
    found, _ = feed(["d5000", "c5000", "c0", "d5033", "d0", "c33", "d33"])
    assert found == [(5000, 5000), (0, None), (33, 33)]  # the first one looks late, the next ones are right


def test_depth_may_lag_behind_by_more_than_a_second():
    events = [f"c{100 * n}" for n in range(15)] + [event for n in range(5) for event in (f"d{100 * n}", f"c{1500 + n}")]
    found, _ = feed(events, wait_ms=2000.0)
    assert found == [(100 * n, 100 * n) for n in range(5)]


def test_one_stamp_from_the_future_does_not_stop_the_pairs():
    found, _ = feed(["d0", "c0", "d900000", "d33", "c33"])
    assert found == [(0, 0), (33, 33)]


def test_memory_is_bounded():
    _, pairing = feed([f"c{n}" for n in range(200)], wait_ms=10_000.0)
    assert len(pairing.clear()) == 16
    _, pairing = feed([f"d{n}" for n in range(200)])
    assert pairing.find_depth(ms(100)) is None
    assert pairing.find_depth(ms(199)).image == "d199"


def test_excess_colour_images_come_back_without_depth():
    found, pairing = feed([f"c{n}" for n in range(20)], wait_ms=10_000.0)
    rest = [stamps_of(pair) for pair in pairing.clear()]
    assert found + rest == [(n, None) for n in range(20)] and pairing.clear() == []


def test_depth_of_an_image_that_was_processed_meanwhile():
    _, pairing = feed(["d0", "d33", "d66"])
    assert pairing.find_depth(ms(40)).stamp_ns == ms(33)
    assert pairing.find_depth(ms(99)) is None


def test_images_are_not_compared():
    pairing = DepthPairing()
    for _ in range(2):
        pairing.add_colour(0, np.zeros((2, 2)))
    assert len(pairing.add_depth(0, np.zeros((2, 2)))) == 2


@given(st.lists(st.tuples(st.sampled_from("cd"), st.integers(0, 4000)), max_size=60))
def test_every_colour_image_comes_back_once_and_never_with_a_far_depth_image(events):
    found, pairing = feed([f"{kind}{stamp}" for kind, stamp in events])
    found += [stamps_of(pair) for pair in pairing.clear()]
    assert sorted(colour for colour, _ in found) == sorted(stamp for kind, stamp in events if kind == "c")
    assert all(depth is None or abs(colour - depth) <= 20 for colour, depth in found)


def test_threads_may_add_at_the_same_time():
    pairing, found = DepthPairing(DepthConfig(wait_ms=10_000.0)), []
    stamps = range(0, ms(40 * PERIOD), ms(PERIOD))

    def add(function):
        for stamp in stamps:
            found.extend(function(stamp, None))  # list.extend is atomic

    threads = [threading.Thread(target=add, args=(each,)) for each in (pairing.add_colour, pairing.add_depth)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found += pairing.clear()
    assert sorted(pair.colour.stamp_ns for pair in found) == list(stamps)
