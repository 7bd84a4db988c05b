"""Average precision and recall of people, by pycocotools; for CrowdPose also by how crowded the images are.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval.
    Li et al., CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark, arXiv:1812.00324.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pose_ros.evaluation.data import DataSet, LabelledImage, flat_triples
from pose_ros.evaluation.detections import CATEGORY, Detections

Scores = dict[str, float | None]
METRICS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
"""In COCO's order. None stands where the data set has nobody of that kind."""
CROWDS = {"AP_easy": (0.0, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, np.inf)}
"""CrowdPose: from and below which crowd index an image counts, as in the program that published numbers come from."""
MOST_PEOPLE = 20
"""So many people of an image count, the best of them."""


def average_precision(data: DataSet, found: Sequence[Detections]) -> Scores:
    """AP and AR of METRICS; for CrowdPose AP and AR without medium and large, and then AP by CROWDS.

    Args:
        data: The labelled people.
        found: Who was found in each of its images.

    Raises:
        ImportError: If pycocotools is missing.
    """
    evaluation = _evaluation(data, found)
    numbers = range(1, len(data) + 1)
    scores = dict(zip(METRICS, _stats(evaluation, numbers), strict=True))
    if all(image.crowd_index is None for image in data.images):
        return scores
    scores = {name: score for name, score in scores.items() if not name.endswith(("medium", "large"))}
    for name, (low, high) in CROWDS.items():
        crowd = [n for n in numbers if low <= (data.images[n - 1].crowd_index or 0.0) < high]
        scores[name] = _stats(evaluation, crowd)[0]
    return scores


def cocoeval() -> Any:
    """The module of pycocotools.

    Raises:
        ImportError: If it is missing.
    """
    try:
        from pycocotools import cocoeval as module
    except ImportError as error:
        raise ImportError(f"evaluation: expected pycocotools, got {error}; pip install pycocotools") from error
    return module


def _evaluation(data: DataSet, found: Sequence[Detections]) -> Any:
    """A COCOeval of all images, which are numbered from 1, as are people: its matches take 0 for nobody."""
    truth = [entry for n, image in enumerate(data.images, 1) for entry in _labelled(n, image)]
    results = [entry for n, people in enumerate(found, 1) for entry in _found(n, people)]
    images = [{"id": n} for n in range(1, len(data) + 1)]
    module = cocoeval()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = module.COCOeval(_indexed(images, truth), _indexed(images, results), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(data.skeleton.sigmas)
    evaluation.params.maxDets = [MOST_PEOPLE]
    return evaluation


def _indexed(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    content = COCO()
    content.dataset = {
        "images": images,
        "categories": [{"id": CATEGORY}],
        "annotations": [{"id": n, "category_id": CATEGORY, **entry} for n, entry in enumerate(annotations, 1)],
    }
    content.createIndex()
    return content


def _labelled(number: int, image: LabelledImage) -> Iterator[dict[str, Any]]:
    for n, keypoints in enumerate(flat_triples(image.keypoints, image.labelled)):
        yield {
            "image_id": number,
            "keypoints": keypoints,
            "num_keypoints": int(image.labelled[n].sum()),
            "area": float(image.areas[n]),
            "bbox": image.boxes[n].tolist(),
            "iscrowd": int(image.crowds[n]),
        }


def _found(number: int, people: Detections) -> Iterator[dict[str, Any]]:
    triples = flat_triples(people.keypoints, people.present)
    for keypoints, score, area in zip(triples, people.scores.tolist(), people.areas.tolist(), strict=True):
        yield {"image_id": number, "keypoints": keypoints, "score": score, "area": area}


def _stats(evaluation: Any, numbers: Sequence[int]) -> list[float | None]:
    """METRICS over some of the images."""
    if not numbers:
        return [None] * len(METRICS)
    evaluation.params.imgIds = list(numbers)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else None for value in evaluation.stats]
