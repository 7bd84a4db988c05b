"""Read YOLO pose data sets: one text file per image, one line per person.

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
from pose_ros.datasets.images import AnnotatedImage
from pose_ros.datasets.labels import map_labels, normalise_names
from pose_ros.datasets.problems import Problems, check_keypoints
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.media.sources import images_in
from pose_ros.skeleton import COCO_17, Skeleton


def read_yolo(
    labels: Path,
    skeleton: Skeleton,
    *,
    split: str = "train",
    names: Sequence[str] = (),
    ignore_others: bool = False,
    strict: bool = True,
) -> list[AnnotatedImage]:
    """Read the data set of a ``data.yaml``. An image without a text file contains no people.

    Args:
        labels: YAML file with ``path``, the folder or list of images of each split, ``kpt_shape`` and ``flip_idx``.
        skeleton: Target skeleton.
        split: ``train``, ``val`` or ``test``.
        names: Keypoint names of the data set. Empty = the names in the file, or those of COCO for 17 keypoints.
        ignore_others: See ``AnnotatedImage.ignore_others``.
        strict: Whether the first bad image raises ValueError. If False, bad images are skipped with a warning.

    Raises:
        FileNotFoundError: If the YAML file does not exist.
        ValueError: If the YAML file is invalid, or if ``strict`` and a line is bad or an image is missing.
    """
    content = _load_yaml(labels)
    count, dims = _read_kpt_shape(content, labels)
    source = normalise_names(_read_names(content, names, count, labels))
    _check_flip(content, source, labels)
    with Problems(str(labels), strict) as problems:
        reader = _YoloReader(source, dims, _person_class(content), skeleton, ignore_others)
        return problems.read_all(reader.annotated_image, ((file,) for file in _list_images(content, split, labels)))


def _load_yaml(file: Path) -> Mapping[str, Any]:
    import yaml

    if not file.is_file():
        raise FileNotFoundError(f"labels: expected a data.yaml file, got {file}, which does not exist")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"labels {file}: expected YAML, got {error}") from error
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


def _person_class(content: Mapping[str, Any]) -> int:
    classes = content.get("names") or {}
    numbered = classes.items() if isinstance(classes, dict) else enumerate(classes)
    return next((int(number) for number, name in numbered if name == "person"), 0)


def _list_images(content: Mapping[str, Any], split: str, file: Path) -> list[Path]:
    root = file.parent / str(content.get("path") or ".")
    parts = content.get(split)
    if not parts:
        raise ValueError(f"labels {file}: expected the key {split!r} with a folder or list of images, got none")
    return [image for part in (parts if isinstance(parts, list) else [parts]) for image in _list_part(root, str(part))]


def _list_part(root: Path, part: str) -> list[Path]:
    path = root / part
    if path.is_dir():
        return images_in(path)
    if path.suffix == ".txt" and path.is_file():
        return [root / line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise ValueError(f"images: expected a folder or a .txt list of images, got {path}, which does not exist")


@dataclass(frozen=True)
class _YoloReader:
    source: tuple[str, ...]
    dims: int  # numbers per keypoint: 2 (x, y) or 3 (x, y, visible)
    person_class: int
    skeleton: Skeleton
    ignore_others: bool

    def annotated_image(self, file: Path) -> AnnotatedImage:
        if not file.is_file():
            raise ValueError(f"image: expected an image file, got {file}, which does not exist")
        people = self._read_people(_label_path(file))
        boxes = np.concatenate([people[:, 1:3] - people[:, 3:5] / 2, people[:, 1:3] + people[:, 3:5] / 2], axis=1)
        points = people[:, 5:].reshape(len(people), len(self.source), self.dims)
        keypoints = np.ascontiguousarray(points[..., :2])
        visible = points[..., 2] > 0 if self.dims == 3 else (keypoints != 0).any(axis=2)
        try:
            check_keypoints(keypoints, visible, (1, 1))
        except ValueError as error:
            raise ValueError(f"{_label_path(file)}: {error}") from error
        states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
        labels = map_labels(keypoints, states, self.source, self.skeleton)
        return AnnotatedImage(file, *labels, boxes, ignore_others=self.ignore_others, relative=True)

    def _read_people(self, file: Path) -> FloatArray:
        """Read (N, 5 + dims * K) numbers: class, centre, size, keypoints."""
        expected = 5 + self.dims * len(self.source)
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        rows = []
        for number, line in enumerate(lines, 1):
            values = line.split()
            if values and len(values) != expected:
                raise ValueError(f"{file}, line {number}: expected {expected} numbers, got {len(values)}")
            if values and int(float(values[0])) == self.person_class:
                rows.append([float(value) for value in values])
        return np.array(rows, np.float32).reshape(-1, expected)


def _label_path(image: Path) -> Path:
    """Return the text file of an image. The last folder ``images`` of its path is replaced by ``labels``."""
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts) / f"{image.stem}.txt"
