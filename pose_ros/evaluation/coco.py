"""Compute average precision and recall with pycocotools, for CrowdPose also by crowd level.

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
"""Names in COCO's order. The score is None if the data set has no people of that size."""
CROWDS = {"AP_easy": (0.0, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, np.inf)}
"""Range of the crowd index (low <= index < high) per CrowdPose level, as in the program of the published scores."""
MAX_PEOPLE = 20
"""Maximum number of detections per image that are evaluated, those with the highest scores."""


def average_precision(data: DataSet, detections: Sequence[Detections]) -> Scores:
    """Compute AP and AR, one value for each name in METRICS.

    For CrowdPose, medium and large are left out, and the AP of each level in CROWDS is added.

    Args:
        data: Labelled images.
        detections: Detections in each image of ``data``.

    Raises:
        ImportError: If pycocotools is missing.
    """
    evaluation = _build_evaluation(data, detections)
    numbers = range(1, len(data) + 1)
    scores = dict(zip(METRICS, _compute_stats(evaluation, numbers), strict=True))
    if all(image.crowd_index is None for image in data.images):
        return scores
    scores = {name: score for name, score in scores.items() if not name.endswith(("medium", "large"))}
    for name, (low, high) in CROWDS.items():
        level = [n for n in numbers if low <= (data.images[n - 1].crowd_index or 0.0) < high]
        scores[name] = _compute_stats(evaluation, level)[0]
    return scores


def cocoeval() -> Any:
    """Import the module ``cocoeval`` of pycocotools.

    Raises:
        ImportError: If pycocotools is missing.
    """
    try:
        from pycocotools import cocoeval as module
    except ImportError as error:
        raise ImportError(f"evaluation: expected pycocotools, got {error}; pip install pycocotools") from error
    return module


def _build_evaluation(data: DataSet, detections: Sequence[Detections]) -> Any:
    """Build a COCOeval of all images. Images and people are numbered from 1: in COCOeval, 0 means no match."""
    truth = [entry for n, image in enumerate(data.images, 1) for entry in _label_entries(n, image)]
    results = [entry for n, people in enumerate(detections, 1) for entry in _result_entries(n, people)]
    images = [{"id": n} for n in range(1, len(data) + 1)]
    module = cocoeval()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = module.COCOeval(_build_index(images, truth), _build_index(images, results), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(data.skeleton.sigmas)
    evaluation.params.maxDets = [MAX_PEOPLE]
    return evaluation


def _build_index(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    content = COCO()
    content.dataset = {
        "images": images,
        "categories": [{"id": CATEGORY}],
        "annotations": [{"id": n, "category_id": CATEGORY, **entry} for n, entry in enumerate(annotations, 1)],
    }
    content.createIndex()
    return content


def _label_entries(number: int, image: LabelledImage) -> Iterator[dict[str, Any]]:
    for n, keypoints in enumerate(flat_triples(image.keypoints, image.labelled)):
        yield {
            "image_id": number,
            "keypoints": keypoints,
            "num_keypoints": int(image.labelled[n].sum()),
            "area": float(image.areas[n]),
            "bbox": image.boxes[n].tolist(),
            "iscrowd": int(image.crowds[n]),
        }


def _result_entries(number: int, people: Detections) -> Iterator[dict[str, Any]]:
    triples = flat_triples(people.keypoints, people.present)
    for keypoints, score, area in zip(triples, people.scores.tolist(), people.areas.tolist(), strict=True):
        yield {"image_id": number, "keypoints": keypoints, "score": score, "area": area}


def _compute_stats(evaluation: Any, numbers: Sequence[int]) -> list[float | None]:
    """Compute METRICS over the images with these numbers."""
    if not numbers:
        return [None] * len(METRICS)
    evaluation.params.imgIds = list(numbers)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else None for value in evaluation.stats]
