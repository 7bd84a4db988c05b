"""Make labelled people and detections for the evaluation tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose_ros.evaluation.data import BOX_FILL, DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.skeleton import COCO_17, Skeleton

HEIGHT = 200.0  # px


def person_at(x: float, skeleton: Skeleton = COCO_17, y: float = 20.0) -> np.ndarray:
    """Make keypoints (K, 2) of a standing person of HEIGHT, centred at x."""
    return skeleton.standing.astype(float) * HEIGHT + (x, y)


def labels_of(*people: np.ndarray, without: tuple[int, ...] = (), number: int = 1) -> LabelledImage:
    """Make an image of people with all keypoints labelled except those in ``without``."""
    keypoints = np.array(people) if people else np.zeros((0, len(COCO_17), 2))
    low, size = keypoints.min(axis=1), np.ptp(keypoints, axis=1)
    known = np.ones(keypoints.shape[:2], bool)
    known[:, list(without)] = False
    areas, crowds = BOX_FILL * size.prod(axis=1), np.zeros(len(people), bool)
    boxes = np.concatenate([low, size], axis=1)
    return LabelledImage(number, Path(f"{number}.png"), keypoints, known, areas, boxes, crowds)


def data_set(*images: LabelledImage, skeleton: Skeleton = COCO_17, complete: bool = True) -> DataSet:
    return DataSet("by hand", skeleton, images, complete)


def detections_of(*people: np.ndarray, scores: tuple[float, ...] = ()) -> Detections:
    """Make detections, highest score first."""
    keypoints = np.array(people)
    areas = np.ptp(keypoints, axis=1).prod(axis=1)
    return Detections(keypoints, np.array(scores or np.linspace(0.9, 0.5, len(people))), areas)


def no_detections(skeleton: Skeleton = COCO_17) -> Detections:
    return Detections(np.zeros((0, len(skeleton), 2)), np.zeros(0), np.zeros(0))


def move_keypoint(person: np.ndarray, keypoint: int, to: np.ndarray | tuple[float, float]) -> np.ndarray:
    """Return the person with one keypoint moved."""
    changed = person.copy()
    changed[keypoint] = to
    return changed
