"""Collect the keypoints in metres of each person over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.exchange.stored_people import StoredFrame
from pose_ros.skeleton import Skeleton


@dataclass
class Trajectory:
    """Keypoints of one person, frame by frame.

    Attributes:
        stamps_ns: Time stamp of each frame, nanoseconds.
        points: (K, 3) of each frame in the frame of the recording, m. NaN = unknown.
    """

    stamps_ns: list[int] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)


def collect_trajectories(frames: Iterable[StoredFrame]) -> tuple[dict[int, Trajectory], Skeleton]:
    """Return the trajectory of each id, and the skeleton.

    Between the first and the last frame of a person, frames without this person have unknown keypoints.

    Raises:
        ValueError: If no person has an id and keypoints in metres, or the stamps do not increase.
    """
    found: dict[int, Trajectory] = {}
    skeleton, missed = Skeleton("none", ("none",), ()), dict[int, list[int]]()
    last_ns: int | None = None
    for frame in frames:
        if last_ns is not None and frame.stamp_ns <= last_ns:
            raise ValueError(f"stamp_ns: expected increasing stamps, got {frame.stamp_ns} after {last_ns}")
        last_ns, skeleton = frame.stamp_ns, frame.skeleton
        points = frame.people.keypoints_3d
        seen = {} if points is None else dict(zip(frame.people.ids.tolist(), points, strict=True))
        for number in found.keys() - seen.keys():
            missed[number].append(frame.stamp_ns)
        for number, each in seen.items():
            if number >= 0:
                trajectory = found.setdefault(number, Trajectory())
                _fill(trajectory, missed.setdefault(number, []), len(skeleton))
                trajectory.stamps_ns.append(frame.stamp_ns)
                trajectory.points.append(each)
    if not found:
        raise ValueError(
            "people: expected people with ids and keypoints in metres, got none; run pose_ros video on a bag with "
            "depth, with --depth-topic and --set tracking.enabled=true"
        )
    return found, skeleton


def _fill(trajectory: Trajectory, stamps_ns: list[int], count: int) -> None:
    """Add the frames in which a person was not seen, now that the person is back."""
    trajectory.stamps_ns += stamps_ns
    trajectory.points += [np.full((count, 3), np.nan, np.float32)] * len(stamps_ns)
    stamps_ns.clear()
