"""COCO keypoint files: COCO itself, and CrowdPose, MPII and own sets in its form.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import ByteArray, FloatArray
from pose_ros.datasets.images import AnnotatedImage, Problems, check_keypoints
from pose_ros.datasets.labels import DEFAULT_GATES, Gates, boxes_around, keypoint_names, onto
from pose_ros.datasets.regions import Region, region
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.skeleton import COCO_17, Skeleton

CocoPerson = tuple[FloatArray, ByteArray, Region]


def read_coco(
    labels: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    names: Sequence[str] = (),
    alone: bool = False,
    strict: bool = True,
    gates: Gates = DEFAULT_GATES,
) -> list[AnnotatedImage]:
    """Read a keypoint file. Crowds, and people without keypoints, become ignored areas.

    Labels by a network, which have ``keypoint_scores``, are read by their scores; people of whom it knows little
    become ignored areas too.

    Args:
        labels: The JSON file.
        images: Folder that its ``file_name`` start from.
        skeleton: Wanted skeleton.
        names: Names of the keypoints, where the file's category does not give them.
        alone: Whether there are people without labels.
        strict: Raise on the first bad entry; otherwise leave it out and warn at the end.
        gates: How scores are read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a keypoint file, or, if strict, an entry is bad or an image missing.
    """
    content = load_coco(labels)
    category = person_category(content["categories"], str(labels))
    source = keypoint_names(names or category.get("keypoints", ()) or COCO_17.keypoint_names)
    annotations = by_image(content, category)
    with Problems(str(labels), strict) as problems:
        reader = _CocoReader(images, source, skeleton, alone, gates, problems)
        entries = ((entry, annotations[entry.get("id")]) for entry in content["images"])
        return problems.every(reader.picture, entries)


def by_image(content: Mapping[str, Any], category: Mapping[str, Any]) -> dict[Any, list[Mapping[str, Any]]]:
    """The annotations of a category by their image id."""
    of_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("category_id", category.get("id")) == category.get("id"):
            of_image[annotation.get("image_id")].append(annotation)
    return of_image


def load_coco(file: Path) -> dict[str, Any]:
    """The content of a COCO file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not JSON, or not of that form.
    """
    if not file.is_file():
        raise FileNotFoundError(f"labels: expected a COCO keypoint file, got {file}, which does not exist")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"labels {file}: expected JSON, got {error}") from error
    for part in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise ValueError(f"labels {file}: expected a COCO file with the list {part!r}, got none")
    return content


def person_category(categories: Sequence[Mapping[str, Any]], where: str) -> Mapping[str, Any]:
    """The category of people.

    Raises:
        ValueError: If there is none.
    """
    named = [category for category in categories if category.get("name") == "person"]
    with_keypoints = [category for category in categories if category.get("keypoints")]
    if not named and not with_keypoints:
        raise ValueError(f"labels {where}: expected a category person, or one with keypoints, got none")
    return (named or with_keypoints)[0]


@dataclass(frozen=True)
class _CocoReader:
    images: Path
    source: tuple[str, ...]
    skeleton: Skeleton
    alone: bool
    gates: Gates
    problems: Problems

    def picture(self, entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> AnnotatedImage:
        file = self.images / entry["file_name"]
        if not file.is_file():
            raise ValueError(f"image {entry.get('id')}: expected a file, got {file}, which does not exist")
        size_wh = (int(entry["width"]), int(entry["height"])) if "width" in entry and "height" in entry else None
        people, ignored = self._people(annotations, size_wh)
        count = len(self.source)
        keypoints = np.array([person[0] for person in people], np.float32).reshape(-1, count, 2)
        states = np.array([person[1] for person in people], np.uint8).reshape(-1, count)
        masks = tuple(person[2] for person in people)
        boxes = np.array([mask.box for mask in masks], np.float32).reshape(-1, 4)
        labels = onto(keypoints, states, self.source, self.skeleton)
        return AnnotatedImage(file, *labels, boxes, masks, tuple(ignored), self.alone, size_wh)

    def _people(
        self, annotations: Sequence[Mapping[str, Any]], size_wh: tuple[int, int] | None
    ) -> tuple[list[CocoPerson], list[Region]]:
        people, ignored = [], []
        for annotation in annotations:
            person = self.problems.guarded(_person, annotation, len(self.source), size_wh, self.gates)
            if person is None:
                continue
            is_little = not person[1].any() or ("keypoint_scores" in annotation and not self.gates.is_person(person[1]))
            if annotation.get("iscrowd") or is_little:
                ignored.append(person[2])
            else:
                people.append(person)
        return people, ignored


def _person(annotation: Mapping[str, Any], count: int, size_wh: tuple[int, int] | None, gates: Gates) -> CocoPerson:
    where = f"annotation {annotation.get('id')}"
    values = np.asarray(annotation.get("keypoints") or np.zeros(3 * count), np.float32)
    if values.shape != (3 * count,):
        raise ValueError(f"{where}: expected {count} keypoints x, y, v, got {values.size} numbers")
    keypoints, visible = values.reshape(count, 3)[:, :2], values.reshape(count, 3)[:, 2] > 0
    try:
        check_keypoints(keypoints, visible, size_wh)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
    if "keypoint_scores" in annotation:
        states = gates.states(np.asarray(annotation["keypoint_scores"], np.float32).reshape(count))
    given = annotation.get("bbox")
    box = _box(given, where) if given else boxes_around(keypoints[None], states[None])[0]
    return keypoints, states, region(box, annotation.get("segmentation"))


def _box(values: Sequence[float], where: str) -> FloatArray:
    box = np.asarray(values, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise ValueError(f"{where}: expected bbox x, y, width, height, got {list(values)}")
    return np.concatenate([box[:2] - 0.5, box[:2] + box[2:] - 0.5])  # theirs are edges of pixels
