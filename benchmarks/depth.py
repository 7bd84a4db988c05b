"""Measure the lifting of people to metres on a 1280 x 720 depth image, with one thread, and its errors.

The depth images are synthetic scenes, measured by a sensor whose noise grows with the square of the distance, with
holes and flying pixels at edges. The keypoints have errors of 1 % of the height of the person.

    python benchmarks/depth.py                     time and errors
    python benchmarks/depth.py docs/3d_error.png   also draw the errors over the distance
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from measure import median_ms, print_table
from scene_depth import measure_scene

from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.lifting import Lifter
from pose_ros.media.depth_images import decode_depth
from pose_ros.people import People
from pose_ros.skeleton import OPENPOSE_18

SIZE_WH = (1280, 720)
LIMITS_MS = {1: None, 5: None, 20: 0.7}
LIMITS_CM = {3: 2.0, 6: 5.0}
"""Largest median error by distance, m."""
BINS_M = (1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 8.0)
DISTORTED = (-0.05, 0.01, 1e-4, -1e-4, 0.0, 0.0, 0.0, 0.0)


def time_rows() -> list[tuple[str, ...]]:
    """Measure the time of lifting by number of people, of a distorted camera, and of decoding."""
    rows = []
    for people, limit in LIMITS_MS.items():
        view, _, depth_m, camera = measure_scene(3, people, SIZE_WH)
        everyone = People(view.keypoints_px, np.ones(view.visible.shape, np.float32), np.ones(people, np.float32))
        cameras = {"": camera, ", distorted": CameraModel(SIZE_WH, camera.k, DISTORTED)}
        for name, camera in cameras.items():
            time = median_ms(partial(Lifter(OPENPOSE_18), everyone, depth_m, camera), 500)
            rows.append((f"lift {people} x 18 keypoints{name}", f"{time:.3f}", f"{limit or ''}"))
    millimetres = np.nan_to_num(1000 * depth_m).astype(np.uint16)
    raw = {"height": SIZE_WH[1], "width": SIZE_WH[0], "is_bigendian": 0}
    for encoding, array in (("16UC1", millimetres), ("32FC1", depth_m)):
        message = SimpleNamespace(encoding=encoding, step=array.strides[0], data=array.tobytes(), **raw)
        rows.append((f"decode {encoding}", f"{median_ms(partial(decode_depth, message)):.3f}", ""))
    return rows


def errors(scenes: int) -> np.ndarray:
    """Return distance, error along the axis, its standard deviation and whether the keypoint is visible, (M, 4)."""
    lifter, found = Lifter(OPENPOSE_18), []
    for seed in range(scenes):
        view, labels, depth_m, camera = measure_scene(seed, 4, SIZE_WH)
        lifted = lifter(labels, depth_m, camera)
        truth, shown = view.keypoints_3d_m, labels.visible
        error = lifted.keypoints_m[..., 2] - truth[..., 2]
        found.append(np.stack([truth[..., 2], error, lifted.sigmas_m, view.visible], axis=2)[shown])
    return np.concatenate(found)


def error_rows(found: np.ndarray) -> list[tuple[str, ...]]:
    """Return the errors of visible keypoints by distance."""
    rows = []
    for low, high in pairwise(BINS_M):
        inside = found[(found[:, 0] >= low) & (found[:, 0] < high) & (found[:, 3] > 0)]
        known = inside[np.isfinite(inside[:, 1])]
        if not len(known):
            continue
        absolute = 100 * np.abs(known[:, 1])
        limit = next((f"{cm:.0f}" for metres, cm in LIMITS_CM.items() if low <= metres < high), "")
        rows.append(
            (
                f"{(low + high) / 2:.1f}",
                f"{len(inside)}",
                f"{np.median(absolute):.1f}",
                limit,
                f"{np.quantile(absolute, 0.9):.1f}",
                f"{100 * np.quantile(known[:, 2], 0.5):.1f}",
                f"{100 * (1 - len(known) / len(inside)):.0f} %",
            )
        )
    return rows


def draw_errors(found: np.ndarray, path: Path) -> None:
    """Draw the errors of visible keypoints over the distance."""
    from matplotlib.figure import Figure

    known = found[np.isfinite(found[:, 1]) & (found[:, 3] > 0)]
    figure = Figure((7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.scatter(known[:, 0], 100 * np.abs(known[:, 1]), s=6, alpha=0.35, label="visible keypoint", color="tab:blue")
    centres, medians, tenths = [], [], []
    for low, high in pairwise(BINS_M):
        inside = known[(known[:, 0] >= low) & (known[:, 0] < high)]
        if len(inside) > 20:
            centres.append(np.median(inside[:, 0]))
            medians.append(100 * np.median(np.abs(inside[:, 1])))
            tenths.append(100 * np.quantile(np.abs(inside[:, 1]), 0.9))
    axes.plot(centres, medians, "o-", color="tab:orange", label="median")
    axes.plot(centres, tenths, "s--", color="tab:red", label="90 %")
    axes.plot(list(LIMITS_CM), list(LIMITS_CM.values()), "kv", label="limit of the median")
    axes.set(xlabel="distance, m", ylabel="error along the axis, cm", ylim=(0, 20), xlim=(BINS_M[0], BINS_M[-1]))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure time and errors, and print the tables."""
    cv2.setNumThreads(1)
    print_table(
        "Lifting and decoding, 1280 x 720, one thread, medians", ("what", "measured, ms", "limit, ms"), time_rows()
    )
    found = errors(scenes=30)
    columns = ("distance, m", "keypoints", "median, cm", "limit, cm", "90 %, cm", "sigma, cm", "unknown")
    print_table("Error of visible keypoints along the optical axis", columns, error_rows(found))
    known = found[np.isfinite(found[:, 1])]
    print(f"keypoints more than 0.3 m behind the truth: {(known[:, 1] > 0.3).sum()} of {len(known)}, hidden ones too")
    print(f"visible ones more than 0.3 m before the truth: {(known[known[:, 3] > 0, 1] < -0.3).sum()}")
    share = np.mean(np.abs(known[known[:, 3] > 0, 1]) < known[known[:, 3] > 0, 2])
    print(f"visible keypoints within one standard deviation: {100 * share:.0f} %")
    if len(sys.argv) > 1:
        draw_errors(found, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
