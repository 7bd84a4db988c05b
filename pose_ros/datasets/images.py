"""ImageSet to learn from, decoded when they are asked for, and mixtures of several sets of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, FloatArray, Image
from pose_ros.datasets.labels import States, has_place
from pose_ros.datasets.regions import Region, enlarged, paint_box
from pose_ros.datasets.sample import ABSENT, LABELLED, Sample
from pose_ros.media.sources import images_in, read_image
from pose_ros.skeleton import Skeleton

ALONE_MARGIN = 0.25
"""Margin around a person beyond whom nothing is known, as a fraction of the longer side of the box."""
HEAD_BOX, HEAD_SEGMENT = "head_box", "head_segment"
"""Sizes of heads that sets label: by the head's box, as MPII defines it, and from its top to the neck."""
_MOST_MASKS = 255


@dataclass(frozen=True)
class AnnotatedImage:
    """A file and its N people of K keypoints.

    Attributes:
        file: The image.
        keypoints: (N, K, 2) px.
        states: (N, K), see ``sample``.
        boxes: (N, 4) px.
        masks: N outlines, or none.
        ignored: Areas where nothing is known.
        alone: Whether other people may be there without labels: nothing is known beyond the enlarged boxes.
        size_wh: Size that the labels are for, if they say so.
        relative: Whether keypoints and boxes are fractions of the image's size.
        lengths_px: Sizes of the people that their keypoints do not tell, by name, (N,) each; NaN where unknown.
    """

    file: Path
    keypoints: FloatArray
    states: ByteArray
    boxes: FloatArray
    masks: tuple[Region, ...] = ()
    ignored: tuple[Region, ...] = ()
    alone: bool = False
    size_wh: tuple[int, int] | None = None
    relative: bool = False
    lengths_px: Mapping[str, FloatArray] = field(default_factory=dict)

    def sample(self, image_bgr: Image) -> Sample:
        """Join the labels with the decoded image; keypoints outside it are absent.

        Raises:
            ValueError: If the image has another size than the labels say.
        """
        height, width = image_bgr.shape[:2]
        if self.size_wh not in (None, (width, height)):
            raise ValueError(f"image {self.file}: expected the size {self.size_wh} of its labels, got {width, height}")
        if self.relative:
            return self.in_pixels((width, height)).sample(image_bgr)
        inside = ((self.keypoints >= -0.5) & (self.keypoints <= np.array([width, height]) - 0.5)).all(axis=2)
        states = np.where(has_place(self.states) & ~inside, 0, self.states).astype(np.uint8)
        ignored, people_map = self._ignored((height, width)), self._people_map((height, width))
        return Sample(image_bgr, self.keypoints, states, self.boxes, ignored, people_map)

    def in_pixels(self, size_wh: tuple[int, int]) -> AnnotatedImage:
        """The same of labels that are fractions of the size; boxes are measured between the edges of pixels."""
        size = np.array(size_wh, np.float32)
        boxes = self.boxes * np.tile(size, 2) - np.float32(0.5)
        return replace(self, keypoints=self.keypoints * size, boxes=boxes, size_wh=size_wh, relative=False)

    def _ignored(self, shape_hw: tuple[int, int]) -> BoolArray | None:
        if not self.ignored and not self.alone:
            return None
        mask = np.full(shape_hw, self.alone, np.uint8)
        known = enlarged(self.boxes, ALONE_MARGIN) if self.alone else self.boxes
        unknown = [region.box for region in self.ignored if not region.has_outline]
        for box, value in sorted([*((b, 0) for b in known), *((b, 1) for b in unknown)], key=_area, reverse=True):
            paint_box(mask, box, value)  # a crowd's box leaves out the people in it whose keypoints are known
        for region in self.ignored:
            if region.has_outline:
                region.paint(mask, 1)
        return mask.view(np.bool_)

    def _people_map(self, shape_hw: tuple[int, int]) -> Image | None:
        if len(self.masks) != len(self.boxes) or len(self.boxes) > _MOST_MASKS:
            return None
        if not all(mask.has_outline for mask in self.masks):
            return None
        people_map = np.zeros(shape_hw, np.uint8)
        for n, mask in enumerate(self.masks):
            mask.paint(people_map, n + 1)
        return people_map


