"""Read COCO keypoint files: COCO, and CrowdPose, MPII or other data sets in COCO format.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import ByteArray, FloatArray
from pose_ros.datasets.categories import LabelledPeople, collect_people
from pose_ros.datasets.images import AnnotatedImage, fill_report
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import DEFAULT_GATES, Gates, boxes_around, map_labels
from pose_ros.datasets.numbers import read_box, read_keypoints, read_scores, read_size
from pose_ros.datasets.problems import Problems, describe_missing
from pose_ros.datasets.regions import Region, make_region
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.files import is_file
from pose_ros.json_file import read_json
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
    categories: Sequence[str] = (),
    report: LabelReport | None = None,
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
        categories: Names or ids of the categories of people. Empty = see ``choose_categories``.
        report: Report to fill in.

    Raises:
        FileNotFoundError: If the label file does not exist.
        ValueError: If it is not a COCO keypoint file, if it has people but none with keypoints, or if ``strict`` and
            an entry is bad or an image is missing.
    """
    content, report = load_coco(labels), report or LabelReport(str(labels))
    people = collect_people(content, categories, report)
    source = normalise_names(names or people.keypoint_names or COCO_17.keypoint_names)
    with Problems(report, strict) as problems:
        reader = _CocoReader(images, source, skeleton, ignore_others, gates, problems, people)
        read = problems.read_all(reader.annotated_image, ((entry,) for entry in content["images"]))
    fill_report(report, read, skeleton)
    return read


def load_coco(file: Path) -> dict[str, Any]:
    """Load a COCO file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not JSON or not in COCO format.
    """
    if not file.is_file():
        raise FileNotFoundError(f"labels: expected a COCO keypoint file, got {file}, which does not exist")
    content = read_json(file, "labels")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"labels {file}: expected a COCO file with the list {key!r}, got a file without this list")
        for index, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise ValueError(f"labels {file}: expected an object as {key}[{index}], got {entry!r:.60}")
    return content


def read_file_name(entry: Mapping[str, Any]) -> str:
    """Read ``file_name`` of an entry of ``images``.

    Raises:
        ValueError: If it is not a text.
    """
    name = entry.get("file_name")
    if not isinstance(name, str):
        raise ValueError(f"image {entry.get('id')}: expected a text as file_name, got {name!r:.60}")
    return name


@dataclass(frozen=True)
class _CocoReader:
    images: Path
    source: tuple[str, ...]
    skeleton: Skeleton
    ignore_others: bool
    gates: Gates
    problems: Problems
    people: LabelledPeople

    def annotated_image(self, entry: Mapping[str, Any]) -> AnnotatedImage:
        file = self.images / read_file_name(entry)
        if not is_file(file):
            raise ValueError(f"image {entry.get('id')}: {describe_missing(file)}")
        size_wh = read_size(entry)
        people, ignored = self._read_people(self.people.in_image(entry), size_wh)
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
    triples = read_keypoints(annotation, count, where, size_wh)
    keypoints = triples[:, :2].astype(np.float32)
    states = np.where(triples[:, 2] > 0, LABELLED, ABSENT).astype(np.uint8)
    if "keypoint_scores" in annotation:
        states = gates.states_of(read_scores(annotation, count, where).astype(np.float32))
    box, outline = read_box(annotation, where, size_wh), annotation.get("segmentation")
    if box is None:
        edges = boxes_around(keypoints[None], states[None])[0]
    else:
        edges = (np.concatenate([box[:2], box[:2] + box[2:]]) - 0.5).astype(np.float32)  # from the edges of pixels
    try:
        return keypoints, states, make_region(edges, outline)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
