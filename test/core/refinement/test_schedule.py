"""Test the turns of people and the time per person."""

import numpy as np

from pose_ros.refinement.schedule import TimePerPerson, Turns


def test_the_count_follows_the_measured_time() -> None:
    time = TimePerPerson()
    assert time.count_within(50.0) == 1
    time.record(1, 10.0)
    assert time.count_within(50.0) == 5 and time.count_within(1.0) == 1
    for _ in range(40):
        time.record(4, 100.0)
    assert time.count_within(51.0) == 2
    time.record(2, 0.0)
    assert time.count_within(51.0) >= 2


def test_people_are_followed_by_their_boxes() -> None:
    turns, boxes = Turns(), np.float32([[0, 0, 50, 100], [200, 0, 250, 100]])
    assert turns.find_ages(boxes, 4).tolist() == [4, 4]
    turns.record(boxes, np.int32([4, 4]), np.array([True, False]))
    moved = boxes[::-1] + np.float32(6)
    assert turns.find_ages(moved, 4).tolist() == [4, 1]
    assert turns.find_ages(moved + 500, 4).tolist() == [4, 4]
    assert turns.find_ages(np.zeros((0, 4), np.float32), 4).tolist() == []


def test_keypoints_on_a_line_are_followed() -> None:
    turns, line = Turns(), np.float32([[100, 50, 100, 150]])
    turns.record(line, np.int32([5]), np.array([True]))
    assert turns.find_ages(line + np.float32([[4, 2, 4, 2]]), 5).tolist() == [1]
