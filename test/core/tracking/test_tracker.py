"""Test the tracker: ids on synthetic sequences with known people, by motmetrics, and its rules one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import motmetrics
import numpy as np
import pytest
import scene_tracking
from scene_tracking import Sequence

from pose_ros.config import TrackingConfig
from pose_ros.people import NOT_TRACKED, People, TrackState
from pose_ros.similarity import box_iou
from pose_ros.skeleton import COCO_17, OPENPOSE_18
from pose_ros.tracking.tracker import Tracker

NOISY = {"jitter": 0.05, "missed": 0.1}
QUICK = TrackingConfig(hits=2, lost_s=1.5)
REAL = {"jitter": 0.015, "shift": 0.01, "missed": 0.1}


def person(x: float = 300, y: float = 100, height: float = 200, score: float = 0.8) -> People:
    keypoints = COCO_17.standing * height + (x, y)
    return People(keypoints[None], np.full((1, 17), score), np.full(1, score))


def together(*people: People) -> People:
    joined = people[0]
    for other in people[1:]:
        joined = joined.append(other)
    return joined


def track(tracker: Tracker, *frames: People, rate_hz: float = 10, start_s: float = 5.0) -> list[list[int]]:
    return [tracker.update(people, start_s + i / rate_hz).ids.tolist() for i, people in enumerate(frames)]


def score(sequence: Sequence, config: TrackingConfig | None = None) -> Any:
    """Return motmetrics' summary of the detected people of a sequence."""
    tracker, accumulator = Tracker(OPENPOSE_18, config), motmetrics.MOTAccumulator(auto_id=True)
    for frame in scene_tracking.play(sequence):
        people, is_real = tracker.update(frame.people, frame.stamp_s), frame.owners >= 0
        has_id = people.ids >= 0
        distances = 1 - box_iou(people.boxes()[: len(is_real)][is_real], people.boxes()[has_id])
        distances[distances > 0.5] = np.nan
        accumulator.update(frame.owners[is_real], people.ids[has_id], distances)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "mota", "num_switches"])
    return summary.iloc[0]


@pytest.mark.parametrize(
    ("sequence", "idf1", "mota"),
    [
        (Sequence(5, 30, 240, 1, **NOISY), 0.90, 0.95),
        (Sequence(20, 15, 200, 1, **NOISY), 0.72, 0.90),
        (Sequence(20, 8, 160, 1, **NOISY), 0.65, 0.88),
        (Sequence(1, 10, 100, 1, **NOISY), 0.95, 0.90),
        (Sequence(5, 10, 160, 1, **REAL), 0.95, 0.95),
        (Sequence(30, 30, 150, 1, **REAL), 0.88, 0.90),
        (Sequence(5, 15, 200, 1, dropped=0.3, **REAL), 0.88, 0.90),
    ],
    ids=str,
)
def test_ids_stay_with_walking_people(sequence: Sequence, idf1: float, mota: float) -> None:
    summary = score(sequence)
    assert summary["idf1"] >= idf1 and summary["mota"] >= mota


def test_the_same_sequence_gives_the_same_ids() -> None:
    def run() -> list[list[int]]:
        tracker = Tracker(OPENPOSE_18)
        frames = scene_tracking.play(Sequence(8, 10, 40, 3))
        return [tracker.update(frame.people, frame.stamp_s).ids.tolist() for frame in frames]

    assert run() == run()


def test_a_person_gets_an_id_after_some_hits() -> None:
    ids = track(Tracker(COCO_17, TrackingConfig(hits=3)), *[person()] * 4)
    assert ids == [[NOT_TRACKED], [NOT_TRACKED], [0], [0]]
    assert track(Tracker(COCO_17, TrackingConfig(hits=1)), person()) == [[0]]


def test_states_and_velocities_follow_the_person() -> None:
    tracker = Tracker(COCO_17, QUICK)
    results = [tracker.update(person(300 + 5 * i), 5 + i / 10) for i in range(30)]
    assert results[0].states.tolist() == [TrackState.NEW] and np.isnan(results[0].velocities).all()
    assert results[1].states.tolist() == [TrackState.TRACKED]
    assert np.allclose(results[-1].velocities, [[50, 0]], atol=3)


def test_the_people_stay_in_their_order() -> None:
    tracker, a, b = Tracker(COCO_17, QUICK), person(100), person(500)
    assert track(tracker, together(a, b), together(a, b), together(b, a)) == [[-1, -1], [0, 1], [1, 0]]


def test_ids_are_never_used_again() -> None:
    tracker = Tracker(COCO_17, TrackingConfig(hits=2, lost_s=0.3))
    assert track(tracker, person(), person())[-1] == [0]
    tracker.reset()
    assert track(tracker, person(), person(), start_s=20)[-1] == [1]


@pytest.mark.parametrize(("gap_s", "expected"), [(1.0, 0), (2.0, 1)])
def test_a_person_keeps_the_id_over_a_short_gap(gap_s: float, expected: int) -> None:
    tracker = Tracker(COCO_17, TrackingConfig(hits=2, lost_s=1.5))
    track(tracker, *[person()] * 5)
    nobody = [People.empty(17)] * round(10 * gap_s - 1)
    assert track(tracker, *nobody, person(), person(), start_s=5.5)[-1] == [expected]