@dataclass
class ImageSet(Sequence[Sample]):
    """Samples of one data set, on one skeleton. Goes to worker processes as it is.

    Attributes:
        name: For messages.
        skeleton: Of all keypoints.
        pictures: What is known of each file.
        strict: A file that cannot be read raises ValueError; otherwise the next one that can is given instead, and
            the first such file is warned of.
        cache: Whether the encoded files are kept in memory (in each process).
        unreadable: The files that could not be read.
    """

    name: str
    skeleton: Skeleton
    pictures: Sequence[AnnotatedImage]
    strict: bool = True
    cache: bool = False
    unreadable: dict[Path, str] = field(default_factory=dict)
    _encoded: dict[Path, Image] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> ImageSet: ...
    def __getitem__(self, index: int | slice) -> Sample | ImageSet:
        if isinstance(index, slice):
            return self.only(self.pictures[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name}: expected an index below {len(self)}, got {index}")
        for step in range(len(self)):
            picture = self.pictures[(index + step) % len(self)]
            if picture.file not in self.unreadable and (sample := self._read(picture)) is not None:
                return sample
        raise ValueError(f"{self.name}: expected pictures, got {len(self)} that cannot be read")

    def only(self, pictures: Sequence[AnnotatedImage]) -> ImageSet:
        """The same set with other pictures."""
        return ImageSet(self.name, self.skeleton, pictures, self.strict, self.cache)

    def _read(self, picture: AnnotatedImage) -> Sample | None:
        try:
            return picture.sample(self._image(picture.file))
        except (ValueError, OSError) as error:
            if self.strict:
                raise ValueError(f"{self.name}: {error}; strict: false leaves such pictures out") from error
            if not self.unreadable:
                warnings.warn(f"{self.name}: left out: {error}", stacklevel=3)
            self.unreadable[picture.file] = str(error)
            return None

    def _image(self, file: Path) -> Image:
        if file in self._encoded:
            decoded: Image = cv2.imdecode(self._encoded[file], cv2.IMREAD_COLOR)
            return decoded
        image = read_image(file)
        if self.cache:
            self._encoded[file] = np.fromfile(file, np.uint8)
        return image


@dataclass(frozen=True)
class Mixture:
    """Several sets, of which each is drawn from as often as its weight says.

    Raises:
        ValueError: If there is none, one is empty, the skeletons differ, or the weights do not fit.
    """

    parts: Sequence[Sequence[Sample]]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.weights):
            raise ValueError(f"data: expected sets and a weight each, got {len(self.parts)} and {len(self.weights)}")
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"weight: expected positive numbers, got {list(self.weights)}")
        for part in self.parts:
            if len(part) == 0:
                raise ValueError(f"data: expected pictures in every set, got none in {getattr(part, 'name', part)}")

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a set by weight, and from it a picture."""
        weights = np.asarray(self.weights, float)
        part = self.parts[int(rng.choice(len(self.parts), p=weights / weights.sum()))]
        return part[int(rng.integers(len(part)))]


class Problems:
    """What is wrong with a set's labels: raised at once, or counted and warned of at the end.

    Use it as ``with Problems(name, strict) as problems:``.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self.name, self.strict = name, strict
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Report a problem.

        Raises:
            ValueError: If strict.
        """
        if self.strict:
            raise ValueError(f"{self.name}: {problem}; strict: false leaves it out")
        self.found.append(problem)

    def guarded(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """What a reader returns, or None where it finds a problem."""
        try:
            return read(*arguments)
        except (ValueError, KeyError, TypeError) as error:
            self.add(str(error.args[0]) if error.args else repr(error))
            return None

    def every(self, read: Callable[..., Any], entries: Iterable[Sequence[Any]]) -> list[Any]:
        """What a reader returns of each entry, its arguments, without those in which it finds a problem."""
        found = [self.guarded(read, *entry) for entry in entries]
        return [one for one in found if one is not None]

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.found:
            warnings.warn(f"{self.name}: left out {len(self.found)}, the first: {self.found[0]}", stacklevel=2)


def _area(painted: tuple[FloatArray, int]) -> float:
    box, _ = painted
    return float(np.prod(box[2:] - box[:2]))


def check_keypoints(keypoints: FloatArray, labelled: BoolArray, size_wh: Sequence[int] | None) -> None:
    """Hold labelled positions against the picture.

    A few pixels outside are common, and such keypoints become absent; further out than the picture is large they are
    of another picture or in another unit.

    Raises:
        ValueError: If one is not a number, or far outside.
    """
    placed = keypoints[labelled]
    if not np.isfinite(placed).all():
        raise ValueError("keypoints: expected numbers, got NaN or infinity")
    if size_wh is not None and len(placed) and ((placed < -np.array(size_wh)) | (placed > 2 * np.array(size_wh))).any():
        raise ValueError(f"keypoints: expected positions in {size_wh[0]}x{size_wh[1]}, got {placed.tolist()}")


def labelled_keypoints(file: Path, xy: FloatArray, visible: BoolArray) -> tuple[FloatArray, States]:
    """(N, K, 2) and (N, K) of people (N, K, 2) of whom it is known which keypoints are labelled.

    Raises:
        ValueError: If the image does not exist, or a labelled position is not a number.
    """
    if not file.is_file():
        raise ValueError(f"expected the image {file}, which does not exist")
    try:
        check_keypoints(xy, visible, None)
    except ValueError as error:
        raise ValueError(f"image {file.name}: {error}") from error
    states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
    return np.where(visible[..., None], xy, 0).astype(np.float32), states


def negatives(folder: Path, skeleton: Skeleton) -> list[AnnotatedImage]:
    """A folder of pictures without people.

    Raises:
        ValueError: If there are none.
    """
    count = len(skeleton)
    nobody = np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.uint8), np.zeros((0, 4), np.float32)
    return [AnnotatedImage(file, *nobody) for file in images_in(folder)]
