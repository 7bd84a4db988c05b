"""Read labelled people with the data that the scores need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray, Image
from pose_ros.datasets.categories import collect_people
from pose_ros.datasets.coco import load_coco, read_file_name
from pose_ros.datasets.file_errors import name_file
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import DEFAULT_GATES, boxes_around
from pose_ros.datasets.numbers import check_image_size, read_area, read_box, read_keypoints, read_scores, read_size
from pose_ros.datasets.problems import describe_missing
from pose_ros.datasets.regions import Region, make_region
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.files import is_file
from pose_ros.media.decoding import read_image
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
        size_wh: Width and height of the image according to the labels, px. None = not in the labels.
        outlines: Region of each of the N people, an outline or only a box. Empty = no outlines.
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
    size_wh: tuple[int, int] | None = None
    outlines: tuple[Region, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def ignored(self) -> BoolArray:
        """(N,), crowds and people without keypoints: detections there are neither correct nor false positives."""
        return np.asarray(self.crowds | ~self.labelled.any(axis=1))

    def read_image(self) -> Image:
        """Read the image file, (H, W, 3) BGR, rotated as its EXIF data say.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file cannot be read, or its size is not that in the labels.
        """
        if not is_file(self.file):
            raise FileNotFoundError(f"image {self.id!s:.60}: {describe_missing(self.file)}")
        image = read_image(self.file)
        check_image_size(self.file, self.size_wh, (image.shape[1], image.shape[0]))
        return image


@dataclass(frozen=True)
class DataSet:
    """Labelled images with one skeleton.

    Attributes:
        name: Name in reports.
        skeleton: Skeleton of the labels.
        images: Images in the order of their ids.
        complete: Whether all people are labelled. If not, false positives and AP are not computed.
        report: Report of the whole label file. None = no label file.
    """

    name: str
    skeleton: Skeleton
    images: tuple[LabelledImage, ...]
    complete: bool = True
    report: LabelReport | None = None

    def __len__(self) -> int:
        return len(self.images)

    def check_rotation(self) -> None:
        """Compare the image files that exist with the sizes in the labels: which side is longer.

        Raises:
            ValueError: If the labels are those of an image before its EXIF rotation.
        """
        for image in self.images:
            if image.size_wh is None or not is_file(image.file):
                continue
            try:
                small = read_image(image.file, cv2.IMREAD_REDUCED_GRAYSCALE_8)  # fast, and enough to see the sides
            except (ValueError, OSError):
                continue  # the evaluation reports a broken image
            if (small.shape[1] - small.shape[0]) * (image.size_wh[0] - image.size_wh[1]) < 0:
                image.read_image()

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


def read_coco(labels: Path, images: Path | None = None, categories: Sequence[str] = ()) -> DataSet:
    """Read a COCO keypoint file, or one of CrowdPose, where areas are computed from the boxes.

    A person without an area gets it from the box, and a person without a box gets it from the keypoints.

    Args:
        labels: JSON file of the labels.
        images: Folder that the entries ``file_name`` are relative to. Default: the folder of the labels, or its
            subfolder ``images``.
        categories: Names or ids of the categories of people. Empty = see ``choose_categories``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a keypoint file, if a number is not finite or has the wrong sign or size, or if
            the file has people but none with keypoints.
    """
    with name_file(labels):
        return _read_all(labels, images, categories)


def _read_all(labels: Path, images: Path | None, categories: Sequence[str]) -> DataSet:
    content, report = load_coco(labels), LabelReport(str(labels))
    people = collect_people(content, categories, report)
    skeleton = skeleton_of(people.keypoint_names or COCO_17.keypoint_names)
    folder = images or _find_image_folder(labels.parent, content["images"])
    read = [_to_labelled_image(entry, people.in_image(entry), folder, len(skeleton)) for entry in content["images"]]
    try:
        read.sort(key=lambda image: image.id)
    except TypeError as error:
        raise ValueError(f"labels {labels}: expected image ids of one type, got {error}") from error
    labelled = [image.labelled[~image.ignored] for image in read]
    report.count(skeleton.keypoint_names, labelled, sum(int(image.ignored.sum()) for image in read))
    return DataSet(str(labels), skeleton, tuple(read), report=report)


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
    next_to_labels = not entries or is_file(folder / str(entries[0].get("file_name", "")))
    return folder if next_to_labels or not (folder / "images").is_dir() else folder / "images"


def _are_labelled(annotation: Mapping[str, Any], triples: DoubleArray, where: str) -> BoolArray:
    """Return which keypoints (K,) count. Those of a network count by its scores, as in training."""
    if "keypoint_scores" not in annotation:
        return np.asarray(triples[:, 2] > 0)
    scores = read_scores(annotation, len(triples), where).astype(np.float32)
    states = DEFAULT_GATES.states_of(scores)
    return np.asarray((states == LABELLED) & DEFAULT_GATES.is_person(states))


def _to_labelled_image(
    entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], folder: Path, count: int
) -> LabelledImage:
    if not isinstance(entry.get("id"), (int, float, str)):
        raise ValueError(f"images: expected a number or text as id, got {entry.get('id')!r}")
    size_wh, crowd_index = read_size(entry), entry.get("crowdIndex")
    named = [(annotation, f"annotation {annotation.get('id')}") for annotation in annotations]
    triples = np.array([read_keypoints(each, count, where, size_wh) for each, where in named]).reshape(-1, count, 3)
    keypoints = triples[..., :2]
    rows = [_are_labelled(each, row, where) for (each, where), row in zip(named, triples, strict=True)]
    labelled = np.array(rows, bool).reshape(-1, count)
    states = np.where(labelled, LABELLED, ABSENT).astype(np.uint8)
    around = boxes_around(keypoints.astype(np.float32), states).astype(float)
    around[:, 2:] -= around[:, :2]
    found = [read_box(each, where, size_wh) for each, where in named]
    boxes = np.array([around[n] if box is None else box for n, box in enumerate(found)], float).reshape(-1, 4)
    areas = BOX_FILL * boxes[:, 2] * boxes[:, 3]
    if crowd_index is None:
        given = [read_area(each, where, size_wh) for each, where in named]
        areas = np.array([areas[n] if area is None else area for n, area in enumerate(given)], float)
    crowds = np.array([bool(annotation.get("iscrowd")) for annotation in annotations], bool)
    file = folder / (read_file_name(entry) if "file_name" in entry else f"{entry['id']}.jpg")
    outlines = tuple(_read_outline(box, *each) for box, each in zip(boxes, named, strict=True))
    people = keypoints, labelled, areas, boxes, crowds, crowd_index
    return LabelledImage(entry["id"], file, *people, size_wh=size_wh, outlines=outlines)


def _read_outline(box: DoubleArray, annotation: Mapping[str, Any], where: str) -> Region:
    edges = (np.concatenate([box[:2], box[:2] + box[2:]]) - 0.5).astype(np.float32)
    try:
        return make_region(edges, annotation.get("segmentation"))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
