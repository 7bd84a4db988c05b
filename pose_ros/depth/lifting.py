"""Lift keypoints to metres with a depth image that is registered to the colour image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray, FloatArray
from pose_ros.config import DepthConfig
from pose_ros.depth.camera_model import CameraModel, check_same_view
from pose_ros.depth.consistency import choose_surfaces
from pose_ros.depth.proportions import Proportions, find_positions, measure_heights
from pose_ros.depth.surfaces import MAX_SURFACES, find_surfaces
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

_ADULT_M = 1.7
_SHARE_OF_LIMB = 0.6
_MIN_PATCH_M = 0.02
"""Half the side of a patch: this share of the half thickness of the limb, at least this length."""
_GIRTH = 0.3
"""Standard deviation of the thickness of people, relative to it."""
_SHAPE_M = 0.01
_TRUNK_WEIGHT = 2.0


@dataclass(frozen=True, eq=False)
class LiftedPeople:
    """N people of K keypoints in the optical frame of the camera: x right, y down, z forwards.

    NaN = unknown, never 0.

    Attributes:
        keypoints_m: (N, K, 3) float32 positions, m.
        sigmas_m: (N, K) float32, standard deviation of each keypoint along its ray, m.
        positions_m: (N, 3) float32, position of each person: the middle between the middle of the shoulders and the
            middle of the hips. The mean of all keypoints of the trunk if one of the four is unknown, of all known
            keypoints if the trunk is.
        position_sigmas_m: (N,) float32, standard deviation of each position along its ray, m.
        is_monocular: Whether the positions come from the proportions of the body instead of a depth image.
    """

    keypoints_m: FloatArray
    sigmas_m: FloatArray
    positions_m: FloatArray
    position_sigmas_m: FloatArray
    is_monocular: bool = False

    def transform(self, matrix: AnyArray) -> LiftedPeople:
        """Return the people in another frame. Standard deviations stay along the rays of the camera.

        Args:
            matrix: As for ``transform_points``.

        Raises:
            ValueError: As for ``transform_points``.
        """
        keypoints_m, positions_m = (transform_points(points, matrix) for points in (self.keypoints_m, self.positions_m))
        return replace(self, keypoints_m=keypoints_m, positions_m=positions_m)


def transform_points(points_m: AnyArray, matrix: AnyArray) -> FloatArray:
    """Transform points to another frame. Unknown points stay NaN.

    Args:
        points_m: (..., 3) points, m.
        matrix: (4, 4) transform from their frame to the other one: rotation and translation, last row 0 0 0 1.

    Raises:
        ValueError: If the matrix is not a transform.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise ValueError(f"matrix: expected 4 x 4 finite values with the last row 0 0 0 1, got {matrix.tolist()}")
    return (np.asarray(points_m, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def lift(
    people: People,
    depth_m: AnyArray,
    camera: CameraModel,
    skeleton: Skeleton | None = None,
    settings: DepthConfig | None = None,
) -> FloatArray:
    """Lift keypoints to metres. See ``Lifter``, which is faster for many images and also returns uncertainties.

    Args:
        people: N people of K keypoints, in pixels of the camera.
        depth_m: (H, W) depth image, m.
        camera: Camera of the colour image.
        skeleton: Skeleton of the people. None = points on the surface of the body, without checks of its proportions.
        settings: Settings. None = defaults.

    Returns:
        (N, K, 3) float32 in the optical frame of the camera, m. NaN = unknown.

    Raises:
        ValueError: As for ``Lifter``.
    """
    proportions = Proportions.unknown(people.keypoints.shape[1]) if skeleton is None else Proportions.of(skeleton)
    return Lifter(proportions, settings)(people, depth_m, camera).keypoints_m


class Lifter:
    """Function from people and a depth image to people in metres. Stateless and thread-safe.

    A sensor measures the surface of the body, but a keypoint is a joint inside it. Its point is moved along its ray
    from the surface into the body, by half the thickness of an adult at that keypoint. A keypoint that something hides
    has the distance of what hides it, unless the body could not reach there: then it is unknown.
    """

    def __init__(self, body: Skeleton | Proportions, settings: DepthConfig | None = None) -> None:
        self.settings = settings or DepthConfig()
        self.proportions = Proportions.of(body) if isinstance(body, Skeleton) else body
        below_m = self.proportions.below_surface_m
        self._below_m = np.zeros_like(below_m) if self.settings.surface else below_m
        self._patch_m = np.maximum(_SHARE_OF_LIMB * below_m, _MIN_PATCH_M)

    def __call__(self, people: People, depth_m: AnyArray, camera: CameraModel) -> LiftedPeople:
        """Lift people to metres.

        Args:
            people: N people of K keypoints, in pixels of the camera. Not modified.
            depth_m: (H, W) distance along the optical axis, m. NaN, 0 and Inf = unknown. Registered to the colour
                image: the same field of view from the same optical centre. Its size may differ.
            camera: Camera of the colour image.

        Raises:
            ValueError: If the depth image is not (H, W) of floats or has another aspect ratio than the camera, or if
                the people have another number of keypoints than the skeleton.
        """
        depth_m = np.asarray(depth_m)
        if depth_m.ndim != 2 or depth_m.dtype.kind != "f" or 0 in depth_m.shape:
            raise ValueError(f"depth: expected (H, W) floats in metres, got {depth_m.shape} {depth_m.dtype}")
        self.proportions.check_keypoints(people)
        check_same_view(camera.size_wh, depth_m.shape[::-1])
        return self._lift(people, np.ascontiguousarray(depth_m, np.float32), camera)

    def _lift(self, people: People, depth_m: FloatArray, camera: CameraModel) -> LiftedPeople:
        n, k, _ = people.keypoints.shape
        xy, visible = people.keypoints.astype(np.float64), people.visible
        scale_xy = np.array(depth_m.shape[::-1]) / camera.size_wh
        rays = camera.rays(xy)
        heights = measure_heights(rays, visible, self.proportions)
        half_px = heights[:, None] * (camera.k[0, 0] * scale_xy[0] / _ADULT_M * self._patch_m)
        half_px = half_px.clip(1, max(depth_m.shape))
        surfaces, counts = np.zeros((n, k, MAX_SURFACES, 3)), np.zeros((n, k), np.int64)
        limits_m = np.array([max(self.settings.min_m, 1e-6), self.settings.max_m])
        noise = self.settings.noise
        depth_xy, is_thin = (xy + 0.5) * scale_xy - 0.5, ~self.proportions.is_trunk
        find_surfaces(depth_m, depth_xy, visible, is_thin, half_px, limits_m, noise, surfaces, counts)
        chosen, points = np.empty((n, k), np.int64), np.zeros((n, k, 3))
        weights = people.scores * np.where(self.proportions.is_trunk, _TRUNK_WEIGHT, 1.0)
        reach = self.proportions.reach
        known_heights = heights if len(self.proportions.limbs) else np.zeros(n)
        choose_surfaces(surfaces, counts, rays, weights, self._below_m, reach, known_heights, noise, chosen, points)
        points[chosen < 0] = np.nan
        sigma = np.take_along_axis(surfaces[..., 1], np.maximum(chosen, 0)[..., None], axis=2)[..., 0]
        return self._collect(points, sigma * np.sqrt((rays**2).sum(axis=2)), camera)

    def _collect(self, points: DoubleArray, sigmas: DoubleArray, camera: CameraModel) -> LiftedPeople:
        """Turn the points to the frame of the camera, and average those of the trunk.

        Args:
            points: (N, K, 3) keypoints in the frame of the lens, m. NaN = unknown.
            sigmas: (N, K) standard deviation of each surface along the ray, m.
            camera: Camera of the keypoints.
        """
        if camera.rotation is not None:
            points = points @ camera.rotation.T
        sigmas = np.where(np.isnan(points[..., 2]), np.nan, sigmas)
        sigmas = np.sqrt(sigmas**2 + (_GIRTH * self._below_m) ** 2 + _SHAPE_M**2)
        positions, position_sigmas = find_positions(points, sigmas, self.proportions)
        kind = np.float32
        return LiftedPeople(
            points.astype(kind), sigmas.astype(kind), positions.astype(kind), position_sigmas.astype(kind)
        )
