"""ImageSet of what went wrong: for each failure the labels on the left, and what was found on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image, IndexArray
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.errors import INVERSION, MISS, SWAP, ImageErrors
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import add_title, arrange
from pose_ros.media.sources import read_image
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

Indexes = IndexArray

SIDE_PX = 220
_MARGIN = 0.3
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Failure:
    """Something that went wrong in an image.

    Attributes:
        image: Where.
        weight: How bad it is, beside others of its kind.
        text: What to write above it.
        labelled: Which labelled people to show.
        found: Who to show of those found.
        box: (4,) x, y, width, height of what to show, px.
        marks: (M, 2) places to ring, px.
    """

    image: LabelledImage
    weight: float
    text: str
    labelled: Indexes
    found: Detections
    box: DoubleArray
    marks: DoubleArray


Listed = Callable[[LabelledImage, Detections, ImageErrors], Iterator[Failure]]


def failure_sheets(
    data: DataSet, found: Sequence[Detections], errors: Sequence[ImageErrors], most: int = 9, columns: int = 3
) -> dict[str, Image]:
    """The worst failures of every kind that occurs, by title.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If it cannot be read.
    """
    kinds: dict[str, Listed] = {
        "people not found, the largest": _missed,
        "false people, the surest": _false,
        "left and right exchanged": _wrong(INVERSION),
        "keypoints of other people": _wrong(SWAP),
        "keypoints missed": _wrong(MISS),
    }
    sheets = {}
    for title, listed in kinds.items():
        failures = [one for each in zip(data.images, found, errors, strict=True) for one in listed(*each)]
        worst = sorted(failures, key=lambda failure: -failure.weight)[:most]
        if worst:
            sheets[title] = arrange([picture(failure, data.skeleton) for failure in worst], columns)
    return sheets


def picture(failure: Failure, skeleton: Skeleton) -> Image:
    """A failure: two squares of SIDE_PX side by side, and a line of text above; BGR."""
    crop, to_crop = _cropped(read_image(failure.image.file), failure.box)
    labelled = failure.image.labelled[failure.labelled]
    truth = _people(to_crop(failure.image.keypoints[failure.labelled]), labelled)
    seen = _people(to_crop(failure.found.keypoints), failure.found.present)
    right = draw(crop, seen, skeleton)
    for x, y in np.rint(to_crop(failure.marks)).astype(int).tolist():
        cv2.circle(right, (x, y), 8, _WHITE, 1, cv2.LINE_AA)
    gap = np.full((SIDE_PX, 2, 3), 255, np.uint8)
    return add_title(np.hstack([draw(crop, truth, skeleton), gap, right]), failure.text)


def _missed(image: LabelledImage, found: Detections, errors: ImageErrors) -> Iterator[Failure]:
    for n in np.flatnonzero(errors.missed).tolist():
        text = f"{image.file.name}: {image.areas[n] ** 0.5:.0f} px, {image.labelled[n].sum()} keypoints"
        yield Failure(image, image.areas[n], text, np.array([n]), found, image.boxes[n], np.zeros((0, 2)))


def _false(image: LabelledImage, found: Detections, errors: ImageErrors) -> Iterator[Failure]:
    for d in np.flatnonzero(errors.false).tolist():
        text = f"{image.file.name}: score {found.scores[d]:.2f}"
        everybody = np.flatnonzero(~image.ignored)
        yield Failure(image, found.scores[d], text, everybody, found[d : d + 1], _box(found, d), np.zeros((0, 2)))


def _wrong(kind: int) -> Listed:
    def listed(image: LabelledImage, found: Detections, errors: ImageErrors) -> Iterator[Failure]:
        for d in np.flatnonzero((errors.kinds == kind).any(axis=1)).tolist():
            wrong, n = errors.kinds[d] == kind, errors.partners[d]
            text = f"{image.file.name}: {wrong.sum()} of {image.labelled[n].sum()} keypoints"
            marks = found.keypoints[d, wrong & found.present[d]]
            yield Failure(image, wrong.sum(), text, np.array([n]), found[d : d + 1], image.boxes[n], marks)

    return listed


def _box(found: Detections, d: int) -> DoubleArray:
    points = found.keypoints[d][found.present[d]]
    low = points.min(axis=0, initial=np.inf)
    return np.concatenate([low, points.max(axis=0, initial=-np.inf) - low]) if len(points) else np.zeros(4)


def _cropped(image: Image, box: DoubleArray) -> tuple[Image, Callable[[DoubleArray], DoubleArray]]:
    """A square around a box, SIDE_PX wide, inside the image if it fits, and the map from the image's pixels to its."""
    size_wh = np.array(image.shape[1::-1], float)
    side = min(max(float(box[2:].max()) * (1 + 2 * _MARGIN), 32.0), float(size_wh.max()))
    room, scale = size_wh - side, SIDE_PX / side
    corner = np.clip(box[:2] + box[2:] / 2 - side / 2, np.minimum(room / 2, 0), np.where(room < 0, room / 2, room))
    matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    crop: Image = cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_AREA, borderValue=(60, 60, 60))
    return crop, lambda xy: (xy - corner) * scale


def _people(keypoints: DoubleArray, present: BoolArray) -> People:
    places = np.where(present[..., None], keypoints, 0).astype(np.float32)
    return People(places, present.astype(np.float32), np.ones(len(places), np.float32))
