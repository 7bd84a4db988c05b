"""Sets of annotated images that are decoded on access, and weighted mixtures of several sets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, FloatArray, Image
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import fill_boxes, has_position
from pose_ros.datasets.numbers import check_image_size
from pose_ros.datasets.regions import Region, enlarge_boxes, paint_box
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.media.decoding import decode_file_data, read_image
from pose_ros.media.sources import images_in
from pose_ros.skeleton import Skeleton

OTHERS_MARGIN = 0.25
"""Margin around a labelled person, as a fraction of the longer side of the box.

With ``ignore_others``, the image is ignored outside these enlarged boxes.
"""
HEAD_BOX, HEAD_SEGMENT = "head_box", "head_segment"
"""Keys of ``lengths_px``.

HEAD_BOX: head size from the box of the head, as MPII defines it.
HEAD_SEGMENT: distance from the top of the head to the neck.
"""
_MAX_MASKS = 255


@dataclass(frozen=True)
class AnnotatedImage:
    """Image file and the labels of its N people of K keypoints.

    Attributes:
        file: Image file.
        keypoints: (N, K, 2) px.
        states: (N, K), see ``Sample.states``.
        boxes: (N, 4) px, see ``Sample.boxes``.
        masks: Outlines of the N people. Empty = no outlines.
        ignored: Areas where people may be without labels.
        ignore_others: Whether everything outside the enlarged boxes is ignored, because other people may be there
            without labels.
        size_wh: Width and height of the image according to the labels, px. None = not in the labels.
        relative: Whether keypoints, boxes and ignored boxes are fractions of the image size instead of px.
        lengths_px: Lengths that do not follow from the keypoints, by name, (N,) px each. NaN = unknown.
    """

    file: Path
    keypoints: FloatArray
    states: ByteArray
    boxes: FloatArray
    masks: tuple[Region, ...] = ()
    ignored: tuple[Region, ...] = ()
    ignore_others: bool = False
    size_wh: tuple[int, int] | None = None
    relative: bool = False
    lengths_px: Mapping[str, FloatArray] = field(default_factory=dict)

    def to_sample(self, image_bgr: Image) -> Sample:
        """Combine the labels with the decoded image. Keypoints outside the image become ABSENT.

        Raises:
            ValueError: If the size of the image differs from the size in the labels.
        """
        height, width = image_bgr.shape[:2]
        check_image_size(self.file, self.size_wh, (width, height))
        if self.relative:
            return self.to_pixels((width, height)).to_sample(image_bgr)
        inside = ((self.keypoints >= -0.5) & (self.keypoints <= np.array([width, height]) - 0.5)).all(axis=2)
        states = np.where(has_position(self.states) & ~inside, 0, self.states).astype(np.uint8)
        ignored, people_map = self._paint_ignored((height, width)), self._paint_people((height, width))
        return Sample(image_bgr, self.keypoints, states, self.boxes, ignored, people_map)

    def to_pixels(self, size_wh: tuple[int, int]) -> AnnotatedImage:
        """Convert relative labels to px. Relative boxes are measured between the edges of pixels.

        A person whose box has no size gets a box around the keypoints.
        """
        size = np.array(size_wh, np.float32)
        keypoints, boxes = self.keypoints * size, self.boxes * np.tile(size, 2) - np.float32(0.5)
        ignored = tuple(Region(region.box * np.tile(size, 2) - np.float32(0.5)) for region in self.ignored)
        boxes = fill_boxes(boxes, keypoints, self.states)
        return replace(self, keypoints=keypoints, boxes=boxes, ignored=ignored, size_wh=size_wh, relative=False)

    def _paint_ignored(self, shape_hw: tuple[int, int]) -> BoolArray | None:
        if not self.ignored and not self.ignore_others:
            return None
        mask = np.full(shape_hw, self.ignore_others, np.uint8)
        labelled = enlarge_boxes(self.boxes, OTHERS_MARGIN) if self.ignore_others else self.boxes
        ignored = [region.box for region in self.ignored if not region.has_outline]
        boxes = [*((box, 0) for box in labelled), *((box, 1) for box in ignored)]
        for box, value in sorted(boxes, key=_box_area, reverse=True):
            paint_box(mask, box, value)  # large boxes first: labelled people inside a crowd's box are not ignored
        for region in self.ignored:
            if region.has_outline:
                region.paint(mask, 1)
        return mask.view(np.bool_)

    def _paint_people(self, shape_hw: tuple[int, int]) -> Image | None:
        if len(self.masks) != len(self.boxes) or len(self.boxes) > _MAX_MASKS:
            return None
        if not all(mask.has_outline for mask in self.masks):
            return None
        people_map = np.zeros(shape_hw, np.uint8)
        for n, mask in enumerate(self.masks):
            mask.paint(people_map, n + 1)
        return people_map


@dataclass
class ImageSet(Sequence[Sample]):
    """Samples of one data set, on one skeleton. Can be pickled and sent to worker processes.

    Attributes:
        name: Name in messages.
        skeleton: Skeleton of all samples.
        images: Image files with their labels.
        strict: Whether an unreadable file raises ValueError. If False, the set returns the next readable image
            instead, and warns about the first unreadable file.
        cache: Whether to keep the encoded files in memory, in each process.
        report: Report of the whole label file. None = no label file.
        unreadable: Error message of each unreadable file so far.
    """

    name: str
    skeleton: Skeleton
    images: Sequence[AnnotatedImage]
    strict: bool = True
    cache: bool = False
    report: LabelReport | None = None
    unreadable: dict[Path, str] = field(default_factory=dict)
    _encoded: dict[Path, bytes] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> ImageSet: ...
    def __getitem__(self, index: int | slice) -> Sample | ImageSet:
        if isinstance(index, slice):
            return self.with_images(self.images[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name}: expected an index below {len(self)}, got {index}")
        for step in range(len(self)):
            annotated = self.images[(index + step) % len(self)]
            if annotated.file not in self.unreadable and (sample := self._load_sample(annotated)) is not None:
                return sample
        raise ValueError(
            f"{self.name}: expected at least one readable image, got {len(self)} that cannot be read; check the files"
        )

    def with_images(self, images: Sequence[AnnotatedImage]) -> ImageSet:
        """Copy the set with other images."""
        return ImageSet(self.name, self.skeleton, images, self.strict, self.cache, self.report)

    def _load_sample(self, annotated: AnnotatedImage) -> Sample | None:
        try:
            return annotated.to_sample(self._read_image(annotated.file))
        except (ValueError, OSError) as error:
            if self.strict:
                raise ValueError(
                    f"{self.name}: {error}; fix the image, or set strict: false to skip such images"
                ) from error
            if not self.unreadable:
                warnings.warn(f"{self.name}: skipped an image: {error} (later ones are not reported)", stacklevel=3)
            self.unreadable[annotated.file] = str(error)
            return None

    def _read_image(self, file: Path) -> Image:
        if file in self._encoded:
            return decode_file_data(self._encoded[file], file)
        image = read_image(file)
        if self.cache:
            self._encoded[file] = file.read_bytes()
        return image


@dataclass(frozen=True)
class Mixture:
    """Several data sets. Each is drawn in proportion to its weight.

    Attributes:
        data_sets: Data sets, none of them empty.
        weights: Weight of each data set, at least 0.

    Raises:
        ValueError: If there is no data set, a data set is empty, or the weights are invalid.
    """

    data_sets: Sequence[Sequence[Sample]]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        if not self.data_sets or len(self.data_sets) != len(self.weights):
            raise ValueError(
                f"data: expected at least one data set and one weight for each, got {len(self.data_sets)} data sets "
                f"and {len(self.weights)} weights"
            )
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"weight: expected no negative number and a sum above 0, got {list(self.weights)}")
        for data_set in self.data_sets:
            if len(data_set) == 0:
                raise ValueError(
                    f"data: expected images in every data set, got none in {getattr(data_set, 'name', data_set)}"
                )

    def __len__(self) -> int:
        return sum(len(data_set) for data_set in self.data_sets)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a data set by weight, then draw one of its samples."""
        weights = np.asarray(self.weights, float)
        data_set = self.data_sets[int(rng.choice(len(self.data_sets), p=weights / weights.sum()))]
        return data_set[int(rng.integers(len(data_set)))]

    def draw_different(self, rng: np.random.Generator, count: int) -> Iterator[Sample]:
        """Draw different samples, each with the same probability. If there are fewer, draw all of them."""
        ends = np.cumsum([len(data_set) for data_set in self.data_sets])
        for place in rng.choice(len(self), min(count, len(self)), replace=False).tolist():
            number = int(np.searchsorted(ends, place, side="right"))
            data_set = self.data_sets[number]
            yield data_set[place - int(ends[number]) + len(data_set)]


def _box_area(painted: tuple[FloatArray, int]) -> float:
    box, _ = painted
    return float(np.prod(box[2:] - box[:2]))


def fill_report(report: LabelReport, images: Sequence[AnnotatedImage], skeleton: Skeleton) -> None:
    """Count the labels of all images of a label file.

    Raises:
        ValueError: If the file has people, but none of them is used, or none of their keypoints.
    """
    labelled = [image.states == LABELLED for image in images]
    report.count(skeleton.keypoint_names, labelled, sum(len(image.ignored) for image in images))


def read_negatives(folder: Path, skeleton: Skeleton) -> list[AnnotatedImage]:
    """Read a folder of images without people.

    Raises:
        ValueError: If the folder contains no images.
    """
    count = len(skeleton)
    no_people = np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.uint8), np.zeros((0, 4), np.float32)
    return [AnnotatedImage(file, *no_people) for file in images_in(folder)]
