"""MPII Human Pose: the publisher's ``.mat`` file, or its people as a JSON list.

References:
    Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.datasets.images import HEAD_BOX, AnnotatedImage, Problems, labelled_keypoints
from pose_ros.datasets.labels import boxes_around, onto
from pose_ros.datasets.lsp import load_mat
from pose_ros.datasets.regions import Region
from pose_ros.skeleton import Skeleton

MPII_NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax"),
    *("upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
"""The keypoints by their numbers."""

_PERSON_PX = 200.0
"""Height of a person of scale 1."""
_HEAD_SHARE = 0.6
"""Of the diagonal of a head's box: SC_BIAS in util_get_head_size.m of the publisher's evaluation."""


def read_mpii(
    labels: Path, images: Path, skeleton: Skeleton, *, alone: bool = False, strict: bool = True
) -> list[AnnotatedImage]:
    """Read the people of the training pictures. Those without keypoints become ignored areas.

    Args:
        labels: ``mpii_human_pose_v1_u12_1.mat``, or a JSON list of people with ``image``, ``joints`` (16, 2),
            ``joints_vis`` (16,), and perhaps ``center``, ``scale`` and ``head_box`` x1, y1, x2, y2.
        images: Folder of the images.
        skeleton: Wanted skeleton.
        alone: Whether there are people without labels.
        strict: Raise on the first bad entry; otherwise leave it out and warn at the end.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it is a ``.mat`` and scipy is missing.
        ValueError: If it has another form, or, if strict, an entry is bad or an image missing.
    """
    if not labels.is_file():
        raise FileNotFoundError(f"labels: expected an MPII file, got {labels}, which does not exist")
    people = _from_mat(labels) if labels.suffix == ".mat" else _from_json(labels)
    with Problems(str(labels), strict) as problems:
        return problems.every(_picture, ((images / file, found, skeleton, alone) for file, found in people.items()))


def _from_json(file: Path) -> dict[str, list[Mapping[str, Any]]]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"labels {file}: expected JSON, got {error}") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) and "image" in entry for entry in content):
        raise ValueError(f"labels {file}: expected a list of people with image, joints and joints_vis")
    of_image = defaultdict(list)
    for entry in content:
        of_image[entry["image"]].append(entry)
    return of_image


def _from_mat(file: Path) -> dict[str, list[Mapping[str, Any]]]:
    release = load_mat(file).get("RELEASE")
    if release is None:
        raise ValueError(f"labels {file}: expected the structure RELEASE, got none")
    pictures = zip(np.atleast_1d(release.annolist), np.ravel(release.img_train), strict=True)
    return {str(picture.image.name): list(_people(picture)) for picture, is_training in pictures if is_training}


def _people(picture: Any) -> Iterator[Mapping[str, Any]]:
    for person in np.atleast_1d(getattr(picture, "annorect", ())):
        joints, visible = np.zeros((len(MPII_NAMES), 2)), np.zeros(len(MPII_NAMES))
        points = getattr(getattr(person, "annopoints", None), "point", ())
        for point in np.atleast_1d(points):
            joints[int(point.id)], visible[int(point.id)] = (point.x, point.y), 1
        entry: dict[str, Any] = {"joints": joints - 1, "joints_vis": visible}  # MATLAB counts pixels from 1
        corners = [getattr(person, name, ()) for name in ("x1", "y1", "x2", "y2")]
        if all(map(np.size, corners)):
            entry["head_box"] = corners
        if np.size(getattr(person, "objpos", ())) and np.size(getattr(person, "scale", ())):
            entry |= {"center": (person.objpos.x, person.objpos.y), "scale": person.scale}
        yield entry


def _picture(file: Path, people: Sequence[Mapping[str, Any]], skeleton: Skeleton, alone: bool) -> AnnotatedImage:
    shape = len(people), len(MPII_NAMES)
    joints: FloatArray = np.array([person["joints"] for person in people], np.float32).reshape(*shape, 2)
    visible = np.array([person["joints_vis"] for person in people], np.float32).reshape(shape) > 0
    keypoints, states = labelled_keypoints(file, joints, visible)
    known = visible.any(axis=1)
    around = [_around(people[int(n)]) for n in np.flatnonzero(~known)]
    ignored = tuple(area for area in around if area is not None)
    labels = onto(keypoints[known], states[known], MPII_NAMES, skeleton)
    boxes = boxes_around(keypoints[known], states[known])
    heads = {HEAD_BOX: np.array([_head_px(person) for person in people], np.float32)[known]}
    return AnnotatedImage(file, *labels, boxes, ignored=ignored, alone=alone, lengths_px=heads)


def _head_px(person: Mapping[str, Any]) -> float:
    """The size of a head as MPII's own evaluation has it; NaN where its box is not labelled."""
    if "head_box" not in person:
        return math.nan
    box = np.array(person["head_box"], np.float32)
    if box.shape != (4,):
        raise ValueError(f"head_box: expected x1, y1, x2, y2, got {person['head_box']}")
    return _HEAD_SHARE * float(np.linalg.norm(box[2:] - box[:2]))


def _around(person: Mapping[str, Any]) -> Region | None:
    if "center" not in person or "scale" not in person:
        return None
    centre, half = np.array(person["center"], np.float32), _PERSON_PX * float(person["scale"]) / 2
    return Region(np.concatenate([centre - half, centre + half]).astype(np.float32))
