"""Read MPII Human Pose: the ``.mat`` file of the publisher, or a JSON list of its people.

References:
    Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.datasets.images import HEAD_BOX, AnnotatedImage, fill_report
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import boxes_around, map_labels
from pose_ros.datasets.mat_file import load_mat
from pose_ros.datasets.numbers import read_numbers
from pose_ros.datasets.problems import Problems, make_labels
from pose_ros.datasets.regions import Region
from pose_ros.json_file import read_json
from pose_ros.skeleton import Skeleton

MPII_NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax"),
    *("upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
"""Keypoint names, indexed by the keypoint ids of the data set."""

_PERSON_PX = 200.0
"""Height of a person of scale 1, px."""
_HEAD_SHARE = 0.6
"""Head size as a fraction of the diagonal of the head's box.

This is SC_BIAS in util_get_head_size.m of the publisher's evaluation.
"""


def read_mpii(
    labels: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    ignore_others: bool = False,
    strict: bool = True,
    report: LabelReport | None = None,
) -> list[AnnotatedImage]:
    """Read the people of the training images. People without keypoints become ignored areas.

    Args:
        labels: ``mpii_human_pose_v1_u12_1.mat``, or a JSON list of people with ``image``, ``joints`` (16, 2),
            ``joints_vis`` (16,), and optionally ``center``, ``scale`` and ``head_box`` x1, y1, x2, y2.
        images: Folder of the images.
        skeleton: Target skeleton.
        ignore_others: See ``AnnotatedImage.ignore_others``.
        strict: Whether the first bad entry raises ValueError. If False, bad entries are skipped with a warning.
        report: Report to fill in.

    Raises:
        FileNotFoundError: If the label file does not exist.
        ImportError: If the label file is a ``.mat`` and scipy is missing.
        ValueError: If the format is wrong, if no person has keypoints, or if ``strict`` and an entry is bad or an
            image is missing.
    """
    if not labels.is_file():
        raise FileNotFoundError(f"labels: expected an MPII .mat or .json file, got {labels}, which does not exist")
    people = _read_mat(labels) if labels.suffix == ".mat" else _read_json(labels)
    report = report or LabelReport(str(labels))
    report.entries = sum(map(len, people.values()))
    with Problems(report, strict) as problems:
        entries = ((images / file, in_image, skeleton, ignore_others) for file, in_image in people.items())
        read = problems.read_all(_annotated_image, entries)
    fill_report(report, read, skeleton)
    return read


def _read_json(file: Path) -> dict[str, list[Mapping[str, Any]]]:
    content = read_json(file, "labels")
    if not isinstance(content, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("image"), str) for entry in content
    ):
        raise ValueError(f"labels {file}: expected a list of people with image, joints and joints_vis, got other JSON")
    by_image = defaultdict(list)
    for entry in content:
        by_image[entry["image"]].append(entry)
    return by_image


def _read_mat(file: Path) -> dict[str, list[Mapping[str, Any]]]:
    release = load_mat(file).get("RELEASE")
    if release is None:
        raise ValueError(f"labels {file}: expected the structure RELEASE, got a file without it")
    entries = zip(np.atleast_1d(release.annolist), np.ravel(release.img_train), strict=True)
    return {str(entry.image.name): list(_read_people(entry)) for entry, is_training in entries if is_training}


def _read_people(image: Any) -> Iterator[Mapping[str, Any]]:
    for person in np.atleast_1d(getattr(image, "annorect", ())):
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


def _annotated_image(
    file: Path, people: Sequence[Mapping[str, Any]], skeleton: Skeleton, ignore_others: bool
) -> AnnotatedImage:
    shape = len(people), len(MPII_NAMES)
    joints: DoubleArray = np.array([person["joints"] for person in people], np.float64).reshape(*shape, 2)
    visible = read_numbers([person["joints_vis"] for person in people], f"image {file.name}: joints_vis", shape) > 0
    keypoints, states = make_labels(file, joints, visible)
    labelled = visible.any(axis=1)
    regions = [_person_region(people[int(n)]) for n in np.flatnonzero(~labelled)]
    ignored = tuple(region for region in regions if region is not None)
    labels = map_labels(keypoints[labelled], states[labelled], MPII_NAMES, skeleton)
    boxes = boxes_around(keypoints[labelled], states[labelled])
    heads = {HEAD_BOX: np.array([_head_size_px(person) for person in people], np.float32)[labelled]}
    return AnnotatedImage(file, *labels, boxes, ignored=ignored, ignore_others=ignore_others, lengths_px=heads)


def _head_size_px(person: Mapping[str, Any]) -> float:
    """Return the size of a head as in the evaluation of MPII, px. NaN without a head box."""
    if "head_box" not in person:
        return math.nan
    if np.shape(person["head_box"]) != (4,):
        raise ValueError(f"head_box: expected [x1, y1, x2, y2], got {person['head_box']}")
    box = read_numbers(person["head_box"], "head_box", (4,))
    return _HEAD_SHARE * float(np.linalg.norm(box[2:] - box[:2]))


def _person_region(person: Mapping[str, Any]) -> Region | None:
    """Return the area of a person from centre and scale. None if one is missing."""
    if "center" not in person or "scale" not in person:
        return None
    centre = read_numbers(person["center"], "center [x, y]", (2,))
    half = _PERSON_PX * read_numbers(person["scale"], "scale", (1,), 0.0) / 2
    return Region(np.concatenate([centre - half, centre + half]).astype(np.float32))
