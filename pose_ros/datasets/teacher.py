"""Label images with one or several models (teachers), each in one or several views.

Every keypoint is written with its score. The reader of the labels applies two thresholds, see ``labels.Gates``: a
keypoint is labelled, uncertain or absent.

References:
    Radosavovic et al., Data Distillation: Towards Omni-Supervised Learning, arXiv:1712.04440.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.consensus import Views
from pose_ros.datasets.categories import list_keypoints
from pose_ros.datasets.file_errors import to_line
from pose_ros.datasets.labels_file import VISIBLE, LabelFile
from pose_ros.datasets.numbers import read_keypoints, read_numbers, read_scores
from pose_ros.json_file import parse_json
from pose_ros.media.decoding import read_image
from pose_ros.media.sources import OnBroken, raise_error
from pose_ros.people import People
from pose_ros.skeleton import Skeleton
from pose_ros.view_merging import consensus

MIN_SCORE = 0.02
"""Keypoints with a lower score are not written."""


def label_images(
    views: Views, files: Iterable[Path], on_broken: OnBroken = raise_error
) -> Iterator[tuple[Path, tuple[int, int], People]]:
    """Estimate the people in each image file.

    Args:
        views: Teachers and their views.
        files: Image files.
        on_broken: Called with the error of each file that is missing or is not a complete image.

    Yields:
        The file, its (width, height) in px and its people.
    """
    for file in files:
        try:
            image = read_image(file)
        except (ValueError, OSError) as error:
            on_broken(error)
            continue
        yield file, (image.shape[1], image.shape[0]), views.estimate(image)


def merge(paths: Sequence[Path], output: Path) -> None:
    """Merge the label files of several teachers into one. A score becomes the mean over the teachers.

    Args:
        paths: Label files of the same images and keypoints.
        output: Label file to write.

    Raises:
        ValueError: If a file is not a label file with scores, or if skeleton, images or image sizes differ.
    """
    files = [_read_labels(path) for path in paths]
    skeleton, sizes, ids, _ = files[0]
    for path, other in zip(paths, files, strict=True):
        if other[0] != skeleton or other[1] != sizes:
            raise ValueError(
                f"labels {path}: expected the same keypoints and images as in {paths[0]}, got different ones"
            )
    merged = LabelFile(output, skeleton)
    for name, size_wh in sizes.items():
        people = consensus([each[name] for *_, each in files], skeleton)
        merged.add(name, size_wh, to_annotations(people), ids[name])
    merged.close()


def _read_labels(path: Path) -> tuple[Skeleton, dict[str, tuple[int, int]], dict[str, int], dict[str, People]]:
    """Read the skeleton, and by image: (width, height), id and people."""
    try:
        content = parse_json(path.read_bytes())
        category = content["categories"][0]
        limbs = tuple((a - 1, b - 1) for a, b in category["skeleton"])
        skeleton = Skeleton("labels", tuple(list_keypoints(category)), limbs)
        names = {image["id"]: image["file_name"] for image in content["images"]}
        sizes = {image["file_name"]: (image["width"], image["height"]) for image in content["images"]}
        people: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
        for annotation in content["annotations"]:
            people[names[annotation["image_id"]]].append(annotation)
        ids = {name: int(number) for number, name in names.items()}
        return skeleton, sizes, ids, {name: _to_people(found, len(skeleton)) for name, found in people.items()}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {to_line(error)}"
        raise ValueError(f"labels {path}: expected a COCO file with keypoint_scores, got {reason}") from error


def _to_people(annotations: Sequence[dict[str, Any]], count: int) -> People:
    if not annotations:
        return People.empty(count)
    named = [(entry, f"annotation {entry.get('id')}") for entry in annotations]
    keypoints = [read_keypoints({"keypoints": entry["keypoints"]}, count, where)[:, :2] for entry, where in named]
    scores = [read_scores(entry, count, where) for entry, where in named]
    person_scores = [read_numbers(entry["score"], f"{where}: score", (), 0.0) for entry, where in named]
    return People(np.array(keypoints, np.float32), np.array(scores, np.float32), np.array(person_scores, np.float32))


def to_annotations(people: People) -> Iterator[dict[str, Any]]:
    """Convert people to COCO annotations with ``keypoint_scores`` in addition to ``keypoints``."""
    return map(_to_annotation, people)


def _to_annotation(person: People) -> dict[str, Any]:
    scores = person.scores[0].astype(float)
    kept = scores >= MIN_SCORE
    x_min, y_min, x_max, y_max = person.boxes()[0].astype(float)
    triples = [
        (round(float(x), 2), round(float(y), 2), VISIBLE) if seen else (0, 0, 0)
        for (x, y), seen in zip(person.keypoints[0], kept, strict=True)
    ]
    return {
        "bbox": [round(value, 2) for value in (x_min, y_min, x_max - x_min, y_max - y_min)],
        "area": round((x_max - x_min) * (y_max - y_min), 1),
        "keypoints": [value for triple in triples for value in triple],
        "num_keypoints": int(kept.sum()),
        "keypoint_scores": [round(score, 3) if seen else 0 for score, seen in zip(scores, kept, strict=True)],
        "score": round(float(person.person_scores[0]), 4),
    }
