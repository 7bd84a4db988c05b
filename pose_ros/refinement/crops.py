"""Cut the crop of one person out of an image, upright or turned with the torso.

References:
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild, arXiv:1701.01779 (crops of people).
    Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, arXiv:2006.10204 (crops turned by the line
    from the hips to the shoulders).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, DoubleArray, FloatArray, Image, SizeWH
from pose_ros.skeleton import Skeleton

MARGIN = 1.4
"""Side of the square crop, relative to the longer side of the box around the keypoints."""
LEAST_SIDE_PX = 16.0
"""Smallest side of a crop, px of the image."""
MIN_TORSO = 0.15
"""Shortest torso that shows a direction, relative to the longer side of the box. A shorter one points at the camera."""
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Crop:
    """Mapping between an image and the crop of one person: it moves, scales and turns, and nothing else.

    Attributes:
        matrix: (2, 3) float64 matrix that maps image pixels (x, y, 1) to crop pixels.
        size_wh: Width and height of the crop, pixels.
    """

    matrix: DoubleArray
    size_wh: SizeWH

    @classmethod
    def around(cls, points_xy: npt.ArrayLike, size_wh: SizeWH, angle: float = 0.0) -> Crop:
        """Make the crop around some points.

        Args:
            points_xy: (M, 2) points, pixels of the image. At least one.
            size_wh: Width and height of the crop, pixels.
            angle: Turn of the image content in the crop, radians, from the x axis towards the y axis.
        """
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turned = np.asarray(points_xy, np.float64) @ turn.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        scale = crop_scale(high - low, size_wh)
        shift = (np.array(size_wh) - 1) / 2 - scale * (low + high) / 2
        return cls(np.column_stack([scale * turn, shift]), size_wh)

    def to_crop(self, xy: npt.ArrayLike) -> DoubleArray:
        """Convert image pixels (..., 2) to crop pixels."""
        return np.asarray(np.asarray(xy) @ self.matrix[:, :2].T + self.matrix[:, 2])

    def to_image(self, xy: npt.ArrayLike) -> DoubleArray:
        """Convert crop pixels (..., 2) to image pixels."""
        turn = self.matrix[:, :2]  # scale times rotation: its inverse is its transpose over the squared scale
        return np.asarray((np.asarray(xy) - self.matrix[:, 2]) @ turn / np.linalg.det(turn))

    def cut(self, image: Image) -> Image:
        """Cut the crop out of an image (H, W, 3) or (H, W). Outside the image, it is black.

        A large crop is averaged first, because a warp would skip pixels.
        """
        width, height = self.size_wh
        corners = self.to_image([(0, 0), (width, 0), (0, height), (width, height)])
        low = np.floor(corners.min(axis=0)).clip(0, None).astype(int)
        high = np.ceil(corners.max(axis=0)).clip(-1, None).astype(int) + 1
        part = image[low[1] : high[1], low[0] : high[0]]
        if part.size == 0:
            return np.zeros((height, width, 3), np.uint8)
        turn = self.matrix[:, :2]
        scale, factors = math.sqrt(np.linalg.det(turn)), np.ones(2)
        if scale < 1:
            size = np.maximum(np.rint(scale * np.array(part.shape[1::-1])), 1).astype(int)
            factors = size / np.array(part.shape[1::-1])
            part = np.asarray(cv2.resize(part, tuple(size.tolist()), interpolation=cv2.INTER_AREA), np.uint8)
        # Pixel i of the averaged part lies at (i + 0.5) / factor - 0.5 of the part
        matrix = np.column_stack([turn / factors, self.to_crop(low + 0.5 / factors - 0.5)])
        return np.asarray(cv2.warpAffine(part, matrix, self.size_wh, flags=cv2.INTER_LINEAR), np.uint8)


def crop_scale(extent_wh: DoubleArray, size_wh: SizeWH) -> float:
    """Return the pixels of a crop per pixel of the image.

    Args:
        extent_wh: (2,) width and height of the box around the keypoints, pixels of the image.
        size_wh: Width and height of the crop, pixels.
    """
    width, height = size_wh
    tall = max(extent_wh[1], extent_wh[0] * height / width, LEAST_SIDE_PX / MARGIN) * MARGIN
    return float(height / tall)


def find_turn(keypoints: FloatArray, scores: FloatArray, skeleton: Skeleton) -> float:
    """Return the angle by which a person must turn so that the torso is upright, the head at the top.

    The torso leads from the middle of the shoulders to that of the hips. If one side is hidden, it is that of the other
    side.

    Args:
        keypoints: (K, 2) keypoints, pixels.
        scores: (K,) scores, 0 = absent.
        skeleton: Names of the keypoints.

    Returns:
        Radians from the x axis towards the y axis. 0 if the torso is not seen, or points at the camera.
    """
    ends = [(f"{side}_shoulder", f"{side}_hip") for side in _SIDES] + [("neck", f"{side}_hip") for side in _SIDES]
    index = {name: i for i, name in enumerate(skeleton.keypoint_names) if scores[i] > 0}
    seen = [(index[top], index[bottom]) for top, bottom in ends[:2] if top in index and bottom in index]
    if not seen and all(name in index for pair in ends[2:] for name in pair):
        seen = [(index[top], index[bottom]) for top, bottom in ends[2:]]
    if not seen:
        return 0.0
    torsos = np.array([keypoints[bottom] - keypoints[top] for top, bottom in seen], np.float64)
    x, y = torsos.mean(axis=0).tolist()
    visible: AnyArray = keypoints[scores > 0]
    longest = float(np.ptp(visible, axis=0).max())
    return math.atan2(x, y) if math.hypot(x, y) >= MIN_TORSO * longest > 0 else 0.0
