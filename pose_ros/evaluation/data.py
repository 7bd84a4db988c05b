"""Read labelled people with the data that the scores need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray
from pose_ros.datasets.coco import group_by_image, load_coco, person_category
from pose_ros.datasets.labels import normalise_names
from pose_ros.skeleton import BOX_FILL, COCO_17, SKELETONS, Skeleton

_HEAD_AND_NECK = (
    ("head_top", "upper_neck"),
    ("head_top", "neck"),
    ("neck", "left_shoulder"),
    ("neck", "right_shoulder"),
)


@dataclass(frozen=True)
class LabelledImage:
    """The N labelled people of an image, with K keypoints each.

    Attributes:
        id: Image id, as used in result files.
        file: Image file. It need not exist to score stored results.
        keypoints: (N, K, 2), x and y, px.
        labelled: (N, K), whether each keypoint is labelled and counts.
        areas: (N,), area of each person, px²: the scale of OKS.
        boxes: (N, 4), x, y, width, height, px.
        crowds: (N,), whether an entry is a region of many people without individual keypoints.
        crowd_index: Crowd index of CrowdPose. None = not CrowdPose.
        lengths_px: Lengths that cannot be computed from the keypoints, by name, (N,) each, px. NaN = unknown.
    """

    id: int | str
    file: Path
    keypoints: DoubleArray
    labelled: BoolArray
    areas: DoubleArray
    boxes: DoubleArray
    crowds: BoolArray
    crowd_index: float | None = None
    lengths_px: Mapping[str, AnyArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def ignored(self) -> BoolArray:
        """(N,), crowds and people without keypoints: detections there are neither correct nor false positives."""
        return np.asarray(self.crowds | ~self.labelled.any(axis=1))


@dataclass(frozen=True)
class DataSet:
    """Labelled images with one skeleton.

    Attributes:
        name: Name in reports.
        skeleton: Skeleton of the labels.
        images: Images in the order of their ids.
        complete: Whether all people are labelled. If not, false positives and AP are not computed.
    """

    name: str
    skeleton: Skeleton
    images: tuple[LabelledImage, ...]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def select(self, first: int = 0, names: Collection[str] = ()) -> DataSet:
        """Select images.

        Args:
            first: Number of images to keep, from the first. 0 = all.
            names: File names to keep. Empty = all.

        Raises:
            ValueError: If no image is left.
        """
        images = [image for image in self.images if not names or image.file.name in names][: first or None]
        if not images:
            raise ValueError(f"data {self.name}: expected at least one selected image, got none of {len(self)}")
        return replace(self, images=tuple(images))


def read_coco(labels: Path, images: Path | None = None) -> DataSet:
    """Read a COCO keypoint file, or one of CrowdPose, where areas are computed from the boxes.

    Args:
        labels: JSON file of the labels.
        images: Folder that the entries ``file_name`` are relative to. Default: the folder of the labels, or its
            subfolder ``images``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a keypoint file.
    """
    content = load_coco(labels)
    category = person_category(content["categories"], str(labels))
    skeleton = skeleton_of(category.get("keypoints") or COCO_17.keypoint_names)
    people = group_by_image(content, category)
    folder = images or _find_image_folder(labels.parent, content["images"])
    read = [_to_labelled_image(entry, people[entry.get("id")], folder, len(skeleton)) for entry in content["images"]]
    try:
        read.sort(key=lambda image: image.id)
    except TypeError as error:
        raise ValueError(f"labels {labels}: expected image ids of one type, got {error}") from error
    return DataSet(str(labels), skeleton, tuple(read))


def skeleton_of(names: Sequence[str]) -> Skeleton:
    """Return the known skeleton with these keypoints, or build one whose limbs are chosen by name."""
    normalised = normalise_names(names)
    known = [skeleton for skeleton in SKELETONS.values() if skeleton.keypoint_names == normalised]
    if known:
        return known[0]
    coco = [tuple(COCO_17.keypoint_names[end] for end in limb) for limb in COCO_17.drawn_limbs]
    limbs = [(a, b) for a, b in (*coco, *_HEAD_AND_NECK) if a in normalised and b in normalised]
    limb_indices = tuple((normalised.index(a), normalised.index(b)) for a, b in limbs)
    return Skeleton(f"labels_{len(normalised)}", normalised, limb_indices)


def flat_triples(keypoints: DoubleArray, present: BoolArray) -> DoubleArray:
    """Return (N, 3 K): x, y and 1 (present) or 0 of each keypoint, as in COCO files."""
    triples = np.concatenate([keypoints, present[..., None]], axis=2)
    return triples.reshape(len(triples), 3 * triples.shape[1])


def _find_image_folder(folder: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    next_to_labels = not entries or (folder / entries[0].get("file_name", "")).is_file()
    return folder if next_to_labels or not (folder / "images").is_dir() else folder / "images"


def _to_labelled_image(
    entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], folder: Path, count: int
) -> LabelledImage:
    triples = np.array([_read_triples(annotation, count) for annotation in annotations]).reshape(-1, count, 3)
    labelled = triples[..., 2] > 0
    boxes = np.array([annotation.get("bbox", (0, 0, 0, 0)) for annotation in annotations], float).reshape(-1, 4)
    crowd_index = entry.get("crowdIndex")
    measured = BOX_FILL * boxes[:, 2] * boxes[:, 3]
    if crowd_index is None:
        areas = [annotation.get("area", area) for annotation, area in zip(annotations, measured, strict=True)]
        measured = np.array(areas, float)
    crowds = np.array([bool(annotation.get("iscrowd")) for annotation in annotations], bool)
    file = folder / entry.get("file_name", f"{entry.get('id')}.jpg")
    return LabelledImage(entry["id"], file, triples[..., :2], labelled, measured, boxes, crowds, crowd_index)


def _read_triples(annotation: Mapping[str, Any], count: int) -> DoubleArray:
    values = np.asarray(annotation.get("keypoints") or np.zeros(3 * count), float)
    if values.shape != (3 * count,):
        where = f"annotation {annotation.get('id')}"
        raise ValueError(f"{where}: expected {count} keypoints x, y, v, got {values.size} numbers")
    return values.reshape(count, 3)
