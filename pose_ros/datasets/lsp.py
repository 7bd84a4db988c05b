"""Read Leeds Sports Pose and its extension: one labelled person per image, 14 keypoints, no face.

References:
    Johnson and Everingham, Clustered Pose and Nonlinear Appearance Models, BMVC 2010 (LSP);
    Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011 (LSP extended).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.datasets.images import HEAD_SEGMENT, AnnotatedImage, fill_report
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import boxes_around, keypoint_distances, map_labels
from pose_ros.datasets.mat_file import load_mat
from pose_ros.datasets.numbers import read_numbers
from pose_ros.datasets.problems import Problems, make_labels
from pose_ros.datasets.sample import LABELLED
from pose_ros.skeleton import Skeleton

LSP_NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
"""Keypoint names in the order of the data set. The neck of LSP is above the shoulders, at the chin."""

_LSP_IMAGES = 2000  # number of images of LSP, whose third number marks hidden keypoints instead of visible ones


def read_lsp(
    labels: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    ignore_others: bool = True,
    strict: bool = True,
    report: LabelReport | None = None,
) -> list[AnnotatedImage]:
    """Read the labels of LSP or LSP extended.

    Args:
        labels: ``joints.mat`` of the publisher, or ``.npz`` with ``names`` (M,), ``joints`` (M, 14, 3) x, y, visible
            and optionally ``order`` (14,).
        images: Folder of the images.
        skeleton: Target skeleton.
        ignore_others: See ``AnnotatedImage.ignore_others``. True by default, as LSP contains people without labels.
        strict: Whether the first bad entry raises ValueError. If False, bad entries are skipped with a warning.
        report: Report to fill in.

    Raises:
        FileNotFoundError: If the label file does not exist.
        ImportError: If the label file is a ``.mat`` and scipy is missing.
        ValueError: If the format is wrong, if no person has keypoints, or if ``strict`` and an entry is bad or an
            image is missing.
    """
    if not labels.is_file():
        raise FileNotFoundError(f"labels: expected a joints.mat or .npz file, got {labels}, which does not exist")
    files, joints, order = _read_npz(labels) if labels.suffix == ".npz" else _read_mat(labels)
    if joints.shape != (len(files), len(order), 3):
        raise ValueError(f"labels {labels}: expected joints ({len(files)}, {len(order)}, 3), got {joints.shape}")
    names, report = normalise_names(order), report or LabelReport(str(labels))
    report.entries = len(files)
    with Problems(report, strict) as problems:
        people = zip(files, joints, strict=True)
        entries = ((images / file, person, names, skeleton, ignore_others) for file, person in people)
        read = problems.read_all(_annotated_image, entries)
    fill_report(report, read, skeleton)
    return read


def _read_npz(file: Path) -> tuple[Sequence[str], FloatArray, Sequence[str]]:
    try:
        with np.load(file) as data:
            order = data["order"].tolist() if "order" in data else LSP_NAMES
            return data["names"].tolist(), data["joints"].astype(np.float32), order
    except Exception as error:  # NumPy and zipfile raise many types of errors for a damaged file
        raise ValueError(f"labels {file}: expected a .npz file with names and joints, got {error!r}") from error


def _read_mat(file: Path) -> tuple[Sequence[str], FloatArray, Sequence[str]]:
    joints = np.asarray(load_mat(file).get("joints", ()), np.float32)
    if joints.ndim != 3 or sorted(joints.shape[:2]) != [3, 14]:
        raise ValueError(f"labels {file}: expected joints (14, 3, M) or (3, 14, M), got {joints.shape}")
    if joints.shape[0] == 3:  # LSP: all keypoints are labelled, the third number marks hidden ones
        joints = joints.transpose(2, 1, 0).copy()
        joints[..., 2] = 1
    else:
        joints = joints.transpose(2, 0, 1)
    digits = 4 if len(joints) == _LSP_IMAGES else 5
    return [f"im{number:0{digits}d}.jpg" for number in range(1, len(joints) + 1)], joints, LSP_NAMES


def _annotated_image(
    file: Path, joints: FloatArray, names: tuple[str, ...], skeleton: Skeleton, ignore_others: bool
) -> AnnotatedImage:
    visible = read_numbers(joints[:, 2], f"image {file.name}: visible", (1, len(names))) > 0
    keypoints, states = make_labels(file, joints[None, :, :2], visible)
    heads = {HEAD_SEGMENT: keypoint_distances(keypoints, states == LABELLED, names, ("head_top", "neck"))}
    labels, boxes = map_labels(keypoints, states, names, skeleton), boxes_around(keypoints, states)
    return AnnotatedImage(file, *labels, boxes, ignore_others=ignore_others, lengths_px=heads)
