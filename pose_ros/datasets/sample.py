"""One training image with its labelled people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, ByteArray, FloatArray, Image

ABSENT, LABELLED, UNCERTAIN, UNKNOWN = 0, 1, 2, 3
"""States of a keypoint.

ABSENT: outside the image or hidden. The target has no peak for it.
LABELLED: at the given position.
UNCERTAIN: near the given position. The loss ignores the area around that position.
UNKNOWN: never labelled, for example the face in a data set without faces. The loss ignores this keypoint inside the
person's box.
"""


@dataclass(frozen=True)
class Sample:
    """Image with its N people of K keypoints.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        keypoints: (N, K, 2) float32, x and y in pixels of the image. Pixel centres are at integers.
        states: (N, K) uint8, one of ABSENT, LABELLED, UNCERTAIN, UNKNOWN.
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max of each person, px.
        ignored: (H, W) bool, True where the loss is off (crowds, people without labels). None = nowhere.
        people_map: (H, W) uint8, 1 + the index of the person at each pixel, 0 = no person. None = no masks.
        pose: (K, 3) float32, a known pose that a network refines: x, y, and 1 for keypoints that are present. None =
            there is none.

    Raises:
        ValueError: If the shapes do not match each other.
    """

    image_bgr: Image
    keypoints: FloatArray
    states: ByteArray
    boxes: FloatArray
    ignored: BoolArray | None = None
    people_map: ByteArray | None = None
    pose: FloatArray | None = None

    def __post_init__(self) -> None:
        size = self.image_bgr.shape[:2]
        if self.image_bgr.ndim != 3 or self.image_bgr.shape[2] != 3 or self.image_bgr.dtype != np.uint8:
            raise ValueError(f"image_bgr: expected (H, W, 3) uint8, got {_shape_and_type(self.image_bgr)}")
        count = len(self.keypoints)
        if self.keypoints.ndim != 3 or self.keypoints.shape[2:] != (2,):
            raise ValueError(f"keypoints: expected (N, K, 2), got {self.keypoints.shape}")
        if self.states.shape != self.keypoints.shape[:2]:
            raise ValueError(f"states: expected {self.keypoints.shape[:2]}, got {self.states.shape}")
        if self.boxes.shape != (count, 4):
            raise ValueError(f"boxes: expected ({count}, 4), got {self.boxes.shape}")
        for name in ("ignored", "people_map"):
            array = getattr(self, name)
            if array is not None and array.shape != size:
                raise ValueError(f"{name}: expected {size}, got {array.shape}")

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the image, px."""
        return self.image_bgr.shape[1], self.image_bgr.shape[0]


def _shape_and_type(array: AnyArray) -> str:
    return f"{array.shape} {array.dtype}"
