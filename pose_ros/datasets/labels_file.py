"""Labels written as COCO writes them.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pose_ros.files import appears_whole
from pose_ros.skeleton import Skeleton

CATEGORY = 1
HIDDEN, VISIBLE = 1, 2
"""COCO's marks of labelled keypoints; 0 is for those that are not."""


class LabelFile:
    """A file of labels in COCO's form. It appears whole, when closed."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        """Begin a file.

        Raises:
            FileNotFoundError: If there is no folder for it: before the work, not after it.
        """
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"labels: expected a folder for {path.name}, got {path.parent}, which is none")
        self.path = path
        category = {
            "id": CATEGORY,
            "name": "person",
            "keypoints": list(skeleton.keypoint_names),
            "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        }
        self._content: dict[str, Any] = {"images": [], "annotations": [], "categories": [category]}

    def add(self, name: str, size_wh: tuple[int, int], people: Iterable[Mapping[str, Any]]) -> None:
        """Add an image by the name that stands in the set it belongs to, and the annotations of its people."""
        images, annotations = self._content["images"], self._content["annotations"]
        images.append({"id": len(images) + 1, "file_name": name, "width": size_wh[0], "height": size_wh[1]})
        for person in people:
            known = {"id": len(annotations) + 1, "image_id": len(images), "category_id": CATEGORY, "iscrowd": 0}
            annotations.append({**known, **person})

    def close(self) -> None:
        """Write the file."""
        with appears_whole(self.path) as unfinished:
            unfinished.write_text(json.dumps(self._content), encoding="utf-8")
