"""Rounded cones seen by a pinhole camera: depth, which part is where, shaded colours.

References:
    Levoy and Whitted, The Use of Points as a Display Primitive, 1985, and any text on ray casting of quadrics: a ray
    from the camera meets a cone, or a sphere at its end, where a quadratic equation has its smaller root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, IntArray
from pose_ros.datasets.synthetic.body import Part

NOTHING = -1
_AMBIENT = 0.45
_NEAR_M = 0.1


@dataclass(frozen=True)
class VirtualCamera:
    """A pinhole camera without distortion, level.

    Attributes:
        size_wh: Of the image, px.
        focal_px: Focal length.
        centre_xy: Principal point, px.
        height_m: Above the floor.
    """

    size_wh: tuple[int, int]
    focal_px: float
    centre_xy: tuple[float, float]
    height_m: float = 1.3

    @classmethod
    def of(cls, size_wh: tuple[int, int], view_deg: float = 65.0, height_m: float = 1.3) -> VirtualCamera:
        """A camera whose image is ``view_deg`` wide along its longer side."""
        focal_px = max(size_wh) / 2 / np.tan(np.deg2rad(view_deg) / 2)
        return cls(size_wh, float(focal_px), ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2), height_m)

    @property
    def matrix(self) -> DoubleArray:
        """(3, 3) K."""
        (x, y), focal = self.centre_xy, self.focal_px
        return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]])

    def project(self, points: DoubleArray) -> DoubleArray:
        """(..., 2) pixels of points (..., 3); NaN behind the camera."""
        depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
        return points[..., :2] / depth * self.focal_px + self.centre_xy

    def rays(self) -> DoubleArray:
        """(H, W, 3) directions of the pixels, of which z is 1."""
        x = (np.arange(self.size_wh[0]) - self.centre_xy[0]) / self.focal_px
        y = (np.arange(self.size_wh[1]) - self.centre_xy[1]) / self.focal_px
        return np.stack([*np.meshgrid(x, y), np.ones(self.size_wh[::-1])], axis=2)


def render(
    parts: Sequence[Part],
    camera: VirtualCamera,
    image: FloatArray,
    depth: FloatArray,
    light: DoubleArray,
) -> IntArray:
    """Draw parts into an image (H, W, 3), in front of what its depth (H, W) says; both change.

    Args:
        parts: Rounded cones.
        camera: Of the image.
        image: BGR, 0 to 255.
        depth: Metres along the optical axis.
        light: (3,) unit vector towards the light.

    Returns:
        (H, W) index of the part at each pixel, NOTHING where there is none.
    """
    rays, owner = camera.rays(), np.full(depth.shape, NOTHING, np.int32)
    windows = [_window(part, camera) for part in parts]
    for index, (part, window) in enumerate(zip(parts, windows, strict=True)):
        found = _hit(part, rays[window])
        nearer = found < depth[window]
        depth[window][nearer] = found[nearer]
        owner[window][nearer] = index
    for index, (part, window) in enumerate(zip(parts, windows, strict=True)):
        mine = owner[window] == index
        points = rays[window][mine] * depth[window][mine][:, None]
        image[window][mine] = _shaded(part, points, light)
    return owner


def _window(part: Part, camera: VirtualCamera) -> tuple[slice, slice]:
    """Rows and columns that the part may cover; the whole image if it comes too near."""
    ends, radii = np.stack([part.start, part.end]), np.array(part.radii)
    nearest = ends[:, 2] - radii
    if nearest.min() < _NEAR_M:
        return slice(0, 0 if nearest.max() < 0 else camera.size_wh[1]), slice(0, camera.size_wh[0])
    centres = camera.project(ends)
    reach = (camera.focal_px * radii / nearest * (1 + np.abs(ends[:, :2]).max(axis=1) / ends[:, 2]))[:, None]
    low = np.clip(np.floor((centres - reach).min(axis=0)), 0, camera.size_wh).astype(int)
    high = np.clip(np.ceil((centres + reach).max(axis=0)) + 1, 0, camera.size_wh).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _hit(part: Part, rays: DoubleArray) -> DoubleArray:
    """(H, W) depth at which each ray meets the part; infinity where it does not."""
    return np.minimum(
        _cone_hit(part, rays),
        np.minimum(_ball_hit(part.start, part.radii[0], rays), _ball_hit(part.end, part.radii[1], rays)),
    )


def _ball_hit(centre: DoubleArray, radius: float, rays: DoubleArray) -> DoubleArray:
    """|s d - c| = r."""
    along, square = rays @ centre, (rays**2).sum(axis=2)
    inner = along**2 - square * (centre @ centre - radius**2)
    found = (along - np.sqrt(np.maximum(inner, 0))) / square
    return np.where((inner >= 0) & (found > _NEAR_M), found, np.inf)


def _cone_hit(part: Part, rays: DoubleArray) -> DoubleArray:
    """|w|^2 - m^2 = (r + k m)^2 with w = s d - start and m = w . axis, the place along the axis."""
    axis = part.end - part.start
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        return np.full(rays.shape[:2], np.inf)
    axis, growth = axis / length, (part.radii[1] - part.radii[0]) / length
    ray_axis, start_axis, ray_start = rays @ axis, float(part.start @ axis), rays @ part.start
    radius, slope = part.radii[0] - growth * start_axis, growth * ray_axis
    a = (rays**2).sum(axis=2) - ray_axis**2 - slope**2
    b = ray_start - ray_axis * start_axis + radius * slope
    inner = b**2 - a * (part.start @ part.start - start_axis**2 - radius**2)
    found = (b - np.sqrt(np.maximum(inner, 0))) / np.where(np.abs(a) < 1e-12, 1e-12, a)
    place = found * ray_axis - start_axis
    return np.where((inner >= 0) & (place >= 0) & (place <= length) & (found > _NEAR_M), found, np.inf)


def _shaded(part: Part, points: DoubleArray, light: DoubleArray) -> FloatArray:
    """(M, 3) colours of points (M, 3) on a part: ambient and diffuse light."""
    axis = part.end - part.start
    share = np.clip((points - part.start) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    normals = points - part.start - share[:, None] * axis
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    brightness = _AMBIENT + (1 - _AMBIENT) * np.clip(normals @ light, 0, None)
    colours = part.paint.at((points - part.origin) @ part.axes.T)
    return (colours * brightness[:, None]).astype(np.float32)