def test_the_gap_may_also_be_one_of_images() -> None:
    tracker = Tracker(COCO_17, QUICK)
    track(tracker, *[person()] * 5)
    assert track(tracker, person(), start_s=6.2) == [[0]]
    assert track(tracker, person(), start_s=60) == [[-1]]


def test_a_clock_that_goes_back_starts_anew() -> None:
    tracker = Tracker(COCO_17, QUICK)
    track(tracker, *[person()] * 5)
    assert track(tracker, person(), person(), start_s=1) == [[-1], [1]]
    assert track(tracker, person(), person(), start_s=1.2)[-1] == [1]


def test_images_out_of_order_do_not_lose_people() -> None:
    tracker = Tracker(COCO_17, QUICK)
    stamps = [5.0, 5.1, 5.3, 5.2, 5.2, 5.4]
    assert [tracker.update(person(), stamp).ids.tolist() for stamp in stamps][1:] == [[0]] * 5


def test_images_without_stamps_are_tracked() -> None:
    tracker = Tracker(COCO_17, QUICK)
    results = [tracker.update(person(300 + 3 * i), 0.0) for i in range(40)]
    assert results[-1].ids.tolist() == [0]
    assert np.allclose(results[-1].velocities, [[90, 0]], atol=5)
    for _ in range(60):
        tracker.update(People.empty(17), 0.0)
    assert tracker.update(person(420), 0.0).ids.tolist() == [-1]


def test_weak_detections_continue_tracks_and_start_none() -> None:
    tracker, weak = Tracker(COCO_17, QUICK), person(score=0.1)
    assert track(tracker, *[weak] * 3) == [[-1]] * 3
    assert track(tracker, person(), person(), weak, weak, start_s=6) == [[-1], [0], [0], [0]]


def test_a_second_detection_of_a_person_starts_no_track() -> None:
    tracker = Tracker(COCO_17, QUICK)
    assert track(tracker, *[together(person(), person(303, score=0.7))] * 4)[-1] == [0, -1]


def test_people_who_pass_each_other_keep_their_ids() -> None:
    """The nearer person hides the other one for half a second."""
    tracker, ids = Tracker(COCO_17, QUICK), []
    for i in range(41):
        near, far = person(200 + 10 * i, 100, 220), person(600 - 10 * i, 110, 180)
        is_hidden = abs(i - 20) < 3
        ids.append(tracker.update(near if is_hidden else together(near, far), 5 + i / 10).ids.tolist())
    assert ids[1] == [0, 1] and ids[-1] == [0, 1]


def test_a_half_hidden_person_does_not_seem_to_move() -> None:
    tracker, upper = Tracker(COCO_17, QUICK), person()
    scores = upper.scores * (np.arange(17) < 11)
    upper = People(np.where(scores[..., None] > 0, upper.keypoints, 0), scores, upper.person_scores)
    results = [tracker.update(p, 5 + i / 10) for i, p in enumerate([person()] * 5 + [upper] * 5 + [person()] * 5)]
    assert {int(result.ids[0]) for result in results[1:]} == {0}
    assert all(np.abs(result.velocities).max() < 5 for result in results[5:])


def test_lost_people_are_bridged_on_request() -> None:
    tracker = Tracker(COCO_17, TrackingConfig(hits=2, bridge_s=0.25))
    for i in range(20):
        tracker.update(person(300 + 5 * i), 5 + i / 10)
    lost = tracker.update(People.empty(17), 7.0)
    assert lost.ids.tolist() == [0] and lost.states.tolist() == [TrackState.LOST]
    assert np.allclose(lost.keypoints, person(400).keypoints, atol=4)
    assert lost.scores.min() > 0 and lost.person_scores[0] == pytest.approx(0.8)
    tracker.update(People.empty(17), 7.1)
    assert len(tracker.update(People.empty(17), 7.2)) == 0
    assert track(tracker, person(415), start_s=7.3) == [[0]]


def test_the_motion_of_the_camera_is_compensated() -> None:
    def run(with_motion: bool) -> list[int]:
        tracker = Tracker(COCO_17, QUICK)
        for i in range(20):
            shift = 90 * (i % 2)  # the image jumps by the distance of the people
            people = together(person(200 + shift), person(290 + shift), person(380 + shift))
            step = np.array([[1, 0, 90 if i % 2 else -90], [0, 1, 0]], float)
            people = tracker.update(people, 5 + i / 10, step if with_motion else None)
        return people.ids.tolist()

    assert run(with_motion=True) == [0, 1, 2]
    assert run(with_motion=False) != [0, 1, 2]


def test_masks_and_other_values_stay_with_the_people() -> None:
    people = replace(together(person(100), person(500)), masks=np.arange(2 * 4).reshape(2, 2, 2) > 3)
    assert np.array_equal(Tracker(COCO_17, QUICK).update(people, 5.0).masks, people.masks)


def test_single_keypoints_and_empty_people_are_no_error() -> None:
    tracker, scores = Tracker(COCO_17, QUICK), np.zeros((2, 17), np.float32)
    scores[0, 3] = 0.5
    people = People(np.where(scores[..., None] > 0, (50.0, 50.0), 0.0), scores, np.array([0.5, 0.9]))
    assert track(tracker, *[people] * 4, rate_hz=10)[-1] == [0, -1]
