"""Render the room around synthetic people: floor, wall, posters on the wall, and posts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import ByteArray, DoubleArray, FloatArray, Image
from pose_ros.datasets.synthetic.body import Cone
from pose_ros.datasets.synthetic.paint import Paint, random_cloth
from pose_ros.datasets.synthetic.render import VirtualCamera

FloatImage = FloatArray

_SHADOW_M = 0.22  # standard deviation of the shadow around the feet


@dataclass(frozen=True)
class Room:
    """Room with a floor, a wall, posters and posts.

    Attributes:
        wall_z: Distance of the wall, m.
        floor: Paint of the floor.
        wall: Paint of the wall.
        posters: Rectangles on the wall: x, y (up from the floor), width and height, m, and paint of each.
        posts: Cylinders on the floor: x, z, radius and height, m, and paint of each.
    """

    wall_z: float
    floor: Paint
    wall: Paint
    posters: tuple[tuple[tuple[float, float, float, float], Paint], ...]
    posts: tuple[tuple[tuple[float, float, float, float], Paint], ...]

    def render(
        self, camera: VirtualCamera, background: ByteArray | None, feet: Sequence[DoubleArray]
    ) -> tuple[FloatImage, FloatImage]:
        """Render the empty room with shadows around the feet.

        Args:
            camera: Camera of the image.
            background: Image to show at the distance of the wall instead of floor and wall. None = the room.
            feet: (3,) point on the floor below each person, m.

        Returns:
            BGR image (H, W, 3) and depth (H, W), m.
        """
        if background is not None:
            depth = np.full(camera.size_wh[::-1], self.wall_z, np.float32)
            return _crop_to_fill(background, camera.size_wh).astype(np.float32), depth
        rays = camera.rays()
        with np.errstate(divide="ignore"):
            floor_z = np.where(rays[..., 1] > 0, camera.height_m / np.maximum(rays[..., 1], 1e-9), np.inf)
        depth = np.minimum(floor_z, self.wall_z)
        points = rays * depth[..., None]
        points[..., 1] = camera.height_m - points[..., 1]  # up from the floor
        on_floor = floor_z < self.wall_z
        image = np.empty((*depth.shape, 3), np.float32)
        image[on_floor] = self._floor_colours(points[on_floor], feet)
        image[~on_floor] = self._wall_colours(points[~on_floor])
        return image, depth.astype(np.float32)

    def post_cones(self, floor_y: float) -> list[Cone]:
        """Return the posts as cones."""
        cones = []
        for (x, z, radius, height), paint in self.posts:
            foot, top = np.array([x, floor_y, z]), np.array([x, floor_y - height, z])
            cones.append(Cone(foot, top, (radius, radius), paint, foot, np.eye(3)[[2, 0, 1]]))
        return cones

    def _floor_colours(self, points: DoubleArray, feet: Sequence[DoubleArray]) -> FloatImage:
        colours = self.floor.colours_at(points[:, [1, 0, 2]])
        for foot in feet:
            squared = ((points[:, [0, 2]] - foot[[0, 2]]) ** 2).sum(axis=1)
            colours *= 1 - 0.6 * np.exp(-squared / (2 * _SHADOW_M**2))[:, None].astype(np.float32)
        return colours * np.float32(0.9)

    def _wall_colours(self, points: DoubleArray) -> FloatImage:
        colours = self.wall.colours_at(points[:, [2, 0, 1]])
        for (x, y, width, height), paint in self.posters:
            inside = (np.abs(points[:, 0] - x) < width / 2) & (np.abs(points[:, 1] - y) < height / 2)
            colours[inside] = paint.colours_at(points[inside][:, [2, 0, 1]])
        return colours * (0.7 + 0.05 * points[:, 1:2]).astype(np.float32)


def random_room(rng: np.random.Generator) -> Room:
    """Make a random room."""
    wall_z = float(rng.uniform(6.5, 11))
    floor, wall = (_soften_pattern(random_cloth(rng), float(rng.uniform(0.05, 0.4))) for _ in range(2))
    posters, posts = [], []
    for _ in range(rng.integers(2, 9)):
        x, y, width, height = rng.uniform((-6, 0.6, 0.4, 0.4), (6, 2.4, 2.0, 2.2)).tolist()
        posters.append(((x, y, width, height), random_cloth(rng)))
    for _ in range(rng.integers(0, 5)):
        x, z, radius, height = rng.uniform((-4, 2.5, 0.03, 0.3), (4, wall_z, 0.25, 2.2)).tolist()
        posts.append(((x, z, radius, height), random_cloth(rng)))
    return Room(wall_z, floor, wall, tuple(posters), tuple(posts))


def _soften_pattern(paint: Paint, contrast: float) -> Paint:
    """Turn the paint of a cloth into that of a floor or wall: larger pattern, similar colours."""
    first, second = np.array(paint.first), np.array(paint.second)
    blue, green, red = (first + contrast * (second - first)).tolist()
    return Paint(paint.first, (blue, green, red), paint.pattern, paint.per_m / 6, paint.phase)


def _crop_to_fill(image: Image, size_wh: tuple[int, int]) -> ByteArray:
    """Scale an image to fill a size, and crop its centre."""
    scale = max(size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
    wide, high = (max(target, round(size * scale)) for target, size in zip(size_wh, image.shape[1::-1], strict=True))
    resized = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (wide - size_wh[0]) // 2, (high - size_wh[1]) // 2
    cropped: Image = resized[y : y + size_wh[1], x : x + size_wh[0]]
    return cropped
