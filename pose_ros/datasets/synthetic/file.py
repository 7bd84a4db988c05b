"""Synthetic scenes as pictures and labels in COCO's form, for other programs and for measuring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray
from pose_ros.datasets.labels_file import HIDDEN, VISIBLE, LabelFile
from pose_ros.datasets.synthetic.scene import SyntheticScene
from pose_ros.media.results import write_image
from pose_ros.skeleton import Skeleton


def write_scenes(folder: Path, scenes: Iterable[SyntheticScene], skeleton: Skeleton) -> int:
    """Write ``images/000001.png``, … and, at the end, ``labels.json``. Returns the number of people.

    Args:
        folder: Where to; it is made where it is missing.
        scenes: What to write.
        skeleton: Of the scenes.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels, people = LabelFile(folder / "labels.json", skeleton), 0
    for number, scene in enumerate(scenes, start=1):
        name, found = f"images/{number:06d}.png", list(entries(scene))
        write_image(folder / name, scene.image_bgr)
        labels.add(name, scene.camera.size_wh, found)
        people += len(found)
    labels.close()
    return people


def entries(scene: SyntheticScene) -> Iterator[dict[str, Any]]:
    """What COCO asks about everybody of whom something is to be seen, outlines included.

    Keypoints that are hidden in the picture are marked so; those outside it, and those that no figure has, are not
    labelled.
    """
    marks = np.where(scene.visible, VISIBLE, np.where(scene.inside, HIDDEN, 0))
    xy = np.where(marks[..., None] > 0, scene.keypoints_px, 0).astype(float).round(2)
    for n in np.flatnonzero(scene.visible.any(axis=1)):
        mask = scene.masks[n]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        corner = int(columns[0]), int(rows[0])
        triples = [(*place, mark) for place, mark in zip(xy[n].tolist(), marks[n].tolist(), strict=True)]
        yield {
            "keypoints": [number for triple in triples for number in triple],
            "num_keypoints": int((marks[n] > 0).sum()),
            "bbox": [*corner, int(columns[-1]) + 1 - corner[0], int(rows[-1]) + 1 - corner[1]],
            "area": int(mask.sum()),
            "segmentation": run_lengths(mask),
        }


def run_lengths(mask: BoolArray) -> dict[str, Any]:
    """COCO's uncompressed form of a mask (H, W): runs of outside and inside by turns, down the columns."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff([0, *changes, mask.size]).tolist()}
