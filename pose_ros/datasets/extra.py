"""Add the labels of a teacher network to a data set: missing keypoints, further people, ignored areas.

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
from pose_ros.datasets.categories import collect_people
from pose_ros.datasets.coco import load_coco, read_file_name
from pose_ros.datasets.file_errors import name_file
from pose_ros.datasets.images import AnnotatedImage
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import Gates, States, boxes_around, has_position, map_labels
from pose_ros.datasets.numbers import read_keypoints, read_scores, read_size
from pose_ros.datasets.regions import Region
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.similarity import box_iou, keypoint_similarity
from pose_ros.skeleton import BOX_FILL, Skeleton

ExtraLabels = tuple[FloatArray, States, tuple[int, int] | None]
"""Labels of one image: keypoints (N, K, 2) px, states (N, K), width and height of the image (None = unknown)."""

_MIN_SHARED = 3  # fewest common keypoints for a meaningful similarity
_MIN_SIMILARITY = 0.5
_INSIDE = 0.5  # a doubtful person with at least this fraction of its box in a labelled box is not an additional person


def read_extra(file: Path, skeleton: Skeleton, gates: Gates) -> dict[str, ExtraLabels]:
    """Read the labels of a teacher: a COCO keypoint file with keypoint scores from 0 to 1.

    The scores are in ``keypoint_scores`` or are the third number of each keypoint.

    Returns:
        Labels by ``file_name``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the format is wrong or a score is above 1.
    """
    with name_file(file, "extra"):
        return _read_all(file, skeleton, gates)


def _read_all(file: Path, skeleton: Skeleton, gates: Gates) -> dict[str, ExtraLabels]:
    content = load_coco(file)
    found = collect_people(content, (), LabelReport(str(file)))
    names, extras = found.keypoint_names, {}
    for entry in content["images"]:
        size_wh = read_size(entry)
        people = [_read_scored(annotation, len(names), file, size_wh) for annotation in found.in_image(entry)]
        values = np.array(people, np.float32).reshape(-1, len(names), 3)
        extras[read_file_name(entry)] = (
            *map_labels(values[..., :2], gates.states_of(values[..., 2]), names, skeleton),
            size_wh,
        )
    return extras


def _read_scored(annotation: Mapping[str, Any], count: int, file: Path, size_wh: tuple[int, int] | None) -> DoubleArray:
    """Read (K, 3) x, y, score of an annotation."""
    where = f"extra {file}, annotation {annotation.get('id')}"
    person = read_keypoints(annotation, count, where, size_wh)
    scores = annotation.get("keypoint_scores", person[:, 2].tolist())
    person[:, 2] = read_scores({"keypoint_scores": scores}, count, where)
    return person


def add_extra_labels(
    images: Sequence[AnnotatedImage], extras: Mapping[str, ExtraLabels], skeleton: Skeleton, gates: Gates
) -> list[AnnotatedImage]:
    """Add the labels of a teacher to the images that it has labelled.

    For a person in both, an UNKNOWN keypoint gets the label of the teacher. An ABSENT keypoint that the teacher has
    labelled becomes UNCERTAIN. A person that only the teacher has found is added if enough of its keypoints are
    labelled. Otherwise that person becomes an ignored area.

    Args:
        images: Images with their labels, not modified.
        extras: Labels of the teacher by ``file_name``, see ``read_extra``.
        skeleton: Skeleton of all labels.
        gates: Score thresholds, here for the number of labelled keypoints.

    Raises:
        ValueError: If the labels of an image are relative and the teacher's file does not have its size.
    """
    return [_add_labels(image, _find_labels(image.file, extras), skeleton, gates) for image in images]


def _find_labels(file: Path, extras: Mapping[str, ExtraLabels]) -> ExtraLabels | None:
    """Find the labels of a file by its name, or by its name with one or more parent folders."""
    ends = (str(PurePath(*file.parts[-count:])) for count in range(1, len(file.parts)))
    return next((extras[end] for end in ends if end in extras), None)


def _add_labels(image: AnnotatedImage, extra: ExtraLabels | None, skeleton: Skeleton, gates: Gates) -> AnnotatedImage:
    if extra is None or len(extra[0]) == 0:
        return image
    keypoints, states, size_wh = extra
    if image.relative:
        if size_wh is None:
            raise ValueError(f"extra: expected width and height of image {image.file.name}, got neither; add them")
        image = image.to_pixels(size_wh)
    boxes = boxes_around(keypoints, states)
    pairs = _match_people(_similarity(image, keypoints, states, boxes, np.array(skeleton.sigmas)))
    filled = _fill_keypoints(image, keypoints, states, pairs)
    others = [n for n in range(len(keypoints)) if n not in pairs and has_position(states[n]).any()]
    added = [n for n in others if gates.is_person(states[n])]
    doubtful = [n for n in others if n not in added and not _is_inside(boxes[n], image.boxes)]
    return replace(
        image,
        keypoints=np.concatenate([filled[0], keypoints[added]]),
        states=np.concatenate([filled[1], states[added]]),
        boxes=np.concatenate([image.boxes, boxes[added]]),
        ignored=(*image.ignored, *(Region(boxes[n]) for n in doubtful)),
        lengths_px={},
    )


def _similarity(
    image: AnnotatedImage, keypoints: FloatArray, states: States, boxes: FloatArray, sigmas: DoubleArray
) -> DoubleArray:
    """Return the similarity (people, people of the teacher).

    It is the larger of the OKS over the common labelled keypoints and the IoU of the boxes.
    """
    similarity = box_iou(image.boxes, boxes)
    areas = BOX_FILL * np.prod(image.boxes[:, 2:] - image.boxes[:, :2], axis=1)
    for n, m in np.ndindex(*similarity.shape):
        both = (image.states[n] == LABELLED) & (states[m] == LABELLED)
        if both.sum() >= _MIN_SHARED:
            squared = ((image.keypoints[n, both] - keypoints[m, both]) ** 2).sum(axis=1)
            oks = keypoint_similarity(squared, max(areas[n], 1.0), sigmas[both]).mean()
            similarity[n, m] = max(similarity[n, m], oks)
    return similarity


def _match_people(similarity: DoubleArray) -> dict[int, int]:
    """Match people greedily, the most similar pair first.

    Returns:
        Index of the teacher's person -> index of the person.
    """
    similarity, pairs = similarity.copy(), {}
    while similarity.size and similarity.max() >= _MIN_SIMILARITY:
        n, m = np.unravel_index(int(similarity.argmax()), similarity.shape)
        pairs[int(m)] = int(n)
        similarity[n], similarity[:, m] = -1, -1
    return pairs


def _fill_keypoints(
    image: AnnotatedImage, keypoints: FloatArray, states: States, pairs: Mapping[int, int]
) -> tuple[FloatArray, States]:
    """Fill in keypoints of matched people from the teacher."""
    xy, state = image.keypoints.copy(), image.states.copy()
    for teacher, person in pairs.items():
        unknown = (state[person] == UNKNOWN) & (states[teacher] != UNKNOWN)
        contested = (state[person] == ABSENT) & (states[teacher] == LABELLED)
        state[person] = np.where(unknown, states[teacher], np.where(contested, UNCERTAIN, state[person]))
        xy[person] = np.where((unknown | contested)[:, None], keypoints[teacher], xy[person])
    return xy, state


def _is_inside(box: FloatArray, others: FloatArray) -> bool:
    """Check whether at least the fraction ``_INSIDE`` of a box lies in one of the other boxes."""
    shared = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = max(float(np.prod(box[2:] - box[:2])), 1e-9)
    return bool((np.prod(np.clip(shared, 0, None), axis=1) >= _INSIDE * area).any())
