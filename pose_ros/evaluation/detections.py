"""Convert and read detections: those of a model, or those stored in a COCO result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray
from pose_ros.datasets.categories import id_key
from pose_ros.datasets.file_errors import name_file
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.numbers import are_fractions, read_box, read_numbers
from pose_ros.evaluation.data import DataSet, flat_triples
from pose_ros.json_file import parse_json
from pose_ros.people import People
from pose_ros.skeleton import Skeleton, map_keypoints

CATEGORY = 1


@dataclass(frozen=True)
class Detections:
    """The D detections in an image, with K keypoints each, highest score first.

    Attributes:
        keypoints: (D, K, 2), x and y, px. Absent keypoints are at (0, 0). OKS treats that as a position, as COCO's
            evaluation does.
        scores: (D,), any numbers that order the detections.
        areas: (D,), px². COCO's evaluation uses them to separate medium from large people.
    """

    keypoints: DoubleArray
    scores: DoubleArray
    areas: DoubleArray

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: slice | AnyArray) -> Detections:
        """Select detections by slice, indices or mask."""
        return Detections(self.keypoints[index], self.scores[index], self.areas[index])

    @property
    def present(self) -> BoolArray:
        """(D, K), whether each keypoint has a position."""
        return np.asarray(self.keypoints.any(axis=2))

    def with_keypoints(self, keypoints: DoubleArray) -> Detections:
        """Return the same detections with other keypoint positions. The areas are unchanged."""
        return replace(self, keypoints=keypoints)


def to_detections(people: People, source: Skeleton, target: Skeleton) -> Detections:
    """Convert people to the skeleton of a data set, by keypoint name. Keypoints that ``source`` lacks are absent."""
    keypoints, _ = map_keypoints(people.keypoints, people.scores, spell_usually(source), spell_usually(target))
    return _sort_by_score(keypoints.astype(float), people.person_scores.astype(float))


def spell_usually(skeleton: Skeleton) -> Skeleton:
    """Return a skeleton whose keypoint names have the usual spelling, as in labels."""
    return replace(skeleton, keypoint_names=normalise_names(skeleton.keypoint_names))


def read_results(file: Path, data: DataSet) -> list[Detections]:
    """Read COCO keypoint results, one entry for each image of the data set. Results of other images are skipped.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file has a different format or different keypoints, if a number is not finite or has the
            wrong sign or unit, or if no result is of these images.
    """
    if not file.is_file():
        raise FileNotFoundError(f"results: expected a file, got {file}, which does not exist")
    with name_file(file, "results"):
        return _read_all(file, data)


def count_unlisted(file: Path, data: DataSet) -> int:
    """Return the number of results whose image the data set lacks.

    Raises:
        ValueError: If the file is not a list of results.
    """
    listed = {id_key(image.id) for image in data.images}
    return sum(id_key(entry["image_id"]) not in listed for entry in _read_entries(file))


def _read_all(file: Path, data: DataSet) -> list[Detections]:
    entries = _read_entries(file)
    keys = [id_key(entry["image_id"]) for entry in entries]
    by_image: dict[str, list[Mapping[str, Any]]] = {id_key(image.id): [] for image in data.images}
    if entries and by_image.keys().isdisjoint(keys):
        raise ValueError(f"results {file}: expected image ids of {data.name}, got other image ids")
    count = len(data.skeleton)
    for n, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        if key in by_image:
            where = f"results {file}, entry {n} (image_id {key})"
            by_image[key].append(_read_result(entry, count, where))
    _check_unit([entry for people in by_image.values() for entry in people], f"results {file}")
    return [_parse_people(by_image[id_key(image.id)], count) for image in data.images]


def _read_entries(file: Path) -> list[Mapping[str, Any]]:
    expected = f"results {file}: expected a JSON list of people with image_id"
    try:
        entries = parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{expected}, got {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{expected}, got {type(entries).__name__}")
    for n, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), (int, float, str)):
            raise ValueError(f"{expected}, got {entry!r:.60} as entry {n}")
    return entries


def coco_entries(data: DataSet, detections: Sequence[Detections]) -> list[dict[str, Any]]:
    """Convert detections to COCO result entries. The third number of a keypoint is 1 if present, else 0."""
    entries = []
    for image, people in zip(data.images, detections, strict=True):
        triples = flat_triples(people.keypoints, people.present)
        for person, score in zip(triples.tolist(), people.scores.tolist(), strict=True):
            entries.append({"image_id": image.id, "category_id": CATEGORY, "keypoints": person, "score": score})
    return entries


def _parse_people(entries: Sequence[Mapping[str, Any]], count: int) -> Detections:
    keypoints = np.array([entry["keypoints"] for entry in entries], float).reshape(-1, count, 3)[..., :2]
    boxes = [entry["bbox"] for entry in entries]
    areas = None if any(box is None for box in boxes) else np.array([box[2] * box[3] for box in boxes], float)
    return _sort_by_score(keypoints, np.array([entry["score"] for entry in entries], float), areas)


def _read_result(entry: Mapping[str, Any], count: int, where: str) -> dict[str, Any]:
    """Read keypoints (K, 3), score and bbox of a result. The third number of a keypoint has no meaning here."""
    keypoints = entry.get("keypoints")
    numbers = len(keypoints) if isinstance(keypoints, list) else 0
    if "score" not in entry or numbers != 3 * count:
        got = f"{numbers} numbers and {'a' if 'score' in entry else 'no'} score"
        raise ValueError(f"{where}: expected people of {count} keypoints x, y, v with a score, got {got}")
    return {
        "keypoints": read_numbers(keypoints, f"{where}: keypoints", (count, 3)),
        "score": float(read_numbers(entry["score"], f"{where}: score", ())),
        "bbox": read_box(entry, where),
    }


def _check_unit(entries: Sequence[Mapping[str, Any]], where: str) -> None:
    xy = np.array([entry["keypoints"][:, :2] for entry in entries])
    if len(xy) and are_fractions(xy, (xy != 0).any(axis=-1)):
        raise ValueError(f"{where}: expected positions in px, got fractions of the image size in all entries")


def _sort_by_score(keypoints: DoubleArray, scores: DoubleArray, areas: DoubleArray | None = None) -> Detections:
    if areas is None:  # as in COCO: box of all keypoints, including absent ones at (0, 0)
        areas = np.ptp(keypoints, axis=1).prod(axis=1)
    return Detections(keypoints, scores, areas)[np.argsort(-scores, kind="stable")]
