"""Read COCO keypoint files: COCO, and CrowdPose, MPII or other data sets in COCO format.

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
from pose_ros.datasets.images import AnnotatedImage
from pose_ros.datasets.labels import DEFAULT_GATES, Gates, boxes_around, map_labels, normalise_names
from pose_ros.datasets.problems import Problems, check_keypoints
from pose_ros.datasets.regions import Region, make_region
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.skeleton import COCO_17, Skeleton

CocoPerson = tuple[FloatArray, ByteArray, Region]


def read_coco(
    labels: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    names: Sequence[str] = (),
    ignore_others: bool = False,
    strict: bool = True,
    gates: Gates = DEFAULT_GATES,
) -> list[AnnotatedImage]:
    """Read a COCO keypoint file. Crowds and people without keypoints become ignored areas.

    Annotations with ``keypoint_scores`` come from a network. Their keypoint states follow from the scores. People
    with too few labelled keypoints become ignored areas, too.

    Args:
        labels: JSON file.
        images: Folder that the ``file_name`` entries are relative to.
        skeleton: Target skeleton.
        names: Keypoint names of the data set. Empty = the names in the file, or those of COCO.
        ignore_others: See ``AnnotatedImage.ignore_others``.
        strict: Whether the first bad entry raises ValueError. If False, bad entries are skipped with a warning.
        gates: Score thresholds for annotations with ``keypoint_scores``.

    Raises:
        FileNotFoundError: If the label file does not exist.
        ValueError: If it is not a COCO keypoint file, or if ``strict`` and an entry is bad or an image is missing.
    """
    content = load_coco(labels)
    category = person_category(content["categories"], str(labels))
    source = normalise_names(names or category.get("keypoints", ()) or COCO_17.keypoint_names)
    annotations = group_by_image(content, category)
    with Problems(str(labels), strict) as problems:
        reader = _CocoReader(images, source, skeleton, ignore_others, gates, problems)
        entries = ((entry, annotations[entry.get("id")]) for entry in content["images"])
        return problems.read_all(reader.annotated_image, entries)


def group_by_image(content: Mapping[str, Any], category: Mapping[str, Any]) -> dict[Any, list[Mapping[str, Any]]]:
    """Group the annotations of a category by image id."""
    by_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("category_id", category.get("id")) == category.get("id"):
            by_image[annotation.get("image_id")].append(annotation)
    return by_image


def load_coco(file: Path) -> dict[str, Any]:
    """Load a COCO file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not JSON or not in COCO format.
    """
    if not file.is_file():
        raise FileNotFoundError(f"labels: expected a COCO keypoint file, got {file}, which does not exist")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"labels {file}: expected JSON, got {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"labels {file}: expected a COCO file with the list {key!r}, got a file without this list")
    return content


def person_category(categories: Sequence[Mapping[str, Any]], where: str) -> Mapping[str, Any]:
    """Find the category of people.

    Args:
        categories: ``categories`` of a COCO file.
        where: Name of the file, for messages.

    Raises:
        ValueError: If no category is named ``person`` or has keypoints.
    """
    named = [category for category in categories if category.get("name") == "person"]
    with_keypoints = [category for category in categories if category.get("keypoints")]
    if not named and not with_keypoints:
        raise ValueError(f"labels {where}: expected a category named person or a category with keypoints, got neither")
    return (named or with_keypoints)[0]


@dataclass(frozen=True)
class _CocoReader:
    images: Path
    source: tuple[str, ...]
    skeleton: Skeleton
    ignore_others: bool
    gates: Gates
    problems: Problems

    def annotated_image(self, entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> AnnotatedImage:
        file = self.images / entry["file_name"]
        if not file.is_file():
            raise ValueError(f"image {entry.get('id')}: expected an image file, got {file}, which does not exist")
        size_wh = (int(entry["width"]), int(entry["height"])) if "width" in entry and "height" in entry else None
        people, ignored = self._read_people(annotations, size_wh)
        count = len(self.source)
        keypoints = np.array([person[0] for person in people], np.float32).reshape(-1, count, 2)
        states = np.array([person[1] for person in people], np.uint8).reshape(-1, count)
        masks = tuple(person[2] for person in people)
        boxes = np.array([mask.box for mask in masks], np.float32).reshape(-1, 4)
        labels = map_labels(keypoints, states, self.source, self.skeleton)
        return AnnotatedImage(file, *labels, boxes, masks, tuple(ignored), self.ignore_others, size_wh)

    def _read_people(
        self, annotations: Sequence[Mapping[str, Any]], size_wh: tuple[int, int] | None
    ) -> tuple[list[CocoPerson], list[Region]]:
        people, ignored = [], []
        for annotation in annotations:
            person = self.problems.try_read(_read_person, annotation, len(self.source), size_wh, self.gates)
            if person is None:
                continue
            too_few = not person[1].any() or ("keypoint_scores" in annotation and not self.gates.is_person(person[1]))
            if annotation.get("iscrowd") or too_few:
                ignored.append(person[2])
            else:
                people.append(person)
        return people, ignored


def _read_person(
    annotation: Mapping[str, Any], count: int, size_wh: tuple[int, int] | None, gates: Gates
) -> CocoPerson:
    where = f"annotation {annotation.get('id')}"
    values = np.asarray(annotation.get("keypoints") or np.zeros(3 * count), np.float32)
    if values.shape != (3 * count,):
        raise ValueError(f"{where}: expected {count} keypoints of x, y, v ({3 * count} numbers), got {values.size}")
    keypoints, visible = values.reshape(count, 3)[:, :2], values.reshape(count, 3)[:, 2] > 0
    try:
        check_keypoints(keypoints, visible, size_wh)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
    if "keypoint_scores" in annotation:
        states = gates.states_of(np.asarray(annotation["keypoint_scores"], np.float32).reshape(count))
    bbox = annotation.get("bbox")
    box = _read_box(bbox, where) if bbox else boxes_around(keypoints[None], states[None])[0]
    return keypoints, states, make_region(box, annotation.get("segmentation"))


def _read_box(values: Sequence[float], where: str) -> FloatArray:
    box = np.asarray(values, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise ValueError(f"{where}: expected bbox [x, y, width, height] with sizes >= 0, got {list(values)}")
    return np.concatenate([box[:2] - 0.5, box[:2] + box[2:] - 0.5])  # COCO measures from the edges of pixels
