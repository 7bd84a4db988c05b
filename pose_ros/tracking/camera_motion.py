"""Measure how the camera moved between two images, by sparse optical flow.

Corners of the last image are followed to the new one. A similarity transform (translation, rotation, scale) is fitted
to them, robust against corners that move by themselves. Corners on people are not used.

References:
    Shi and Tomasi, Good Features to Track, 1994. Lucas and Kanade, An Iterative Image Registration Technique, 1981.
    Aharon et al., BoT-SORT, arXiv:2206.14651, section 3.2 (camera motion compensation).
"""

from __future__ import annotations

import cv2
import numpy as np

from pose_ros.arrays import ByteArray, DoubleArray, FloatArray, Image

_WIDTH_PX = 320
_MAX_CORNERS, _QUALITY, _DISTANCE_PX = 150, 0.01, 8
_FEWEST, _REACH_PX = 12, 2.0
_MAX_SCALE = 1.5


class CameraMotion:
    """Motion of one camera. Not thread-safe: call it from one thread at a time."""

    def __init__(self) -> None:
        self._last: ByteArray | None = None
        self._people: FloatArray = np.zeros((0, 4), np.float32)

    def measure(self, image: Image) -> DoubleArray | None:
        """Measure the motion since the last image.

        Args:
            image: (H, W, 3) or grey (H, W) uint8.

        Returns:
            (2, 3) matrix that maps points of the last image to this one, pixels. None if it is unknown: for the first
            image, after a change of the size, and for images with too few corners.
        """
        scale = min(1.0, _WIDTH_PX / image.shape[1])
        size_wh = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        grey = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA) if scale < 1 else image
        grey = cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY) if grey.ndim == 3 else grey
        last, self._last = self._last, grey
        if last is None or last.shape != grey.shape:
            return None
        motion = _fit(last, grey, _background(last.shape, self._people * scale))
        if motion is not None:
            # pixel centres are at integers: x_small = (x + 0.5) * scale - 0.5
            offset = (0.5 * scale - 0.5) * np.ones(2)
            motion[:, 2] = (motion[:, 2] + motion[:, :2] @ offset - offset) / scale
        return motion

    def remember_people(self, boxes: FloatArray) -> None:
        """Note where the people of this image are. Their corners are not used with the next image.

        Args:
            boxes: (N, 4) x_min, y_min, x_max, y_max, pixels.
        """
        self._people = boxes


def _background(shape_hw: tuple[int, ...], boxes: FloatArray) -> ByteArray:
    mask = np.full(shape_hw, 255, np.uint8)
    height, width = shape_hw
    low, high = np.clip(boxes[:, :2], 0, (width, height)), np.clip(boxes[:, 2:], -1, (width, height))
    for x_min, y_min, x_max, y_max in np.rint(np.concatenate([low, high], axis=1)).astype(int):
        mask[y_min : y_max + 1, x_min : x_max + 1] = 0
    return mask


def _fit(last: ByteArray, grey: ByteArray, mask: ByteArray) -> DoubleArray | None:
    corners = cv2.goodFeaturesToTrack(last, _MAX_CORNERS, _QUALITY, _DISTANCE_PX, mask=mask)
    if corners is None or len(corners) < _FEWEST:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, corners, np.empty_like(corners))
    found = found[:, 0] == 1
    if found.sum() < _FEWEST:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[found], moved[found], method=cv2.RANSAC, ransacReprojThreshold=_REACH_PX
    )
    if matrix is None or inliers.sum() < _FEWEST:
        return None
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return matrix if 1 / _MAX_SCALE < scale < _MAX_SCALE else None
