"""Render rounded cones with a pinhole camera: depth, index of the cone at each pixel, shaded colours.

References:
    Levoy and Whitted, The Use of Points as a Display Primitive, 1985, and any text on ray casting of quadrics: a ray
    from the camera meets a cone, or a sphere at its end, where a quadratic equation has its smaller root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, IntArray
from pose_ros.datasets.synthetic.body import Cone

NOTHING = -1
_AMBIENT = 0.45
_NEAR_M = 0.1


@dataclass(frozen=True)
class VirtualCamera:
    """Pinhole camera without distortion, with a horizontal optical axis.

    Attributes:
        size_wh: Width and height of the image, px.
        focal_px: Focal length, px.
        centre_xy: Principal point, px.
        height_m: Height above the floor, m.
    """

    size_wh: tuple[int, int]
    focal_px: float
    centre_xy: tuple[float, float]
    height_m: float = 1.3

    @classmethod
    def from_view_angle(cls, size_wh: tuple[int, int], view_deg: float = 65.0, height_m: float = 1.3) -> VirtualCamera:
        """Make a camera with a field of view of ``view_deg`` along the longer side of the image."""
        focal_px = max(size_wh) / 2 / np.tan(np.deg2rad(view_deg) / 2)
        return cls(size_wh, float(focal_px), ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2), height_m)

    @property
    def matrix(self) -> DoubleArray:
        """Camera matrix K, (3, 3)."""
        (x, y), focal = self.centre_xy, self.focal_px
        return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]])

    def project(self, points: DoubleArray) -> DoubleArray:
        """Project points (..., 3), m, to pixels (..., 2). NaN behind the camera."""
        depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
        return points[..., :2] / depth * self.focal_px + self.centre_xy

    def rays(self) -> DoubleArray:
        """Return the ray direction of each pixel, (H, W, 3), with z = 1."""
        x = (np.arange(self.size_wh[0]) - self.centre_xy[0]) / self.focal_px
        y = (np.arange(self.size_wh[1]) - self.centre_xy[1]) / self.focal_px
        return np.stack([*np.meshgrid(x, y), np.ones(self.size_wh[::-1])], axis=2)


def render(
    cones: Sequence[Cone],
    camera: VirtualCamera,
    image: FloatArray,
    depth: FloatArray,
    light: DoubleArray,
) -> IntArray:
    """Draw cones into an image where they are in front of its depth.

    Args:
        cones: Rounded cones.
        camera: Camera of the image.
        image: (H, W, 3) BGR, 0 to 255, modified in place.
        depth: (H, W) metres along the optical axis, modified in place.
        light: (3,) unit vector towards the light.

    Returns:
        (H, W) index of the cone at each pixel, NOTHING for pixels without a cone.
    """
    rays, owner = camera.rays(), np.full(depth.shape, NOTHING, np.int32)
    windows = [_window(cone, camera) for cone in cones]
    for index, (cone, window) in enumerate(zip(cones, windows, strict=True)):
        found = _intersect_cone(cone, rays[window])
        nearer = found < depth[window]
        depth[window][nearer] = found[nearer]
        owner[window][nearer] = index
    for index, (cone, window) in enumerate(zip(cones, windows, strict=True)):
        own = owner[window] == index
        points = rays[window][own] * depth[window][own][:, None]
        image[window][own] = _shade(cone, points, light)
    return owner


def _window(cone: Cone, camera: VirtualCamera) -> tuple[slice, slice]:
    """Return the rows and columns that a cone may cover. The whole image if the cone is too near to the camera."""
    ends, radii = np.stack([cone.start, cone.end]), np.array(cone.radii)
    nearest = ends[:, 2] - radii
    if nearest.min() < _NEAR_M:
        return slice(0, 0 if nearest.max() < 0 else camera.size_wh[1]), slice(0, camera.size_wh[0])
    centres = camera.project(ends)
    reach = (camera.focal_px * radii / nearest * (1 + np.abs(ends[:, :2]).max(axis=1) / ends[:, 2]))[:, None]
    low = np.clip(np.floor((centres - reach).min(axis=0)), 0, camera.size_wh).astype(int)
    high = np.clip(np.ceil((centres + reach).max(axis=0)) + 1, 0, camera.size_wh).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _intersect_cone(cone: Cone, rays: DoubleArray) -> DoubleArray:
    """Return the depth (H, W) at which each ray meets a rounded cone, m. Infinity if it does not."""
    return np.minimum(
        _intersect_side(cone, rays),
        np.minimum(_intersect_ball(cone.start, cone.radii[0], rays), _intersect_ball(cone.end, cone.radii[1], rays)),
    )


def _intersect_ball(centre: DoubleArray, radius: float, rays: DoubleArray) -> DoubleArray:
    """Intersect rays d with a ball: |s d - c| = r."""
    along, square = rays @ centre, (rays**2).sum(axis=2)
    inner = along**2 - square * (centre @ centre - radius**2)
    found = (along - np.sqrt(np.maximum(inner, 0))) / square
    return np.where((inner >= 0) & (found > _NEAR_M), found, np.inf)


def _intersect_side(cone: Cone, rays: DoubleArray) -> DoubleArray:
    """Intersect rays d with the side of a cone.

    |w|^2 - m^2 = (r + k m)^2 with w = s d - start, and m = w . axis the position along the axis.
    """
    axis = cone.end - cone.start
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        return np.full(rays.shape[:2], np.inf)
    axis, growth = axis / length, (cone.radii[1] - cone.radii[0]) / length
    ray_axis, start_axis, ray_start = rays @ axis, float(cone.start @ axis), rays @ cone.start
    radius, slope = cone.radii[0] - growth * start_axis, growth * ray_axis
    a = (rays**2).sum(axis=2) - ray_axis**2 - slope**2
    b = ray_start - ray_axis * start_axis + radius * slope
    inner = b**2 - a * (cone.start @ cone.start - start_axis**2 - radius**2)
    found = (b - np.sqrt(np.maximum(inner, 0))) / np.where(np.abs(a) < 1e-12, 1e-12, a)
    place = found * ray_axis - start_axis
    return np.where((inner >= 0) & (place >= 0) & (place <= length) & (found > _NEAR_M), found, np.inf)


def _shade(cone: Cone, points: DoubleArray, light: DoubleArray) -> FloatArray:
    """Shade points (M, 3) on a cone with ambient and diffuse light. Return their colours (M, 3)."""
    axis = cone.end - cone.start
    share = np.clip((points - cone.start) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    normals = points - cone.start - share[:, None] * axis
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    brightness = _AMBIENT + (1 - _AMBIENT) * np.clip(normals @ light, 0, None)
    colours = cone.paint.colours_at((points - cone.origin) @ cone.axes.T)
    return (colours * brightness[:, None]).astype(np.float32)
