"""Measure how many heads ``overlay.anonymise`` covers on labelled images, alone and by size.

A head counts as covered if all its visible face keypoints (nose, eyes, ears) lie in a covered circle. Single images are
the hard case: in a video, the memory of the heads helps.

    python benchmarks/heads.py [--images ../shared/images/coco_val] [--margins 1.0 1.6]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.config import EstimatorConfig, OverlayConfig, PreprocessConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.anonymise import Plane, cover_heads
from pose_ros.media.decoding import read_image
from pose_ros.media.heads import find_heads
from pose_ros.people import People

FACE = 5
"""The first keypoints of COCO: nose, eyes and ears."""
SIZES_PX = (0, 16, 32, 64, 10_000)
"""Limits of the head size: the longest distance of face keypoints, times 1.6."""


def labelled_heads(labels: dict[str, Any]) -> dict[int, list[np.ndarray]]:
    """Return the visible face keypoints of each labelled person, (K, 2), by image."""
    heads = defaultdict(list)
    for entry in labels["annotations"]:
        face = np.array(entry["keypoints"], float).reshape(-1, 3)[:FACE]
        visible = face[face[:, 2] == 2, :2]
        if len(visible) >= 2 and not entry.get("iscrowd"):
            heads[entry["image_id"]].append(visible)
    return heads


def is_covered(face: np.ndarray, circles: np.ndarray) -> bool:
    """Whether all keypoints of a face lie in circles."""
    distances = np.linalg.norm(face[:, None] - circles[None, :, :2], axis=2)
    return bool((distances <= circles[None, :, 2]).any(axis=1).all()) if len(circles) else False


def head_size_px(face: np.ndarray) -> float:
    """Estimate the size of a head from its visible keypoints."""
    return 1.6 * float(np.linalg.norm(face[:, None] - face[None], axis=2).max())


def covered_share(circles: np.ndarray, size_wh: tuple[int, int]) -> float:
    """Return the share of an image that is covered."""
    plane = np.full(size_wh[::-1], 255, np.uint8)
    cover_heads(Plane(plane), circles, "black")
    return float((plane == 0).mean())


def report(
    found: dict[int, People], heads: dict[int, list[np.ndarray]], sizes: dict[int, Any], skeleton: Any, margin: float
) -> str:
    """Return a line of the table."""
    shares = []
    covered, total = np.zeros(len(SIZES_PX) - 1), np.zeros(len(SIZES_PX) - 1)
    for image, faces in heads.items():
        circles = find_heads(found[image], skeleton, margin)
        shares.append(covered_share(circles, sizes[image]))
        for face in faces:
            size = int(np.searchsorted(SIZES_PX, head_size_px(face), "right")) - 1
            total[size] += 1
            covered[size] += is_covered(face, circles)
    by_size = " | ".join(f"{c:.0f} of {t:.0f} ({c / max(t, 1):.0%})" for c, t in zip(covered, total, strict=True))
    in_all = f"{covered.sum():.0f} of {total.sum():.0f} ({covered.sum() / total.sum():.1%})"
    return f"| {margin} | {np.median(shares):.1%}, {np.mean(shares):.1%} | {in_all} | {by_size} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=Path("../shared/images/coco_val"))
    parser.add_argument("--model", type=Path, help="Default: the model of this package.")
    parser.add_argument("--short-side", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--margins", type=float, nargs="+", default=[1.0, 1.3, OverlayConfig().head_margin, 2.0])
    options = parser.parse_args()
    labels = json.loads((options.images / "person_keypoints.json").read_text(encoding="utf-8"))
    heads = labelled_heads(labels)
    files = {entry["id"]: entry["file_name"] for entry in labels["images"]}
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in labels["images"]}
    config = EstimatorConfig(
        preprocess=PreprocessConfig(short_side=options.short_side), runtime=RuntimeConfig(threads=options.threads)
    )
    with closing(PoseEstimator.load(options.model, config=config)) as estimator:
        found = {image: estimator.estimate(read_image(next(options.images.rglob(files[image])))) for image in heads}
    named = [f"{low} to {high} px" for low, high in pairwise(SIZES_PX)]
    print(f"{estimator.model_name}, {len(found)} images, {sum(map(len, heads.values()))} heads")
    print(f"| margin | covered share of the image: median, mean | all heads | {' | '.join(named)} |")
    print("|---|---|---|" + "---|" * len(named))
    for margin in options.margins:
        print(report(found, heads, sizes, estimator.skeleton, margin))


if __name__ == "__main__":
    main()
