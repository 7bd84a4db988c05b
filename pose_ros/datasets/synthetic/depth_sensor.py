"""Measure a synthetic scene with a depth sensor: noise that grows with distance, holes, and flying pixels at edges.

References:
    Nguyen, Izadi and Lovell, Modeling Kinect Sensor Noise, 3DIMPVT 2012 (noise along the axis grows with the square of
    the distance). Keselman et al., Intel RealSense Stereoscopic Depth Cameras, CVPRW 2017 (noise is the same over a few
    pixels, because stereo matches windows; edges have no match).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class DepthSensor:
    """Depth sensor. The defaults are those of a stereo camera with a base line of 5 cm.

    Attributes:
        noise: Standard deviation of a distance, relative to its square, 1/m.
        window_px: Width of the areas that share half the variance of the noise, px.
        edge_m: Step between neighbours that is an edge, relative to the distance.
        edge_px: Width of an edge, px.
        flying: Share of the pixels of an edge whose distance is in between. Half of the others have none.
        holes: Share of the other pixels without a distance.
        max_m: Longest measured distance.
    """

    noise: float = 0.0015
    window_px: int = 4
    edge_m: float = 0.02
    edge_px: int = 3
    flying: float = 0.3
    holes: float = 0.01
    max_m: float = 12.0

    def measure(self, depth_m: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return the measured distances (H, W), m. NaN = unknown.

        Args:
            depth_m: (H, W) true distances along the optical axis, m.
            rng: Source of the noise.
        """
        kernel = np.ones((self.edge_px, self.edge_px), np.uint8)
        near, far = cv2.erode(depth_m, kernel), cv2.dilate(depth_m, kernel)
        is_edge = far - near > self.edge_m * near * self.edge_px
        chance = rng.random(depth_m.shape, np.float32)
        measured = depth_m + self.noise * depth_m**2 * self._noise(depth_m.shape, rng)
        flies = is_edge & (chance < self.flying)
        measured[flies] = (near + rng.random(depth_m.shape, np.float32) * (far - near))[flies]
        measured[self._is_hole(is_edge, chance) | (measured > self.max_m)] = np.nan
        return measured.astype(np.float32)

    def _noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        """Return noise (H, W) of variance 1. Half of the variance is the same over a window."""
        small = [-(-side // self.window_px) for side in shape]
        shared = rng.standard_normal(small, np.float32).repeat(self.window_px, 0).repeat(self.window_px, 1)
        noise: FloatArray = (shared[: shape[0], : shape[1]] + rng.standard_normal(shape, np.float32)) / np.sqrt(2)
        return noise

    def _is_hole(self, is_edge: BoolArray, chance: FloatArray) -> BoolArray:
        at_edge = is_edge & (chance > (1 + self.flying) / 2)
        hole: BoolArray = at_edge | (~is_edge & (chance < self.holes))
        return hole
