"""Write label files in COCO format.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pose_ros.files import atomic_write
from pose_ros.skeleton import Skeleton

CATEGORY = 1
HIDDEN, VISIBLE = 1, 2
"""COCO visibility flags of labelled keypoints. The flag of a keypoint without a label is 0."""


class LabelFile:
    """Label file in COCO format. Only ``close`` writes to disk, and it writes the whole file at once."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        """Start an empty file.

        Raises:
            FileNotFoundError: If the folder does not exist. Checked here, so that a long run does not fail at its end.
        """
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(
                f"labels: expected a folder for {path.name}, got {path.parent}, which is not a folder; create it first"
            )
        self.path = path
        category = {
            "id": CATEGORY,
            "name": "person",
            "keypoints": list(skeleton.keypoint_names),
            "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        }
        self._people: list[list[dict[str, Any]]] = []  # annotations of each image
        self._content: dict[str, Any] = {"images": [], "annotations": [], "categories": [category]}

    def add(
        self, name: str, size_wh: tuple[int, int], people: Iterable[Mapping[str, Any]], number: int | None = None
    ) -> None:
        """Add an image and the annotations of its people.

        Args:
            name: ``file_name`` of the image in its data set.
            size_wh: Width and height, px.
            people: COCO annotations without ``id``, ``image_id``, ``category_id`` and ``iscrowd``.
            number: Id of the image. None = the number of images, this one included.
        """
        images, annotations = self._content["images"], self._content["annotations"]
        number = len(images) + 1 if number is None else number
        images.append({"id": number, "file_name": name, "width": size_wh[0], "height": size_wh[1]})
        self._people.append([])
        for person in people:
            common = {"id": len(annotations) + 1, "image_id": number, "category_id": CATEGORY, "iscrowd": 0}
            annotations.append({**common, **person})
            self._people[-1].append(annotations[-1])

    def close(self) -> None:
        """Write the file. If image ids clash, the images are numbered from 1."""
        images = self._content["images"]
        if len({image["id"] for image in images}) < len(images):
            self._number_images()
        with atomic_write(self.path) as unfinished:
            unfinished.write_text(json.dumps(self._content), encoding="utf-8")

    def _number_images(self) -> None:
        for number, (image, people) in enumerate(zip(self._content["images"], self._people, strict=True), start=1):
            image["id"] = number
            for person in people:
                person["image_id"] = number
