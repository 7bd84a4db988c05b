"""YOLO pose data: a text file beside each image, a line for each person.

References:
    https://docs.ultralytics.com/datasets/pose (the format; nothing of the program).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.datasets.images import AnnotatedImage, Problems, check_keypoints
from pose_ros.datasets.labels import keypoint_names, onto
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.media.sources import images_in
from pose_ros.skeleton import COCO_17, Skeleton


def read_yolo(
    labels: Path,
    skeleton: Skeleton,
    *,
    split: str = "train",
    names: Sequence[str] = (),
    alone: bool = False,
    strict: bool = True,
) -> list[AnnotatedImage]:
    """Read a set by its ``data.yaml``. Images without a text file have nobody in them.

    Args:
        labels: The YAML file: ``path``, the folder or list of images of each split, ``kpt_shape``, ``flip_idx``.
        skeleton: Wanted skeleton.
        split: ``train``, ``val`` or ``test``.
        names: Names of the keypoints; by default those of the file, or of COCO if there are 17.
        alone: Whether there are people without labels.
        strict: Raise on the first bad entry; otherwise leave it out and warn at the end.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another form, or, if strict, a line is bad or an image missing.
    """
    content = _load(labels)
    count, size = _kpt_shape(content, labels)
    source = keypoint_names(_names(content, names, count, labels))
    _check_flip(content, source, labels)
    with Problems(str(labels), strict) as problems:
        reader = _YoloReader(source, size, _person_class(content), skeleton, alone)
        return problems.every(reader.picture, ((file,) for file in _images(content, split, labels)))


def _load(file: Path) -> Mapping[str, Any]:
    import yaml

    if not file.is_file():
        raise FileNotFoundError(f"labels: expected a data.yaml, got {file}, which does not exist")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"labels {file}: expected YAML, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"labels {file}: expected path, train and kpt_shape, got {content!r:.60}")
    return content


def _kpt_shape(content: Mapping[str, Any], file: Path) -> tuple[int, int]:
    shape = content.get("kpt_shape")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3):
        raise ValueError(f"labels {file}: expected kpt_shape: [keypoints, 2 or 3], got {shape!r}")
    return int(shape[0]), int(shape[1])


def _names(content: Mapping[str, Any], names: Sequence[str], count: int, file: Path) -> Sequence[str]:
    listed = content.get("kpt_names")
    own = next(iter(listed.values()), ()) if isinstance(listed, dict) else listed
    found = names or own or (COCO_17.keypoint_names if count == len(COCO_17) else ())
    if len(found) != count:
        raise ValueError(f"labels {file}: expected keypoint_names for {count} keypoints, got {len(found)}")
    return found


def _check_flip(content: Mapping[str, Any], names: tuple[str, ...], file: Path) -> None:
    """Names in another order than the set's keypoints would swap limbs without a word; the mirror pairs tell."""
    theirs, ours = content.get("flip_idx"), Skeleton("data", names, ()).flip_order
    if theirs is not None and list(theirs) != list(ours):
        raise ValueError(f"labels {file}: expected flip_idx {list(ours)} of keypoints {', '.join(names)}, got {theirs}")


def _person_class(content: Mapping[str, Any]) -> int:
    classes = content.get("names") or {}
    numbered = classes.items() if isinstance(classes, dict) else enumerate(classes)
    return next((int(number) for number, name in numbered if name == "person"), 0)


def _images(content: Mapping[str, Any], split: str, file: Path) -> list[Path]:
    root = file.parent / str(content.get("path") or ".")
    parts = content.get(split)
    if not parts:
        raise ValueError(f"labels {file}: expected the images of {split!r}, got none")
    return [image for part in (parts if isinstance(parts, list) else [parts]) for image in _listed(root, str(part))]


def _listed(root: Path, part: str) -> list[Path]:
    place = root / part
    if place.is_dir():
        return images_in(place)
    if place.suffix == ".txt" and place.is_file():
        return [root / line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise ValueError(f"images: expected a folder or a list of images, got {place}, which does not exist")


@dataclass(frozen=True)
class _YoloReader:
    source: tuple[str, ...]
    size: int
    person_class: int
    skeleton: Skeleton
    alone: bool

    def picture(self, file: Path) -> AnnotatedImage:
        if not file.is_file():
            raise ValueError(f"expected the image {file}, which does not exist")
        people = self._people(_label_file(file))
        boxes = np.concatenate([people[:, 1:3] - people[:, 3:5] / 2, people[:, 1:3] + people[:, 3:5] / 2], axis=1)
        points = people[:, 5:].reshape(len(people), len(self.source), self.size)
        keypoints = np.ascontiguousarray(points[..., :2])
        visible = points[..., 2] > 0 if self.size == 3 else (keypoints != 0).any(axis=2)
        try:
            check_keypoints(keypoints, visible, (1, 1))
        except ValueError as error:
            raise ValueError(f"{_label_file(file)}: {error}") from error
        states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
        labels = onto(keypoints, states, self.source, self.skeleton)
        return AnnotatedImage(file, *labels, boxes, alone=self.alone, relative=True)

    def _people(self, file: Path) -> FloatArray:
        """(N, 5 + numbers of the keypoints): class, centre, size, keypoints."""
        wanted = 5 + self.size * len(self.source)
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        rows = []
        for number, line in enumerate(lines, 1):
            values = line.split()
            if values and len(values) != wanted:
                raise ValueError(f"{file}, line {number}: expected {wanted} numbers, got {len(values)}")
            if values and int(float(values[0])) == self.person_class:
                rows.append([float(value) for value in values])
        return np.array(rows, np.float32).reshape(-1, wanted)


def _label_file(image: Path) -> Path:
    """The text file of an image: in ``labels`` instead of the last ``images`` of its path."""
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts) / f"{image.stem}.txt"
