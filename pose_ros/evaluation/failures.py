"""Draw contact sheets of failures: labels on the left, detections on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image, IndexArray
from pose_ros.datasets.pose_errors import INVERSION, MISS, SWAP
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.errors import ImageErrors
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import add_title, arrange
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

SIDE_PX = 220
"""Side of the square crops, px."""
_MARGIN = 0.3
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Failure:
    """Failure in an image.

    Attributes:
        image: Image of the failure.
        weight: Severity, to sort failures of one kind. The highest comes first.
        text: Title of the drawing.
        labelled: Indices of the labelled people to draw.
        detections: Detections to draw.
        box: (4,), x, y, width, height of the region to show, px.
        marks: (M, 2), positions to mark with a ring, px.
    """

    image: LabelledImage
    weight: float
    text: str
    labelled: IndexArray
    detections: Detections
    box: DoubleArray
    marks: DoubleArray


FailureFinder = Callable[[LabelledImage, Detections, ImageErrors], Iterator[Failure]]


def failure_sheets(
    data: DataSet, detections: Sequence[Detections], errors: Sequence[ImageErrors], most: int = 9, columns: int = 3
) -> dict[str, Image]:
    """Draw the worst failures of every kind that occurs.

    Args:
        data: Labelled images.
        detections: Detections in each image.
        errors: Errors in each image.
        most: Maximum number of failures per sheet.
        columns: Columns of a sheet.

    Returns:
        Sheets by title.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If an image cannot be read.
    """
    kinds: dict[str, FailureFinder] = {
        "missed people, largest first": _find_missed_people,
        "false positives, highest score first": _find_false_positives,
        "left and right exchanged": _find_errors(INVERSION),
        "keypoints on another person": _find_errors(SWAP),
        "missed keypoints": _find_errors(MISS),
    }
    sheets = {}
    for title, find_failures in kinds.items():
        images = zip(data.images, detections, errors, strict=True)
        failures = [failure for image in images for failure in find_failures(*image)]
        worst = sorted(failures, key=lambda failure: -failure.weight)[:most]
        if worst:
            sheets[title] = arrange([draw_failure(failure, data.skeleton) for failure in worst], columns)
    return sheets


def draw_failure(failure: Failure, skeleton: Skeleton) -> Image:
    """Draw a failure as a BGR image: two squares of SIDE_PX side by side, and the title above."""
    crop, to_crop = _crop(failure.image.read_image(), failure.box)
    labelled = failure.image.labelled[failure.labelled]
    truth = _to_people(to_crop(failure.image.keypoints[failure.labelled]), labelled)
    detected = _to_people(to_crop(failure.detections.keypoints), failure.detections.present)
    right = draw(crop, detected, skeleton)
    for x, y in np.rint(to_crop(failure.marks)).astype(int).tolist():
        cv2.circle(right, (x, y), 8, _WHITE, 1, cv2.LINE_AA)
    gap = np.full((SIDE_PX, 2, 3), 255, np.uint8)
    return add_title(np.hstack([draw(crop, truth, skeleton), gap, right]), failure.text)


def _find_missed_people(image: LabelledImage, detections: Detections, errors: ImageErrors) -> Iterator[Failure]:
    for n in np.flatnonzero(errors.missed).tolist():
        text = f"{image.file.name}: {image.areas[n] ** 0.5:.0f} px, {image.labelled[n].sum()} keypoints"
        yield Failure(image, image.areas[n], text, np.array([n]), detections, image.boxes[n], np.zeros((0, 2)))


def _find_false_positives(image: LabelledImage, detections: Detections, errors: ImageErrors) -> Iterator[Failure]:
    for d in np.flatnonzero(errors.false).tolist():
        text = f"{image.file.name}: score {detections.scores[d]:.2f}"
        labelled, box = np.flatnonzero(~image.ignored), _detection_box(detections, d)
        yield Failure(image, detections.scores[d], text, labelled, detections[d : d + 1], box, np.zeros((0, 2)))


def _find_errors(kind: int) -> FailureFinder:
    def find_failures(image: LabelledImage, detections: Detections, errors: ImageErrors) -> Iterator[Failure]:
        for d in np.flatnonzero((errors.kinds == kind).any(axis=1)).tolist():
            wrong, n = errors.kinds[d] == kind, errors.partners[d]
            text = f"{image.file.name}: {wrong.sum()} of {image.labelled[n].sum()} keypoints"
            marks = detections.keypoints[d, wrong & detections.present[d]]
            yield Failure(image, wrong.sum(), text, np.array([n]), detections[d : d + 1], image.boxes[n], marks)

    return find_failures


def _detection_box(detections: Detections, d: int) -> DoubleArray:
    points = detections.keypoints[d][detections.present[d]]
    low = points.min(axis=0, initial=np.inf)
    return np.concatenate([low, points.max(axis=0, initial=-np.inf) - low]) if len(points) else np.zeros(4)


def _crop(image: Image, box: DoubleArray) -> tuple[Image, Callable[[DoubleArray], DoubleArray]]:
    """Cut out a square around a box, SIDE_PX wide, inside the image if possible.

    Returns:
        The square, and the function that maps pixels of the image to pixels of the square.
    """
    size_wh = np.array(image.shape[1::-1], float)
    side = min(max(float(box[2:].max()) * (1 + 2 * _MARGIN), 32.0), float(size_wh.max()))
    room, scale = size_wh - side, SIDE_PX / side
    corner = np.clip(box[:2] + box[2:] / 2 - side / 2, np.minimum(room / 2, 0), np.where(room < 0, room / 2, room))
    matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    crop: Image = cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_AREA, borderValue=(60, 60, 60))
    return crop, lambda xy: (xy - corner) * scale


def _to_people(keypoints: DoubleArray, present: BoolArray) -> People:
    positions = np.where(present[..., None], keypoints, 0).astype(np.float32)
    return People(positions, present.astype(np.float32), np.ones(len(positions), np.float32))
