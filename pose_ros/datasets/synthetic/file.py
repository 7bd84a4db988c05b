"""Write synthetic scenes as image files and COCO labels, for other programs and for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray
from pose_ros.datasets.labels_file import HIDDEN, VISIBLE, LabelFile
from pose_ros.datasets.synthetic.scene import SyntheticScene
from pose_ros.files import atomic_folder
from pose_ros.media.results import write_image
from pose_ros.skeleton import Skeleton


def _check_new(folder: Path) -> None:
    """Check that a folder has no data set, which would be lost.

    Raises:
        FileExistsError: If it has ``labels.json`` or ``images``.
    """
    found = [name for name in ("labels.json", "images") if (folder / name).exists()]
    if found:
        raise FileExistsError(
            f"folder: expected no {found[0]} in {folder}, got one; give another folder, or remove it first"
        )


def write_scenes(folder: Path, scenes: Iterable[SyntheticScene], skeleton: Skeleton) -> int:
    """Write ``images/000001.png``, … and ``labels.json``.

    All files appear at the end.

    Args:
        folder: Output folder without a data set, created if missing.
        scenes: Scenes to write.
        skeleton: Skeleton of the scenes.

    Returns:
        Number of people in all scenes.

    Raises:
        FileExistsError: If the folder has a data set.
        OSError: If a file cannot be written.
    """
    _check_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    labels, people = LabelFile(folder / "labels.json", skeleton), 0
    with atomic_folder(folder / "images") as draft:
        for number, scene in enumerate(scenes, start=1):
            name, found = f"{number:06d}.png", list(to_annotations(scene))
            write_image(draft / name, scene.image_bgr)
            labels.add(f"images/{name}", scene.camera.size_wh, found)
            people += len(found)
    labels.close()
    return people


def to_annotations(scene: SyntheticScene) -> Iterator[dict[str, Any]]:
    """Convert each person with a visible keypoint to a COCO annotation with an outline.

    Keypoints that are hidden inside the image get the flag HIDDEN. Keypoints outside the image, and keypoints that
    the synthetic body does not have, are not labelled.
    """
    flags = np.where(scene.visible, VISIBLE, np.where(scene.inside, HIDDEN, 0))
    xy = np.where(flags[..., None] > 0, scene.keypoints_px, 0).astype(float).round(2)
    for n in np.flatnonzero(scene.visible.any(axis=1)):
        mask = scene.masks[n]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        corner = int(columns[0]), int(rows[0])
        triples = [(*point, flag) for point, flag in zip(xy[n].tolist(), flags[n].tolist(), strict=True)]
        yield {
            "keypoints": [number for triple in triples for number in triple],
            "num_keypoints": int((flags[n] > 0).sum()),
            "bbox": [*corner, int(columns[-1]) + 1 - corner[0], int(rows[-1]) + 1 - corner[1]],
            "area": int(mask.sum()),
            "segmentation": encode_run_lengths(mask),
        }


def encode_run_lengths(mask: BoolArray) -> dict[str, Any]:
    """Encode a mask (H, W) as uncompressed COCO run lengths: alternating runs outside and inside, column by column."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff([0, *changes, mask.size]).tolist()}
