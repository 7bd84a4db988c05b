"""Read YOLO pose data sets: one text file per image, one line per person.

References:
    https://docs.ultralytics.com/datasets/pose (the format; nothing of the program).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from pose_ros.datasets.categories import Category, choose_categories
from pose_ros.datasets.images import AnnotatedImage, fill_report
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import map_labels
from pose_ros.datasets.numbers import check_keypoints, read_numbers
from pose_ros.datasets.problems import Problems
from pose_ros.datasets.regions import Region
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.files import is_file
from pose_ros.media.sources import images_in
from pose_ros.skeleton import COCO_17, Skeleton
from pose_ros.yaml_text import read_yaml


def read_yolo(
    labels: Path,
    skeleton: Skeleton,
    *,
    split: str = "train",
    names: Sequence[str] = (),
    ignore_others: bool = False,
    strict: bool = True,
    categories: Sequence[str] = (),
    report: LabelReport | None = None,
) -> list[AnnotatedImage]:
    """Read the data set of a ``data.yaml``. An image without a text file contains no people.

    The text file of ``images/train/a.jpg`` is ``labels/train/a.txt``. Otherwise it is next to the image, or in a folder
    ``labels`` in or next to the folder of the image. People without keypoints become ignored areas.

    Args:
        labels: YAML file with ``path``, the folder or list of images of each split, ``kpt_shape`` and ``flip_idx``.
        skeleton: Target skeleton.
        split: ``train``, ``val`` or ``test``.
        names: Keypoint names of the data set. Empty = the names in the file, or those of COCO for 17 keypoints.
        ignore_others: See ``AnnotatedImage.ignore_others``.
        strict: Whether the first bad image raises ValueError. If False, bad images are skipped with a warning.
        categories: Names or numbers of the classes of people. Empty = see ``choose_categories``.
        report: Report to fill in.

    Raises:
        FileNotFoundError: If the YAML file does not exist.
        ValueError: If the YAML file is invalid, if no image has a text file, if there are people but none with
            keypoints, or if ``strict`` and a line is bad or an image is missing.
    """
    content = _load_yaml(labels)
    count, dims = _read_kpt_shape(content, labels)
    source = normalise_names(_read_names(content, names, count, labels))
    _check_flip(content, source, labels)
    report = report or LabelReport(str(labels))
    classes = _Classes(_read_classes(content), categories, report)
    with Problems(report, strict) as problems:
        reader = _YoloReader(source, dims, classes, report, skeleton, ignore_others)
        files = _list_images(content, split, labels)
        read = problems.read_all(reader.annotated_image, ((file,) for file in files))
    _check_text_files(files, report)
    fill_report(report, read, skeleton)
    return read


def _load_yaml(file: Path) -> Mapping[str, Any]:
    content = read_yaml(file, "labels")
    if not isinstance(content, dict):
        raise ValueError(f"labels {file}: expected the keys path, train and kpt_shape, got {content!r:.60}")
    return content


def _read_kpt_shape(content: Mapping[str, Any], file: Path) -> tuple[int, int]:
    shape = content.get("kpt_shape")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3):
        raise ValueError(f"labels {file}: expected kpt_shape [number of keypoints, 2 or 3], got {shape!r}")
    return int(shape[0]), int(shape[1])


def _read_names(content: Mapping[str, Any], names: Sequence[str], count: int, file: Path) -> Sequence[str]:
    listed = content.get("kpt_names")
    in_file = next(iter(listed.values()), ()) if isinstance(listed, dict) else listed
    found = names or in_file or (COCO_17.keypoint_names if count == len(COCO_17) else ())
    if len(found) != count:
        raise ValueError(
            f"labels {file}: expected {count} keypoint names as in kpt_shape, got {len(found)}; set keypoint_names"
        )
    return found


def _check_flip(content: Mapping[str, Any], names: tuple[str, ...], file: Path) -> None:
    """Compare ``flip_idx`` with the keypoint names. This detects names in a wrong order, which would swap limbs."""
    in_file, expected = content.get("flip_idx"), Skeleton("data", names, ()).flip_order
    if in_file is not None and list(in_file) != list(expected):
        raise ValueError(
            f"labels {file}: expected flip_idx {list(expected)} for the keypoints {', '.join(names)}, got {in_file}; "
            "check the order of keypoint_names"
        )


def _read_classes(content: Mapping[str, Any]) -> list[Category]:
    classes = content.get("names") or {}
    numbered = classes.items() if isinstance(classes, dict) else enumerate(classes)
    return [Category(str(number), str(name)) for number, name in numbered]


class _Classes:
    """Classes of a data set. Counts the lines of each class that is not one of people."""

    def __init__(self, listed: Sequence[Category], chosen: Sequence[str], report: LabelReport) -> None:
        people = choose_categories(listed, chosen, report.name) if listed or chosen else []
        self._listed = {category.key: category.name for category in listed}
        self._people, self._report = {category.key for category in people}, report

    def is_person(self, number: int) -> bool:
        """Check whether a class is one of people. Without a list of classes, all are."""
        key = str(number)
        if key in self._people or not self._listed:
            return True
        self._report.left_out[f"lines of class {key} ({self._listed.get(key, 'not listed')})"] += 1
        return False


def _list_images(content: Mapping[str, Any], split: str, file: Path) -> list[Path]:
    roots = file.parent / str(content.get("path") or "."), file.parent
    parts = content.get(split)
    if not parts:
        raise ValueError(f"labels {file}: expected the key {split!r} with a folder or list of images, got none")
    named = [str(part) for part in (parts if isinstance(parts, list) else [parts])]
    return [image for part in named for image in _list_part(roots, part, file)]


def _list_part(roots: Sequence[Path], part: str, file: Path) -> list[Path]:
    """List the images of a folder or .txt list.

    Exports of Roboflow name ``../train/images`` for the folder ``train/images`` beside the file. Files of another
    machine name a ``path`` that does not exist here.
    """
    places = [root / name for name in (part, re.sub(r"^(\.\./)+", "", part)) for root in roots]
    for path in places:
        if path.is_dir():
            return images_in(path)
        if path.suffix == ".txt" and is_file(path):
            return [_find_listed(line.strip(), roots, path) for line in _read_lines(path) if line.strip()]
    raise ValueError(
        f"labels {file}: expected a folder or a .txt list of images, got {places[0]}, which does not exist"
    )


def _find_listed(name: str, roots: Sequence[Path], text_file: Path) -> Path:
    """Find an image of a .txt list, whose name is relative to the data set or to the list."""
    places = [folder / name for folder in (*roots, text_file.parent)]
    return next((path for path in places if is_file(path)), places[0])


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text in UTF-8, got {error}") from error


@dataclass(frozen=True)
class _YoloReader:
    source: tuple[str, ...]
    dims: int  # numbers per keypoint: 2 (x, y) or 3 (x, y, visible)
    classes: _Classes
    report: LabelReport
    skeleton: Skeleton
    ignore_others: bool

    def annotated_image(self, file: Path) -> AnnotatedImage:
        if not is_file(file):
            raise ValueError(f"image: expected an image file, got {file}, which does not exist; check the .txt list")
        text_file = _find_text_file(file)
        people = self._read_people(text_file) if text_file else self._make_array([])
        boxes = np.concatenate([people[:, 1:3] - people[:, 3:5] / 2, people[:, 1:3] + people[:, 3:5] / 2], axis=1)
        points = people[:, 5:].reshape(len(people), len(self.source), self.dims)
        keypoints, visible = np.ascontiguousarray(points[..., :2]), self._are_visible(points)
        labelled = visible.any(axis=1)
        states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
        labels = map_labels(keypoints[labelled], states[labelled], self.source, self.skeleton)
        ignored = tuple(Region(box) for box in boxes[~labelled])
        others = self.ignore_others
        return AnnotatedImage(file, *labels, boxes[labelled], (), ignored, others, relative=True)

    def _are_visible(self, points: AnyArray) -> BoolArray:
        return np.asarray(points[..., 2] > 0 if self.dims == 3 else (points != 0).any(axis=-1))

    def _read_people(self, file: Path) -> FloatArray:
        """Read (N, 5 + dims * K) numbers: class, centre, size, keypoints."""
        lines = [line.split() for line in _read_lines(file)]
        self.report.entries += sum(map(bool, lines))
        rows = [self._read_line(values, f"{file}, line {number}") for number, values in enumerate(lines, 1) if values]
        return self._make_array([row for row in rows if self.classes.is_person(int(row[0]))])

    def _read_line(self, values: Sequence[str], where: str) -> DoubleArray:
        expected = 5 + self.dims * len(self.source)
        if len(values) != expected:
            raise ValueError(f"{where}: expected {expected} numbers, got {len(values)}")
        row = read_numbers(values, where, (expected,))
        points = row[5:].reshape(-1, self.dims)
        try:
            check_keypoints(points[:, :2], self._are_visible(points), (1, 1))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if row[0] != int(row[0]) or (row[3:5] < 0).any() or (np.abs(row[1:5]) > 2).any():
            raise ValueError(f"{where}: expected a class and a box of centre and size from 0 to 1, got {values[:5]}")
        return row

    def _make_array(self, rows: Sequence[DoubleArray]) -> FloatArray:
        return np.array(rows, np.float32).reshape(-1, 5 + self.dims * len(self.source))


def _find_text_file(image: Path) -> Path | None:
    return next((file for file in _list_text_files(image) if file.is_file()), None)


def _list_text_files(image: Path) -> list[Path]:
    """List the places of the text file of an image, the usual one first.

    There, the last folder ``images`` of the path is replaced by ``labels``.
    """
    folder, parts = image.parent, list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    folders = [
        Path(*parts),
        folder,
        folder / "labels",
        folder.parent / "labels",
        folder.parent / "labels" / folder.name,
    ]
    return [place / f"{image.stem}.txt" for place in folders]


def _check_text_files(images: Sequence[Path], report: LabelReport) -> None:
    without = [image for image in images if _find_text_file(image) is None]
    if images and len(without) == len(images):
        raise ValueError(
            f"labels {report.name}: expected a text file per image, got none for {len(images)} images; the first "
            f"should be {_list_text_files(images[0])[0]}"
        )
    if without:
        report.notes["images without a text file are read as images without people"] += len(without)
