"""Undo the distortion of lenses.

References:
    OpenCV, calib3d: "Detailed Description" (plumb_bob and rational_polynomial, with thin prism) and "Fisheye camera
    model" (equidistant); Kannala and Brandt, A Generic Camera Model, PAMI 2006.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.decoder.jit import jit

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")
_COUNTS = (0, 4, 5, 8, 12)
"""Numbers of coefficients that OpenCV knows: k1 k2 p1 p2, k3, k4 k5 k6, s1 s2 s3 s4."""
_STEPS = 30
_EXACT = 1e-9
_WIDEST = 1.55
"""Largest angle between a ray and the optical axis, radians. Depth along the axis says nothing about wider rays."""


def complete_coefficients(model: str, coefficients: DoubleArray) -> DoubleArray:
    """Return the coefficients (12,), or (4,) of equidistant. Empty = no distortion.

    Args:
        model: Name of the distortion model. Empty or ``"none"`` = no distortion.
        coefficients: (n,) coefficients in the order of OpenCV.

    Raises:
        ValueError: If the model is unknown, or the number of coefficients does not fit.
    """
    used = np.trim_zeros(coefficients, "b")  # drivers append zeros
    if not np.isfinite(coefficients).all():
        raise ValueError(f"D: expected finite coefficients, got {coefficients.tolist()}")
    if model == "equidistant":  # without coefficients, it is a fisheye lens still
        if len(used) > 4:
            raise ValueError(f"D: expected 4 coefficients of equidistant, got {coefficients.tolist()}")
        return np.concatenate([used, np.zeros(4 - len(used))])
    if model not in MODELS and (len(used) or model not in ("", "none")):
        raise ValueError(f"distortion_model: expected one of {', '.join(MODELS)}, got {model!r}; rectify the images")
    if not len(used):
        return used
    if len(used) > _COUNTS[-1] or (len(coefficients) not in _COUNTS and len(coefficients) < _COUNTS[-1]):
        counts = ", ".join(map(str, _COUNTS))
        raise ValueError(f"D: expected {counts} coefficients of {model}, got {coefficients.tolist()}")
    return np.concatenate([used, np.zeros(_COUNTS[-1] - len(used))])


def undistort(distorted: DoubleArray, coefficients: DoubleArray) -> DoubleArray:
    """Return the ideal points of distorted points, both on the plane at distance 1. NaN = no ray has that image.

    Args:
        distorted: (M, 2) points.
        coefficients: Those of ``complete_coefficients``.
    """
    if not len(coefficients):
        return distorted
    ideal = np.full(distorted.shape, np.nan)
    solve = _undistort_equidistant if len(coefficients) == 4 else _undistort_polynomial
    solve(np.ascontiguousarray(distorted), coefficients, ideal)
    return ideal


@jit
def _undistort_equidistant(distorted: Any, c: Any, ideal: Any) -> None:
    """Solve r = t (1 + c0 t^2 + c1 t^4 + c2 t^6 + c3 t^8) for the angle t by Newton's method."""
    for n in range(len(distorted)):
        x, y = distorted[n, 0], distorted[n, 1]
        radius = math.sqrt(x * x + y * y)
        if radius < _EXACT:
            ideal[n, 0], ideal[n, 1] = x, y
            continue
        angle = radius
        for _ in range(_STEPS):
            s = angle * angle
            slope = 1 + s * (3 * c[0] + s * (5 * c[1] + s * (7 * c[2] + s * 9 * c[3])))
            error = angle * (1 + s * (c[0] + s * (c[1] + s * (c[2] + s * c[3])))) - radius
            if not slope > 0 or not angle >= 0:
                break
            if abs(error) < _EXACT:
                if angle < _WIDEST:
                    scale = math.tan(angle) / radius
                    ideal[n, 0], ideal[n, 1] = scale * x, scale * y
                break
            angle -= error / slope


@jit
def _undistort_polynomial(distorted: Any, c: Any, ideal: Any) -> None:
    """Solve the equations of OpenCV for the ideal point by Newton's method in two dimensions.

    From the distorted point, it goes to the root next to the optical axis: the lens folds the image farther out.
    """
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = c
    for n in range(len(distorted)):
        x, y = distorted[n, 0], distorted[n, 1]
        for _ in range(_STEPS):
            s = x * x + y * y
            top, bottom = 1 + s * (k1 + s * (k2 + s * k3)), 1 + s * (k4 + s * (k5 + s * k6))
            if not bottom > 0:
                break
            radial = top / bottom
            bend = (k1 + s * (2 * k2 + 3 * s * k3) - radial * (k4 + s * (2 * k5 + 3 * s * k6))) / bottom
            error_x = x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x) + s * (s1 + s * s2) - distorted[n, 0]
            error_y = y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y + s * (s3 + s * s4) - distorted[n, 1]
            shared = 2 * x * y * bend + 2 * p1 * x + 2 * p2 * y
            xx = radial + 2 * x * x * bend + 2 * p1 * y + 6 * p2 * x + 2 * x * (s1 + 2 * s * s2)
            xy = shared + 2 * y * (s1 + 2 * s * s2)
            yx = shared + 2 * x * (s3 + 2 * s * s4)
            yy = radial + 2 * y * y * bend + 6 * p1 * y + 2 * p2 * x + 2 * y * (s3 + 2 * s * s4)
            determinant = xx * yy - xy * yx
            if not determinant > 0:
                break
            if abs(error_x) + abs(error_y) < _EXACT:
                ideal[n, 0], ideal[n, 1] = x, y
                break
            x -= (yy * error_x - xy * error_y) / determinant
            y -= (xx * error_y - yx * error_x) / determinant
