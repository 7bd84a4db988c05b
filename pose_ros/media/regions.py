"""Read the parts of camera images where nobody is to be looked for, and drop the people there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import BoolArray
from pose_ros.media.decoding import read_image
from pose_ros.people import People
from pose_ros.yaml_text import read_yaml

ALL_CAMERAS = "all"
"""Name in a file for every camera that has no entry of its own."""
_YAML_SUFFIXES = (".yaml", ".yml")
_WHITE = 128


class IgnoredRegion:
    """Part of the images of a camera. It is scaled to the size of each image."""

    def __init__(self, mask: BoolArray) -> None:
        """Store a mask.

        Args:
            mask: (H, W), True where people are ignored.
        """
        self._mask = mask
        self._scaled = mask

    def mask(self, size_wh: tuple[int, int]) -> BoolArray:
        """Return the mask for images of a size, (H, W). Not to be modified."""
        if self._scaled.shape[::-1] != size_wh:
            scaled = cv2.resize(self._mask.view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
            self._scaled = scaled.astype(bool)
        return self._scaled

    def drop(self, people: People, size_wh: tuple[int, int]) -> People:
        """Return the people whose centre is elsewhere. The centre is that of the box of the keypoints.

        Args:
            people: People of an image, pixels.
            size_wh: Width and height of the image, pixels.
        """
        if not len(people):
            return people
        mask, boxes = self.mask(size_wh), people.boxes()
        x, y = np.rint((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int).T
        is_inside = (x >= 0) & (y >= 0) & (x < size_wh[0]) & (y < size_wh[1])
        is_ignored = np.zeros(len(people), bool)
        is_ignored[is_inside] = mask[y[is_inside], x[is_inside]]
        return people[~is_ignored] if is_ignored.any() else people


def load_regions(path: str | Path) -> dict[str, IgnoredRegion]:
    """Read the ignored regions of cameras.

    Args:
        path: YAML file with polygons for each camera, or image that is white where people are ignored. Empty = none.

    Returns:
        The region of each camera, and of all others under ``ALL_CAMERAS``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be read, or ignores a whole image.
    """
    if path == "":
        return {}
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"regions.ignore: expected a YAML file or an image, got {path}, which does not exist")
    if path.suffix.lower() not in _YAML_SUFFIXES:
        regions = {ALL_CAMERAS: read_image(path, cv2.IMREAD_GRAYSCALE) >= _WHITE}
    else:
        data = read_yaml(path, "regions.ignore")
        if not isinstance(data, Mapping) or not data:
            raise ValueError(f"regions.ignore {path}: expected polygons by camera, got {type(data).__name__}")
        regions = {str(camera): _draw_polygons(entry, f"{path}, {camera}") for camera, entry in data.items()}
    for camera, mask in regions.items():
        if mask.all():
            raise ValueError(f"regions.ignore {path}, {camera}: expected a part of the image, got all of it")
    return {camera: IgnoredRegion(mask) for camera, mask in regions.items()}


def find_region(regions: Mapping[str, IgnoredRegion], camera: str = "") -> IgnoredRegion | None:
    """Return the region of a camera: its own, else that of all cameras. None = nothing is ignored.

    Args:
        regions: Regions of cameras.
        camera: Name of the camera, or of its topic. Empty = the only camera.

    Raises:
        ValueError: If the only camera has no name, and the file has several.
    """
    if camera and camera in regions:
        return regions[camera]
    if ALL_CAMERAS in regions:
        return regions[ALL_CAMERAS]
    if not camera and regions:
        if len(regions) > 1:
            raise ValueError(f"regions.ignore: expected one camera or '{ALL_CAMERAS}', got {', '.join(regions)}")
        return next(iter(regions.values()))
    return None


def _draw_polygons(entry: Any, where: str) -> BoolArray:
    example = "{image_size: [640, 480], polygons: [[[0, 0], [200, 0], [200, 480]]]}"
    try:
        if unknown := sorted(set(entry) - {"image_size", "polygons"}):
            raise ValueError(f"the unknown names {', '.join(map(str, unknown))}")
        width, height = (int(side) for side in entry["image_size"])
        polygons = [np.asarray(points, np.float64) for points in entry["polygons"]]
        if not (0 < width <= 1 << 15 and 0 < height <= 1 << 15) or not polygons:
            raise ValueError("no size and polygons")
        for points in polygons:
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
                raise ValueError("a polygon without three points")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"regions.ignore {where}: expected {example}, got {error!r}") from error
    mask = np.zeros((height, width), np.uint8)
    for number, points in enumerate(polygons, 1):  # one by one, so that parts of two polygons stay ignored
        one = np.zeros_like(mask)
        cv2.fillPoly(one, [np.rint(np.clip(points, -1e5, 1e5)).astype(np.int32)], 1)
        if not one.any():
            raise ValueError(
                f"regions.ignore {where}: expected polygons inside {width} x {height} px, got polygon {number} outside "
                "it; correct its points or image_size"
            )
        mask |= one
    return mask.astype(bool)
