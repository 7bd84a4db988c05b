"""Labels of a teacher network, added to those of people: missing keypoints, further people, areas of doubt.

References:
    Radosavovic et al., Data Distillation: Towards Omni-Supervised Learning, arXiv:1712.04440.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray
from pose_ros.datasets.coco import by_image, load_coco, person_category
from pose_ros.datasets.images import AnnotatedImage
from pose_ros.datasets.labels import Gates, States, boxes_around, has_place, keypoint_names, onto
from pose_ros.datasets.regions import Region
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.similarity import box_iou, keypoint_similarity
from pose_ros.skeleton import BOX_FILL, Skeleton

Extra = tuple[FloatArray, States, tuple[int, int] | None]
"""Keypoints (N, K, 2), states (N, K) and the size of the image of one picture."""

_LEAST_SHARED = 3  # keypoints, for a similarity to mean anything
_LEAST_SIMILAR = 0.5
_INSIDE = 0.5  # share of a doubtful person that lies in a known one, and so is no other


def read_extra(file: Path, skeleton: Skeleton, gates: Gates) -> dict[str, Extra]:
    """Read a teacher's labels: a COCO keypoint file with the scores of keypoints, from 0 to 1.

    They stand in ``keypoint_scores``, or as the third number of each keypoint.

    Returns:
        Labels by ``file_name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another form, or scores beyond 1.
    """
    content = load_coco(file)
    category = person_category(content["categories"], str(file))
    names, annotations = keypoint_names(category.get("keypoints", ())), by_image(content, category)
    extras = {}
    for entry in content["images"]:
        people = [_scored(annotation, len(names), file) for annotation in annotations[entry.get("id")]]
        values = np.array(people, np.float32).reshape(-1, len(names), 3)
        size_wh = (int(entry["width"]), int(entry["height"])) if "width" in entry and "height" in entry else None
        extras[entry["file_name"]] = (*onto(values[..., :2], gates.states(values[..., 2]), names, skeleton), size_wh)
    return extras


def _scored(annotation: Mapping[str, Any], count: int, file: Path) -> FloatArray:
    """(K, 3) x, y, score."""
    where, values = f"extra {file}, annotation {annotation.get('id')}", np.array(annotation["keypoints"], np.float32)
    if values.shape != (3 * count,):
        raise ValueError(f"{where}: expected {count} keypoints x, y, score, got {values.size} numbers")
    person = values.reshape(count, 3)
    if "keypoint_scores" in annotation:
        person[:, 2] = np.asarray(annotation["keypoint_scores"], np.float32)
    if not np.isfinite(person).all() or (person[:, 2] > 1).any():
        raise ValueError(f"{where}: expected numbers, and scores of at most 1, got {person[:, 2].tolist()}")
    return person


def with_extra(
    pictures: Sequence[AnnotatedImage], extras: Mapping[str, Extra], skeleton: Skeleton, gates: Gates
) -> list[AnnotatedImage]:
    """Add a teacher's labels to the pictures that it has seen.

    People that both know get the teacher's keypoints where nobody has looked; a keypoint that only the teacher sees
    becomes uncertain. People that only the teacher knows are added if many of their keypoints are labelled, and
    become ignored areas otherwise.
    """
    return [_merged(picture, _of_file(picture.file, extras), skeleton, gates) for picture in pictures]


def _of_file(file: Path, extras: Mapping[str, Extra]) -> Extra | None:
    """By the end of the path, as long as it takes."""
    ends = (str(PurePath(*file.parts[-count:])) for count in range(1, len(file.parts)))
    return next((extras[end] for end in ends if end in extras), None)


def _merged(picture: AnnotatedImage, extra: Extra | None, skeleton: Skeleton, gates: Gates) -> AnnotatedImage:
    if extra is None or len(extra[0]) == 0:
        return picture
    keypoints, states, size_wh = extra
    if picture.relative:
        if size_wh is None:
            raise ValueError(f"extra: expected width and height of {picture.file.name}, got none")
        picture = picture.in_pixels(size_wh)
    boxes = boxes_around(keypoints, states)
    pairs = _matched(_similarity(picture, keypoints, states, boxes, np.array(skeleton.sigmas)))
    completed = _completed(picture, keypoints, states, pairs)
    others = [n for n in range(len(keypoints)) if n not in pairs and has_place(states[n]).any()]
    added = [n for n in others if gates.is_person(states[n])]
    doubtful = [n for n in others if n not in added and not _lies_inside(boxes[n], picture.boxes)]
    return replace(
        picture,
        keypoints=np.concatenate([completed[0], keypoints[added]]),
        states=np.concatenate([completed[1], states[added]]),
        boxes=np.concatenate([picture.boxes, boxes[added]]),
        ignored=(*picture.ignored, *(Region(boxes[n]) for n in doubtful)),
        lengths_px={},
    )


def _similarity(
    picture: AnnotatedImage, keypoints: FloatArray, states: States, boxes: FloatArray, sigmas: DoubleArray
) -> DoubleArray:
    """(people, teacher's people): OKS of the keypoints that both have, or the overlap of the boxes if it is more."""
    similar = box_iou(picture.boxes, boxes)
    areas = BOX_FILL * np.prod(picture.boxes[:, 2:] - picture.boxes[:, :2], axis=1)
    for n, m in np.ndindex(*similar.shape):
        both = (picture.states[n] == LABELLED) & (states[m] == LABELLED)
        if both.sum() >= _LEAST_SHARED:
            squared = ((picture.keypoints[n, both] - keypoints[m, both]) ** 2).sum(axis=1)
            oks = keypoint_similarity(squared, max(areas[n], 1.0), sigmas[both]).mean()
            similar[n, m] = max(similar[n, m], oks)
    return similar


def _matched(similar: DoubleArray) -> dict[int, int]:
    """Teacher's person -> person, the most similar first."""
    similar, pairs = similar.copy(), {}
    while similar.size and similar.max() >= _LEAST_SIMILAR:
        n, m = np.unravel_index(int(similar.argmax()), similar.shape)
        pairs[int(m)] = int(n)
        similar[n], similar[:, m] = -1, -1
    return pairs


def _completed(
    picture: AnnotatedImage, keypoints: FloatArray, states: States, pairs: Mapping[int, int]
) -> tuple[FloatArray, States]:
    xy, state = picture.keypoints.copy(), picture.states.copy()
    for teacher, person in pairs.items():
        unknown = (state[person] == UNKNOWN) & (states[teacher] != UNKNOWN)
        contested = (state[person] == ABSENT) & (states[teacher] == LABELLED)
        state[person] = np.where(unknown, states[teacher], np.where(contested, UNCERTAIN, state[person]))
        xy[person] = np.where((unknown | contested)[:, None], keypoints[teacher], xy[person])
    return xy, state


def _lies_inside(box: FloatArray, others: FloatArray) -> bool:
    shared = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = max(float(np.prod(box[2:] - box[:2])), 1e-9)
    return bool((np.prod(np.clip(shared, 0, None), axis=1) >= _INSIDE * area).any())
