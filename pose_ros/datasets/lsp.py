"""Leeds Sports Pose and its extension: one labelled person in each picture, 14 keypoints, no face.

References:
    Johnson and Everingham, Clustered Pose and Nonlinear Appearance Models, BMVC 2010 (LSP);
    Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011 (LSP extended).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.datasets.images import HEAD_SEGMENT, AnnotatedImage, Problems, labelled_keypoints
from pose_ros.datasets.labels import boxes_around, keypoint_names, onto, spans
from pose_ros.datasets.sample import LABELLED
from pose_ros.skeleton import Skeleton

LSP_NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
"""The keypoints in their order; their neck lies above the shoulders, at the chin."""

_LSP_IMAGES = 2000  # the set that counts what is hidden, not what is visible


def read_lsp(
    labels: Path, images: Path, skeleton: Skeleton, *, alone: bool = True, strict: bool = True
) -> list[AnnotatedImage]:
    """Read the labels of either set.

    Args:
        labels: The publisher's ``joints.mat``, or ``.npz`` with ``names`` (M,), ``joints`` (M, 14, 3) x, y, visible
            and perhaps ``order`` (14,).
        images: Folder of the images.
        skeleton: Wanted skeleton.
        alone: Whether there are people without labels: there are.
        strict: Raise on the first bad entry; otherwise leave it out and warn at the end.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it is a ``.mat`` and scipy is missing.
        ValueError: If it has another form, or, if strict, an entry is bad or an image missing.
    """
    if not labels.is_file():
        raise FileNotFoundError(f"labels: expected joints.mat or a .npz file, got {labels}, which does not exist")
    files, joints, order = _from_npz(labels) if labels.suffix == ".npz" else _from_mat(labels)
    if joints.shape != (len(files), len(order), 3):
        raise ValueError(f"labels {labels}: expected joints ({len(files)}, {len(order)}, 3), got {joints.shape}")
    names = keypoint_names(order)
    with Problems(str(labels), strict) as problems:
        people = zip(files, joints, strict=True)
        return problems.every(_picture, ((images / file, person, names, skeleton, alone) for file, person in people))


def load_mat(file: Path) -> dict[str, Any]:
    """The content of a MATLAB file.

    Raises:
        ImportError: If scipy is missing.
        ValueError: If it cannot be read.
    """
    try:
        matlab = import_module("scipy.io")
    except ImportError as error:
        raise ImportError(f"labels {file}: expected scipy to read it, which is missing: pip install scipy") from error
    try:
        content: dict[str, Any] = matlab.loadmat(file, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises whatever comes up in a damaged file
        raise ValueError(f"labels {file}: expected a MATLAB file, got {error}") from error
    return content


def _from_npz(file: Path) -> tuple[Sequence[str], FloatArray, Sequence[str]]:
    try:
        with np.load(file) as data:
            order = data["order"].tolist() if "order" in data else LSP_NAMES
            return data["names"].tolist(), data["joints"].astype(np.float32), order
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"labels {file}: expected .npz with names and joints, got {error}") from error


def _from_mat(file: Path) -> tuple[Sequence[str], FloatArray, Sequence[str]]:
    joints = np.asarray(load_mat(file).get("joints", ()), np.float32)
    if joints.ndim != 3 or sorted(joints.shape[:2]) != [3, 14]:
        raise ValueError(f"labels {file}: expected joints (14, 3, M) or (3, 14, M), got {joints.shape}")
    if joints.shape[0] == 3:  # LSP: all are labelled, the third number says which are hidden
        joints = joints.transpose(2, 1, 0).copy()
        joints[..., 2] = 1
    else:
        joints = joints.transpose(2, 0, 1)
    digits = 4 if len(joints) == _LSP_IMAGES else 5
    return [f"im{number:0{digits}d}.jpg" for number in range(1, len(joints) + 1)], joints, LSP_NAMES


def _picture(file: Path, joints: FloatArray, names: tuple[str, ...], skeleton: Skeleton, alone: bool) -> AnnotatedImage:
    keypoints, states = labelled_keypoints(file, joints[None, :, :2], joints[None, :, 2] > 0)
    heads = {HEAD_SEGMENT: spans(keypoints, states == LABELLED, names, ("head_top", "neck"))}
    labels, boxes = onto(keypoints, states, names, skeleton), boxes_around(keypoints, states)
    return AnnotatedImage(file, *labels, boxes, alone=alone, lengths_px=heads)
