"""The room around synthetic people: floor, wall, pictures on it, and things that stand about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import ByteArray, DoubleArray, FloatArray, Image
from pose_ros.datasets.synthetic.body import Part
from pose_ros.datasets.synthetic.paint import Paint, random_cloth
from pose_ros.datasets.synthetic.render import VirtualCamera

FloatImage = FloatArray

_SHADOW_M = 0.22  # standard deviation of the shadow around the feet


@dataclass(frozen=True)
class Room:
    """A floor and a wall.

    Attributes:
        wall_z: Distance of the wall, m.
        floor: Its paint.
        wall: Likewise.
        pictures: Rectangles on the wall x, y (up from the floor), width, height in metres, and their paints.
        places: (x, z), radius and height in metres of posts, and their paints.
    """

    wall_z: float
    floor: Paint
    wall: Paint
    pictures: tuple[tuple[tuple[float, float, float, float], Paint], ...]
    places: tuple[tuple[tuple[float, float, float, float], Paint], ...]

    def seen(
        self, camera: VirtualCamera, background: ByteArray | None, feet: Sequence[DoubleArray]
    ) -> tuple[FloatImage, FloatImage]:
        """BGR image (H, W, 3) and depth (H, W) of the empty room; shadows lie around the feet."""
        if background is not None:
            depth = np.full(camera.size_wh[::-1], self.wall_z, np.float32)
            return _covering(background, camera.size_wh).astype(np.float32), depth
        rays = camera.rays()
        with np.errstate(divide="ignore"):
            floor_z = np.where(rays[..., 1] > 0, camera.height_m / np.maximum(rays[..., 1], 1e-9), np.inf)
        depth = np.minimum(floor_z, self.wall_z)
        points = rays * depth[..., None]
        points[..., 1] = camera.height_m - points[..., 1]  # up from the floor
        on_floor = floor_z < self.wall_z
        image = np.empty((*depth.shape, 3), np.float32)
        image[on_floor] = self._floor(points[on_floor], feet)
        image[~on_floor] = self._wall(points[~on_floor])
        return image, depth.astype(np.float32)

    def things(self, floor_y: float) -> list[Part]:
        """The posts, as parts to be drawn."""
        parts = []
        for (x, z, radius, height), paint in self.places:
            foot, top = np.array([x, floor_y, z]), np.array([x, floor_y - height, z])
            parts.append(Part(foot, top, (radius, radius), paint, foot, np.eye(3)[[2, 0, 1]]))
        return parts

    def _floor(self, points: DoubleArray, feet: Sequence[DoubleArray]) -> FloatImage:
        colours = self.floor.at(points[:, [1, 0, 2]])
        for foot in feet:
            squared = ((points[:, [0, 2]] - foot[[0, 2]]) ** 2).sum(axis=1)
            colours *= 1 - 0.6 * np.exp(-squared / (2 * _SHADOW_M**2))[:, None].astype(np.float32)
        return colours * np.float32(0.9)

    def _wall(self, points: DoubleArray) -> FloatImage:
        colours = self.wall.at(points[:, [2, 0, 1]])
        for (x, y, width, height), paint in self.pictures:
            inside = (np.abs(points[:, 0] - x) < width / 2) & (np.abs(points[:, 1] - y) < height / 2)
            colours[inside] = paint.at(points[inside][:, [2, 0, 1]])
        return colours * (0.7 + 0.05 * points[:, 1:2]).astype(np.float32)


def random_room(rng: np.random.Generator) -> Room:
    """A room drawn at random."""
    wall_z = float(rng.uniform(6.5, 11))
    floor, wall = (_subdued(random_cloth(rng), float(rng.uniform(0.05, 0.4))) for _ in range(2))
    pictures, places = [], []
    for _ in range(rng.integers(2, 9)):
        x, y, width, height = rng.uniform((-6, 0.6, 0.4, 0.4), (6, 2.4, 2.0, 2.2)).tolist()
        pictures.append(((x, y, width, height), random_cloth(rng)))
    for _ in range(rng.integers(0, 5)):
        x, z, radius, height = rng.uniform((-4, 2.5, 0.03, 0.3), (4, wall_z, 0.25, 2.2)).tolist()
        places.append(((x, z, radius, height), random_cloth(rng)))
    return Room(wall_z, floor, wall, tuple(pictures), tuple(places))


def _subdued(paint: Paint, contrast: float) -> Paint:
    """A cloth's pattern as of a floor or wall: large, and of colours near each other."""
    first, second = np.array(paint.first), np.array(paint.second)
    blue, green, red = (first + contrast * (second - first)).tolist()
    return Paint(paint.first, (blue, green, red), paint.pattern, paint.per_m / 6, paint.phase)


def _covering(image: Image, size_wh: tuple[int, int]) -> ByteArray:
    """The middle of an image, scaled to fill the size."""
    scale = max(size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
    wide, high = (max(goal, round(size * scale)) for goal, size in zip(size_wh, image.shape[1::-1], strict=True))
    resized = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (wide - size_wh[0]) // 2, (high - size_wh[1]) // 2
    cropped: Image = resized[y : y + size_wh[1], x : x + size_wh[0]]
    return cropped
