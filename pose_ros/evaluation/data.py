"""Labelled people, with all that scoring asks of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray
from pose_ros.datasets.coco import by_image, load_coco, person_category
from pose_ros.datasets.labels import keypoint_names
from pose_ros.skeleton import BOX_FILL, COCO_17, SKELETONS, Skeleton

_HEAD_AND_NECK = (
    ("head_top", "upper_neck"),
    ("head_top", "neck"),
    ("neck", "left_shoulder"),
    ("neck", "right_shoulder"),
)


@dataclass(frozen=True)
class LabelledImage:
    """The N labelled people of an image, of K keypoints.

    Attributes:
        id: As results name it.
        file: The image; it need not exist to score stored results.
        keypoints: (N, K, 2) px.
        labelled: (N, K) which of them count.
        areas: (N,) px², the scale of OKS.
        boxes: (N, 4) x, y, width, height, px.
        crowds: (N,) areas of many people without keypoints of each.
        crowd_index: CrowdPose's measure of how crowded the image is.
        lengths_px: Sizes of the people that their keypoints do not tell, by name, (N,) each; NaN where unknown.
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
        """(N,) crowds, and people without keypoints: to find them is neither right nor wrong."""
        return np.asarray(self.crowds | ~self.labelled.any(axis=1))


@dataclass(frozen=True)
class DataSet:
    """Labelled images of one skeleton.

    Attributes:
        name: For reports.
        skeleton: Of the labels.
        images: In the order of their ids.
        complete: Whether everybody is labelled. If not, nobody found is a false person, and there is no AP.
    """

    name: str
    skeleton: Skeleton
    images: tuple[LabelledImage, ...]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def only(self, first: int = 0, names: Collection[str] = ()) -> DataSet:
        """Some of the images: those of these file names, and of them so many from the first; 0 and () are all.

        Raises:
            ValueError: If none is left.
        """
        images = [image for image in self.images if not names or image.file.name in names][: first or None]
        if not images:
            raise ValueError(f"data {self.name}: expected images among those chosen, got none of {len(self)}")
        return replace(self, images=tuple(images))


def read_coco(labels: Path, images: Path | None = None) -> DataSet:
    """Read a COCO keypoint file, or CrowdPose's, whose areas are taken from the boxes.

    Args:
        labels: The JSON file.
        images: Folder that its ``file_name`` start from; by default that of the labels, or its folder ``images``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a keypoint file.
    """
    content = load_coco(labels)
    category = person_category(content["categories"], str(labels))
    skeleton = skeleton_of(category.get("keypoints") or COCO_17.keypoint_names)
    people = by_image(content, category)
    folder = images or _image_folder(labels.parent, content["images"])
    read = [_image(entry, people[entry.get("id")], folder, len(skeleton)) for entry in content["images"]]
    try:
        read.sort(key=lambda image: image.id)
    except TypeError as error:
        raise ValueError(f"labels {labels}: expected image ids of one type, got {error}") from error
    return DataSet(str(labels), skeleton, tuple(read))


def skeleton_of(names: Sequence[str]) -> Skeleton:
    """The skeleton of these keypoints: a known one, or one whose limbs are found by name."""
    plain = keypoint_names(names)
    known = [skeleton for skeleton in SKELETONS.values() if skeleton.keypoint_names == plain]
    if known:
        return known[0]
    coco = [tuple(COCO_17.keypoint_names[end] for end in limb) for limb in COCO_17.drawn_limbs]
    limbs = [(a, b) for a, b in (*coco, *_HEAD_AND_NECK) if a in plain and b in plain]
    return Skeleton(f"labels_{len(plain)}", plain, tuple((plain.index(a), plain.index(b)) for a, b in limbs))


def flat_triples(keypoints: DoubleArray, present: BoolArray) -> DoubleArray:
    """(N, 3 K) x, y and 1 or 0 of each keypoint, as COCO writes them."""
    triples = np.concatenate([keypoints, present[..., None]], axis=2)
    return triples.reshape(len(triples), 3 * triples.shape[1])


def _image_folder(folder: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    beside = not entries or (folder / entries[0].get("file_name", "")).is_file()
    return folder if beside or not (folder / "images").is_dir() else folder / "images"


def _image(
    entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], folder: Path, count: int
) -> LabelledImage:
    triples = np.array([_triples(annotation, count) for annotation in annotations]).reshape(-1, count, 3)
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


def _triples(annotation: Mapping[str, Any], count: int) -> DoubleArray:
    values = np.asarray(annotation.get("keypoints") or np.zeros(3 * count), float)
    if values.shape != (3 * count,):
        where = f"annotation {annotation.get('id')}"
        raise ValueError(f"{where}: expected {count} keypoints x, y, v, got {values.size} numbers")
    return values.reshape(count, 3)
