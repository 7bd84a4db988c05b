"""Write keypoints in metres as TRC, the marker files of OpenSim and biomechanics.

References:
    OpenSim documentation, "Marker (.trc) Files": five lines of header, then frame, time and X Y Z of each marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.files import atomic_write
from pose_ros.skeleton import Skeleton


def to_opensim_axes(points: FloatArray) -> FloatArray:
    """Turn points from the optical frame (x right, y down, z forward) to OpenSim's (X forward, Y up, Z right).

    Args:
        points: (..., 3), m.

    Returns:
        New array of the same shape, m.
    """
    return np.stack([points[..., 2], -points[..., 1], points[..., 0]], axis=-1)


def write_trc(path: Path, times_s: Sequence[float], points: FloatArray, skeleton: Skeleton, rate_hz: float) -> None:
    """Write the keypoints of one person over time.

    Args:
        path: File to write.
        times_s: Time of each frame, seconds, strictly increasing.
        points: (T, K, 3) keypoints of each frame in OpenSim's axes, m. NaN = unknown, which becomes an empty cell.
        skeleton: Names of the keypoints.
        rate_hz: Rate that the header states. The times may be uneven.

    Raises:
        ValueError: If the shapes differ, or the times do not increase.
    """
    points = np.asarray(points)
    if points.shape != (len(times_s), len(skeleton), 3):
        raise ValueError(f"points: expected shape {(len(times_s), len(skeleton), 3)}, got {points.shape}")
    if not (np.diff(times_s) > 0).all():
        raise ValueError("times_s: expected increasing times, got others")
    names = skeleton.keypoint_names
    header = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate_hz:g}\t{rate_hz:g}\t{len(times_s)}\t{len(names)}\tm\t{rate_hz:g}\t1\t{len(times_s)}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    rows = [
        "\t".join([str(number), f"{time_s:.6f}", *("" if np.isnan(v) else f"{v:.5f}" for v in frame.ravel())])
        for number, (time_s, frame) in enumerate(zip(times_s, points, strict=True), 1)
    ]
    with atomic_write(path) as unfinished:
        unfinished.write_text("\n".join([*header, *rows]) + "\n", encoding="utf-8")
