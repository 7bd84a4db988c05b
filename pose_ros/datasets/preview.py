"""Samples drawn for the eye: skeletons, the states of keypoints, boxes, and ignored areas hatched."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pose_ros.arrays import Image
from pose_ros.datasets.sample import LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.media.overlay import Colour, draw
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

STATE_COLOURS: dict[int, Colour] = {UNCERTAIN: (66, 228, 240), UNKNOWN: (178, 114, 204)}
"""BGR colours: yellow rings around uncertain keypoints, purple boxes around people of whom something is unknown."""

_HATCH_PX = 8


def drawn(sample: Sample, skeleton: Skeleton) -> Image:
    """A sample's image with everything that is known of it."""
    image = _hatched(sample)
    labelled = sample.states == LABELLED
    keypoints = np.where(labelled[..., None], sample.keypoints, 0).astype(np.float32)
    people = People(keypoints, labelled.astype(np.float32), np.ones(len(labelled), np.float32))
    image = draw(image, people, skeleton)
    for x, y in sample.keypoints[sample.states == UNCERTAIN]:
        cv2.circle(image, (round(float(x)), round(float(y))), 4, STATE_COLOURS[UNCERTAIN], 1, cv2.LINE_AA)
    for box, states in zip(sample.boxes, sample.states, strict=True):
        colour = STATE_COLOURS[UNKNOWN] if (states == UNKNOWN).any() else (235, 235, 235)
        x_min, y_min, x_max, y_max = np.rint(box).astype(int).tolist()
        cv2.rectangle(image, (x_min, y_min), (x_max, y_max), colour, 1)
    return image


def counted(samples: Sequence[Sample]) -> dict[str, float]:
    """Means over samples: people, their labelled and uncertain keypoints, and the share of the picture ignored."""
    return {
        "people": float(np.mean([len(sample.boxes) for sample in samples])),
        "labelled": float(np.mean([(sample.states == LABELLED).sum() for sample in samples])),
        "uncertain": float(np.mean([(sample.states == UNCERTAIN).sum() for sample in samples])),
        "ignored": float(np.mean([0 if sample.ignored is None else sample.ignored.mean() for sample in samples])),
    }


def _hatched(sample: Sample) -> Image:
    image = sample.image_bgr.copy()
    if sample.ignored is not None:
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        stripes = sample.ignored & ((rows + columns) % _HATCH_PX < 1)
        image[sample.ignored] = image[sample.ignored] // 2
        image[stripes] = (235, 235, 235)
    return image
