"""Measure the ids and the time of tracking on synthetic sequences, next to two published trackers if installed.

The scores are those of TrackEval (IDF1, MOTA, HOTA), or of motmetrics (no HOTA). They count the people that the
detector finds: the share of these people whose ids are right. A box matches at an IoU of 0.5.

    pip install norfair trackers && pip install --no-deps trackeval tabulate
    python benchmarks/tracking.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scene_tracking
from measure import print_table
from scene_tracking import Frame

from pose_ros.arrays import AnyArray
from pose_ros.config import SmoothingConfig
from pose_ros.people import People
from pose_ros.similarity import box_iou
from pose_ros.skeleton import OPENPOSE_18
from pose_ros.tracking.smoothing import Smoother, smooth_people
from pose_ros.tracking.tracker import Tracker

Answer = tuple[AnyArray, AnyArray]
"""Ids (N,) and boxes (N, 4)."""

SEEDS = range(4)
NOISES: dict[str, dict[str, float]] = {
    "5 % per keypoint": {"jitter": 0.05},
    "5 % per person, 2 % per keypoint": {"jitter": 0.02, "shift": 0.05},
    "1.5 % per keypoint, 1 % per person": {"jitter": 0.015, "shift": 0.01},
}
SCENES = {"5 people, 30 Hz": (5, 30, 300), "20 people, 15 Hz": (20, 15, 300), "20 people, 8 Hz": (20, 8, 240)}


def use_ours() -> Callable[[Frame], Answer]:
    """Return a function that tracks the people of a frame with this library, smoothing included."""
    tracker, smoother = Tracker(OPENPOSE_18), Smoother(len(OPENPOSE_18), SmoothingConfig(enabled=True))

    def track(frame: Frame) -> Answer:
        people = smooth_people(smoother, tracker.update(frame.people, frame.stamp_s), frame.stamp_s)
        has_id = people.ids >= 0
        return people.ids[has_id], frame.people.boxes()[has_id]

    return track


def use_norfair() -> Callable[[Frame], Answer]:
    """Return the same function of norfair, with box IoU. Only people of this frame are counted."""
    from norfair import Detection
    from norfair import Tracker as Norfair

    tracker = Norfair(distance_function="iou", distance_threshold=0.7)

    def track(frame: Frame) -> Answer:
        detections = [Detection(points=box.reshape(2, 2).astype(float)) for box in frame.people.boxes()]
        known = {id(detection) for detection in detections}
        found = [each for each in tracker.update(detections) if id(each.last_detection) in known]
        boxes = np.array([each.last_detection.points.reshape(4) for each in found])
        return np.array([each.id for each in found], int), boxes.reshape(-1, 4)

    return track


def use_bytetrack() -> Callable[[Frame], Answer]:
    """Return the same function of ByteTrack."""
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker()

    def track(frame: Frame) -> Answer:
        boxes, scores = frame.people.boxes(), frame.people.person_scores
        detections = supervision.Detections(xyxy=boxes, confidence=scores, class_id=np.zeros(len(boxes), int))
        found = tracker.update(detections)
        has_id = found.tracker_id >= 0
        return found.tracker_id[has_id], found.xyxy[has_id]

    return track


TRACKERS = {"pose_ros": use_ours, "norfair": use_norfair, "ByteTrack": use_bytetrack}


def evaluate(track: Callable[[Frame], Answer], frames: Sequence[Frame]) -> tuple[dict[str, float], float]:
    """Return the scores of a tracker on a sequence, and its median time per frame, ms."""
    true_ids, ids, similarities, times = [], [], [], []
    for frame in frames:
        start = time.perf_counter()
        found, boxes = track(frame)
        times.append(time.perf_counter() - start)
        is_real = frame.owners >= 0
        true_ids.append(frame.owners[is_real])
        ids.append(found)
        similarities.append(box_iou(frame.people.boxes()[is_real], boxes))
    try:
        scores = _score_with_trackeval(true_ids, ids, similarities)
    except ImportError:
        scores = _score_with_motmetrics(true_ids, ids, similarities)
    return scores, 1e3 * float(np.median(times))


def _score_with_trackeval(true_ids: Any, ids: Any, similarities: Any) -> dict[str, float]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    def renumber(lists: Any) -> tuple[list[AnyArray], int]:
        values, inverse = np.unique(np.concatenate(lists), return_inverse=True)
        return np.split(inverse, np.cumsum([len(each) for each in lists])[:-1]), len(values)

    (real, real_count), (found, found_count) = renumber(true_ids), renumber(ids)
    data = {
        "gt_ids": real,
        "tracker_ids": found,
        "similarity_scores": similarities,
        "num_timesteps": len(real),
        "num_gt_ids": real_count,
        "num_tracker_ids": found_count,
        "num_gt_dets": sum(map(len, real)),
        "num_tracker_dets": sum(map(len, found)),
    }
    options = {"THRESHOLD": 0.5, "PRINT_CONFIG": False}
    clear = CLEAR(options).eval_sequence(data)
    return {
        "IDF1": float(Identity(options).eval_sequence(data)["IDF1"]),
        "MOTA": float(clear["MOTA"]),
        "HOTA": float(HOTA().eval_sequence(data)["HOTA"].mean()),
    }


def _score_with_motmetrics(true_ids: Any, ids: Any, similarities: Any) -> dict[str, float]:
    import motmetrics

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for real, found, similarity in zip(true_ids, ids, similarities, strict=True):
        accumulator.update(real, found, np.where(similarity >= 0.5, 1 - similarity, np.nan))
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "mota"]).iloc[0]
    return {"IDF1": float(summary["idf1"]), "MOTA": float(summary["mota"])}


def installed_trackers() -> dict[str, Any]:
    """Return the trackers whose packages are installed."""
    result = {}
    for name, make in TRACKERS.items():
        try:
            make()
        except ImportError:
            print(f"{name}: not installed")
            continue
        result[name] = make
    return result


def measure_scores(trackers: dict[str, Any]) -> list[list[str]]:
    """Return a row per scene and tracker: mean scores over the seeds, and the time."""
    rows = []
    for noise, errors in NOISES.items():
        for scene, (people, rate_hz, count) in SCENES.items():
            sequences = [
                list(scene_tracking.play(scene_tracking.Sequence(people, rate_hz, count, seed, **errors)))
                for seed in SEEDS
            ]
            for name, make in trackers.items():
                results = [evaluate(make(), frames) for frames in sequences]
                scores = {key: np.mean([each[key] for each, _ in results]) for key in results[0][0]}
                texts = [f"{scores[key]:.3f}" if key in scores else "" for key in ("IDF1", "MOTA", "HOTA")]
                rows.append([noise, scene, name, *texts, f"{np.median([ms for _, ms in results]):.2f}"])
    return rows


def measure_times(frames: Sequence[Frame]) -> list[list[str]]:
    """Return the median time of tracking, and of tracking and smoothing, ms. The limit is 0.3 ms for both."""
    tracker, smoother = Tracker(OPENPOSE_18), Smoother(len(OPENPOSE_18), SmoothingConfig(enabled=True))
    tracking, both = [], []
    for frame in frames:
        start = time.perf_counter()
        people: People = tracker.update(frame.people, frame.stamp_s)
        tracked = time.perf_counter()
        smooth_people(smoother, people, frame.stamp_s)
        tracking.append(tracked - start)
        both.append(time.perf_counter() - start)
    return [
        ["tracking", f"{1e3 * np.median(tracking):.3f}", ""],
        ["tracking and smoothing", f"{1e3 * np.median(both):.3f}", "0.300"],
    ]


def main() -> None:
    """Print both tables."""
    columns = ("noise", "scene", "tracker", "IDF1", "MOTA", "HOTA", "ms")
    print_table("Ids of synthetic people", columns, measure_scores(installed_trackers()))
    crowd = list(scene_tracking.play(scene_tracking.Sequence(22, 30, 400, missed=0.0, false_people=0.0)))
    people = np.mean([len(frame.people) for frame in crowd])
    print_table(f"Time of {people:.0f} people of 18 keypoints", ("stage", "ms", "limit"), measure_times(crowd))


if __name__ == "__main__":
    main()
