"""Read the labelled people of data sets and of training samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray
from pose_ros.datasets.images import AnnotatedImage, ImageSet
from pose_ros.datasets.lsp import LSP_NAMES
from pose_ros.datasets.mpii import MPII_NAMES
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.datasets.sets import DataConfig, open_data_set
from pose_ros.evaluation.data import DataSet, LabelledImage, read_coco, skeleton_of
from pose_ros.skeleton import BOX_FILL, Skeleton

FORMATS = ("coco", "lsp", "mpii")
_NAMES = {"lsp": LSP_NAMES, "mpii": MPII_NAMES}


def read_data(
    labels: Path, images: Path | None = None, format: str = "coco", categories: Sequence[str] = ()
) -> DataSet:
    """Read a data set for evaluation.

    Args:
        labels: Label file.
        images: Folder of the images. Default: the folder of the labels.
        format: One of FORMATS. Use ``"coco"`` for CrowdPose. LSP labels one person per image.
        categories: Names or ids of the categories of people in a COCO file. Empty = see ``choose_categories``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If it is a ``.mat`` file and scipy is missing.
        ValueError: If the file has a different format.
    """
    if format not in FORMATS:
        raise ValueError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if format == "coco":
        return read_coco(labels, images, categories)
    skeleton = skeleton_of(_NAMES[format])
    config = DataConfig(
        format=format, labels=str(labels), images=str(images or labels.parent), category=tuple(categories)
    )
    image_set = open_data_set(config, skeleton)
    if not isinstance(image_set, ImageSet):
        raise ValueError(f"data {labels}: expected image files, got {type(image_set).__name__}")
    read = tuple(_to_labelled_image(image) for image in image_set.images)
    return DataSet(str(labels), skeleton, read, complete=format != "lsp", report=image_set.report)


def data_of(samples: Sequence[Sample], skeleton: Skeleton) -> DataSet:
    """Convert samples to a data set, in pixels of the samples. Ids are indices, and ignored areas become crowds."""
    people = [_make_labelled_image(i, Path(f"{i}"), s.keypoints, s.states, s.boxes) for i, s in enumerate(samples)]
    images = [_add_crowds(image, s.ignored) for image, s in zip(people, samples, strict=True)]
    return DataSet("samples", skeleton, tuple(images))


def _add_crowds(image: LabelledImage, area: BoolArray | None) -> LabelledImage:
    """Add a crowd for every connected component of an area (H, W)."""
    if area is None:
        return image
    boxes = cv2.connectedComponentsWithStats(area.astype(np.uint8))[2][1:, :4].astype(float)
    count, keypoints = len(boxes), image.keypoints.shape[1]
    return replace(
        image,
        keypoints=np.concatenate([image.keypoints, np.zeros((count, keypoints, 2))]),
        labelled=np.concatenate([image.labelled, np.zeros((count, keypoints), bool)]),
        areas=np.concatenate([image.areas, BOX_FILL * boxes[:, 2:].prod(axis=1)]),
        boxes=np.concatenate([image.boxes, boxes]),
        crowds=np.concatenate([image.crowds, np.ones(count, bool)]),
    )


def _to_labelled_image(image: AnnotatedImage) -> LabelledImage:
    people = _make_labelled_image(image.file.name, image.file, image.keypoints, image.states, image.boxes)
    return replace(people, lengths_px=image.lengths_px)


def _make_labelled_image(
    number: int | str, file: Path, keypoints: AnyArray, states: AnyArray, boxes: AnyArray
) -> LabelledImage:
    sizes = (boxes[:, 2:] - boxes[:, :2]).astype(float)
    areas, crowds = BOX_FILL * sizes.prod(axis=1), np.zeros(len(boxes), bool)
    boxes = np.concatenate([boxes[:, :2], sizes], axis=1)
    return LabelledImage(number, file, keypoints.astype(float), states == LABELLED, areas, boxes, crowds)
