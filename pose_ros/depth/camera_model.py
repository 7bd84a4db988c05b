"""Model a calibrated camera: from pixels to rays.

References:
    REP-104 and sensor_msgs/CameraInfo (K, D, R, P, binning, region of interest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, DoubleArray, SizeWH
from pose_ros.depth.distortion import complete_coefficients, undistort

_SAME_ASPECT = 0.02
"""Largest relative difference between the aspect ratios of two images with the same field of view."""


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Calibrated camera. Pixel centres are at integers.

    Attributes:
        size_wh: Width and height of its images, px.
        k: (3, 3) camera matrix, px.
        d: (n,) coefficients of the distortion, in the order of OpenCV.
        distortion_model: ``"plumb_bob"``, ``"rational_polynomial"`` or ``"equidistant"``.
        rotation: (3, 3) rotation from the frame of the lens to the optical frame of the camera. None = the same frame.

    Raises:
        ValueError: If the camera is not calibrated, or a value does not make sense.
    """

    size_wh: SizeWH
    k: DoubleArray
    d: DoubleArray = ()  # type: ignore[assignment]
    distortion_model: str = "plumb_bob"
    rotation: DoubleArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", _to_matrix("K", self.k, (3, 3)))
        object.__setattr__(self, "d", np.asarray(self.d, np.float64).reshape(-1))
        if not (self.k[0, 0] > 0 and self.k[1, 1] > 0):
            raise ValueError(
                f"K: expected focal lengths above 0, got {self.k[0, 0]} and {self.k[1, 1]}; the camera is not "
                "calibrated: calibrate it with camera_calibration"
            )
        if self.k[0, 1] or self.k[1, 0] or not np.array_equal(self.k[2], (0, 0, 1)):
            raise ValueError(f"K: expected (fx 0 cx, 0 fy cy, 0 0 1), got {self.k.tolist()}")
        if min(self.size_wh) <= 0:
            raise ValueError(f"size: expected width and height above 0, got {self.size_wh[0]} x {self.size_wh[1]}")
        _ = self._coefficients  # raises
        if self.rotation is not None:
            rotation = _to_matrix("R", self.rotation, (3, 3))
            if not (np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0):
                raise ValueError(f"R: expected a rotation, got {rotation.tolist()}")
            object.__setattr__(self, "rotation", None if np.array_equal(rotation, np.eye(3)) else rotation)

    @classmethod
    def from_info(
        cls, info: Any, size_wh: SizeWH | None = None, *, rectified: bool = False, name: str = "camera_info"
    ) -> CameraModel:
        """Make the model of the images that a calibration belongs to.

        The optical frame of the camera is the one after rectification, as in ``image_geometry``. The same person has
        the same coordinates in it, whether the image is rectified or not. The fourth column of P is not used: it leads
        from the second camera of a stereo pair to the first.

        Args:
            info: ``sensor_msgs/CameraInfo``, or an object with its fields.
            size_wh: Width and height of the images, px. None = as the calibration says. If they differ, the images are
                resized.
            rectified: Whether the images are rectified (``image_rect``): P without distortion. Otherwise K, D and R.
            name: Name of the calibration in errors, such as its topic.

        Raises:
            ValueError: If the camera is not calibrated, a value does not make sense, or the images have another aspect
                ratio.
        """
        try:
            full_wh = (int(info.width), int(info.height))
            if not all(full_wh) and size_wh:  # some drivers leave the size empty
                full_wh = size_wh
            model = (_rectified_model if rectified else _raw_model)(cls, info, full_wh)._cropped(info)
            return model.resized(size_wh) if size_wh else model
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def resized(self, size_wh: SizeWH) -> CameraModel:
        """Return the camera of the resized images.

        Raises:
            ValueError: If the aspect ratio differs, so that the images do not have the same field of view.
        """
        if tuple(size_wh) == tuple(self.size_wh):
            return self
        check_same_view(self.size_wh, size_wh)
        scale_xy = (size_wh[0] / self.size_wh[0], size_wh[1] / self.size_wh[1])
        return replace(self, size_wh=size_wh, k=_scaled(self.k, scale_xy))

    def rays(self, xy: AnyArray) -> DoubleArray:
        """Return the rays of pixels in the frame of the lens.

        Args:
            xy: (..., 2) pixels.

        Returns:
            (..., 3) directions with z = 1. NaN where the lens forms no image.
        """
        focal, centre = self.k[[0, 1], [0, 1]], self.k[:2, 2]
        distorted = ((np.asarray(xy, np.float64) - centre) / focal).reshape(-1, 2)
        ideal = undistort(distorted, self._coefficients)
        rays: DoubleArray = np.concatenate([ideal, np.ones((len(ideal), 1))], axis=1).reshape(*np.shape(xy)[:-1], 3)
        return rays

    @cached_property
    def _coefficients(self) -> DoubleArray:
        return complete_coefficients(self.distortion_model, self.d)

    def _cropped(self, info: Any) -> CameraModel:
        """Apply the region of interest, in pixels of the sensor, and then the binning."""
        roi, bins = info.roi, (max(int(info.binning_x), 1), max(int(info.binning_y), 1))
        full_wh = (int(roi.width) or self.size_wh[0], int(roi.height) or self.size_wh[1])
        k = self.k.copy()
        k[:2, 2] -= (roi.x_offset, roi.y_offset)
        size_wh = (full_wh[0] // bins[0], full_wh[1] // bins[1])
        return replace(self, size_wh=size_wh, k=_scaled(k, (1 / bins[0], 1 / bins[1])))


def check_same_view(size_wh: SizeWH, other_wh: SizeWH) -> None:
    """Check that two images can have the same field of view.

    Raises:
        ValueError: If their aspect ratios differ.
    """
    aspects = [width / height for width, height in (size_wh, other_wh)]
    if abs(aspects[0] / aspects[1] - 1) > _SAME_ASPECT:
        raise ValueError(
            f"size: expected the aspect ratio of {size_wh[0]} x {size_wh[1]}, got {other_wh[0]} x {other_wh[1]}; "
            "use an image that is registered to the colour image"
        )


def _raw_model(kind: type[CameraModel], info: Any, size_wh: SizeWH) -> CameraModel:
    rotation = _to_matrix("R", _field(info, "r"), (3, 3))
    return kind(
        size_wh,
        _to_matrix("K", _field(info, "k"), (3, 3)),
        np.asarray(_field(info, "d"), np.float64),
        info.distortion_model,
        rotation if rotation.any() else None,  # some drivers leave R empty
    )


def _rectified_model(kind: type[CameraModel], info: Any, size_wh: SizeWH) -> CameraModel:
    projection = _to_matrix("P", _field(info, "p"), (3, 4))[:, :3]
    if not projection[0, 0] > 0:
        raise ValueError(
            f"P: expected focal lengths above 0, got {projection[0, 0]} and {projection[1, 1]}; the camera is not "
            "calibrated for rectified images: use the raw image"
        )
    return kind(size_wh, projection)


def _field(info: Any, name: str) -> Any:
    """Return a field that ROS 1 writes in capitals."""
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())


def _scaled(k: DoubleArray, scale_xy: Sequence[float]) -> DoubleArray:
    """Scale a camera matrix. The corner of the image stays, which is half a pixel before its first pixel centre."""
    (x, y), scaled = scale_xy, k.copy()
    scaled[0] *= x
    scaled[1] *= y
    scaled[:2, 2] += (0.5 * x - 0.5, 0.5 * y - 0.5)
    return scaled


def _to_matrix(name: str, values: npt.ArrayLike, shape: tuple[int, int]) -> DoubleArray:
    matrix = np.array(values, np.float64)
    if matrix.size != shape[0] * shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"{name}: expected {shape[0]} x {shape[1]} finite values, got {matrix.tolist()}")
    return matrix.reshape(shape)
