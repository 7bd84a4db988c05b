"""People as results: found by a model, or stored in a file of COCO results."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray
from pose_ros.evaluation.data import DataSet, flat_triples
from pose_ros.people import People
from pose_ros.skeleton import Skeleton, map_keypoints

CATEGORY = 1


@dataclass(frozen=True)
class Detections:
    """The D people found in an image, of K keypoints, the best first.

    Attributes:
        keypoints: (D, K, 2) px; absent ones lie at (0, 0), which OKS takes for a position, as COCO's evaluation does.
        scores: (D,) any numbers that order the people.
        areas: (D,) px², by which COCO's evaluation tells medium people from large ones.
    """

    keypoints: DoubleArray
    scores: DoubleArray
    areas: DoubleArray

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: slice | AnyArray) -> Detections:
        """Some of the people, by slice, indexes or mask."""
        return Detections(self.keypoints[index], self.scores[index], self.areas[index])

    @property
    def present(self) -> BoolArray:
        """(D, K): which keypoints have a place."""
        return np.asarray(self.keypoints.any(axis=2))

    def with_keypoints(self, keypoints: DoubleArray) -> Detections:
        """The same people at other positions; their areas stay."""
        return replace(self, keypoints=keypoints)


def to_detections(people: People, source: Skeleton, target: Skeleton) -> Detections:
    """People on the skeleton of a data set, by name; keypoints that ``source`` lacks are absent."""
    keypoints, _ = map_keypoints(people.keypoints, people.scores, source, target)
    return _best_first(keypoints.astype(float), people.person_scores.astype(float))


def read_results(file: Path, data: DataSet) -> list[Detections]:
    """Read COCO keypoint results: one entry for each image of the data set. Those of other images are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, has other keypoints, or none of its people are of these images.
    """
    if not file.is_file():
        raise FileNotFoundError(f"results: expected a file, got {file}, which does not exist")
    try:
        entries = json.loads(file.read_bytes())
        of_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in entries:
            of_image[entry["image_id"]].append(entry)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"results {file}: expected a JSON list of people with image_id, got {error!r}") from error
    if entries and not any(image.id in of_image for image in data.images):
        raise ValueError(f"results {file}: expected people of the images of {data.name}, got other image ids")
    return [_people(of_image[image.id], len(data.skeleton), file) for image in data.images]


def coco_entries(data: DataSet, found: Sequence[Detections]) -> list[dict[str, Any]]:
    """Results in COCO's form; a keypoint's third number is 1 where it is present, and 0 elsewhere."""
    entries = []
    for image, people in zip(data.images, found, strict=True):
        triples = flat_triples(people.keypoints, people.present)
        for person, score in zip(triples.tolist(), people.scores.tolist(), strict=True):
            entries.append({"image_id": image.id, "category_id": CATEGORY, "keypoints": person, "score": score})
    return entries


def _people(entries: Sequence[Mapping[str, Any]], count: int, file: Path) -> Detections:
    for entry in entries:
        numbers = len(entry.get("keypoints", ()))
        if "score" not in entry or numbers != 3 * count:
            got = f"{numbers} numbers and {'a' if 'score' in entry else 'no'} score"
            raise ValueError(f"results {file}: expected people of {count} keypoints x, y, v with a score, got {got}")
    keypoints = np.array([entry["keypoints"] for entry in entries], float).reshape(-1, count, 3)[..., :2]
    boxes = [entry.get("bbox") for entry in entries]
    areas = np.array([box[2] * box[3] for box in boxes if box], float)
    scores = np.array([entry["score"] for entry in entries], float)
    return _best_first(keypoints, scores, areas if all(boxes) else None)


def _best_first(keypoints: DoubleArray, scores: DoubleArray, areas: DoubleArray | None = None) -> Detections:
    if areas is None:  # COCO's: of all keypoints, absent ones at (0, 0) included
        areas = np.ptp(keypoints, axis=1).prod(axis=1)
    return Detections(keypoints, scores, areas)[np.argsort(-scores, kind="stable")]
