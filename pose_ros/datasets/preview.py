"""Draw samples for visual inspection: skeletons, masks, keypoint states, boxes and hatched ignored areas."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, Image
from pose_ros.datasets.sample import LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.media.overlay import Colour, draw
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

STATE_COLOURS: dict[int, Colour] = {UNCERTAIN: (66, 228, 240), UNKNOWN: (178, 114, 204)}
"""BGR colours. Yellow: circles around uncertain keypoints. Purple: boxes of people with unknown keypoints."""

_HATCH_PX = 8


def draw_sample(sample: Sample, skeleton: Skeleton) -> Image:
    """Draw the labels of a sample on a copy of its image."""
    image = _hatch_ignored(sample)
    labelled = sample.states == LABELLED
    keypoints = np.where(labelled[..., None], sample.keypoints, 0).astype(np.float32)
    masks = None if sample.people_map is None else masks_of(sample.people_map, len(labelled))
    people = People(keypoints, labelled.astype(np.float32), np.ones(len(labelled), np.float32), masks=masks)
    image = draw(image, people, skeleton)
    for x, y in sample.keypoints[sample.states == UNCERTAIN]:
        cv2.circle(image, (round(float(x)), round(float(y))), 4, STATE_COLOURS[UNCERTAIN], 1, cv2.LINE_AA)
    for box, states in zip(sample.boxes, sample.states, strict=True):
        colour = STATE_COLOURS[UNKNOWN] if (states == UNKNOWN).any() else (235, 235, 235)
        x_min, y_min, x_max, y_max = np.rint(box).astype(int).tolist()
        cv2.rectangle(image, (x_min, y_min), (x_max, y_max), colour, 1)
    return image


def masks_of(people_map: ByteArray, count: int) -> BoolArray:
    """Return the masks (N, H, W) of N people from ``Sample.people_map``."""
    return np.asarray(people_map[None] == np.arange(1, count + 1)[:, None, None])


def count_labels(samples: Sequence[Sample]) -> dict[str, float]:
    """Count labels, as means over samples.

    Returns:
        ``people``, ``labelled`` and ``uncertain`` (keypoints) per image, ``ignored`` as a fraction of the image.
    """
    return {
        "people": float(np.mean([len(sample.boxes) for sample in samples])),
        "labelled": float(np.mean([(sample.states == LABELLED).sum() for sample in samples])),
        "uncertain": float(np.mean([(sample.states == UNCERTAIN).sum() for sample in samples])),
        "ignored": float(np.mean([0 if sample.ignored is None else sample.ignored.mean() for sample in samples])),
    }


def _hatch_ignored(sample: Sample) -> Image:
    image = sample.image_bgr.copy()
    if sample.ignored is not None:
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        stripes = sample.ignored & ((rows + columns) % _HATCH_PX < 1)
        image[sample.ignored] = image[sample.ignored] // 2
        image[stripes] = (235, 235, 235)
    return image
