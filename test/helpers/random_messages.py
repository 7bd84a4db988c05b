"""Random image messages: valid ones, damaged ones, and ones with hostile texts and numbers."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np

HOSTILE_TEXTS = (
    "",
    "rgb8\n[INFO] [1.0] [pose_estimator]: all is well",
    "\x1b[2J\x1b]0;owned\x07",
    "x" * 100_000,
    "bgr8 ",
    "BGR8",
    "16UC1",
    "32FC1",
    "\u202e8rgb",
    "{0.__class__}%s%n",
    "../../etc/passwd",
)
NUMBERS = (0, 1, 2, 3, 63, 64, 65, 255, 4096, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


def choose(random: np.random.Generator, values: Any) -> Any:
    return values[random.integers(len(values))]


def fill_header(random: np.random.Generator, header: Any) -> None:
    """Fill a header with any time and any frame."""
    header.stamp.sec = int(choose(random, (0, 1, -1, -(2**31), 2**31 - 1, random.integers(0, 2**31))))
    header.stamp.nanosec = int(choose(random, (0, 999_999_999, 1_000_000_000, 2**32 - 1)))
    header.frame_id = str(choose(random, ("camera", *HOSTILE_TEXTS)))


def random_raw(random: np.random.Generator, kind: Any, encodings: list[str]) -> Any:
    """Make a ``sensor_msgs/Image``. Most are wrong in some field."""
    width, height = (int(side) for side in random.integers(1, 70, 2))
    message = kind(width=width, height=height, step=width * int(random.integers(1, 9)))
    fill_header(random, message.header)
    message.encoding = str(choose(random, encodings if random.random() < 0.7 else HOSTILE_TEXTS))
    message.is_bigendian = int(random.integers(0, 256))
    size = message.step * height * choose(random, (1, 1, 1, 2)) + int(choose(random, (0, 0, -1, 1, -1000)))
    message.data = array.array("B", random.bytes(max(size, 0)))
    for name in ("width", "height", "step"):
        if random.random() < 0.15:
            setattr(message, name, choose(random, NUMBERS))
    return message


def random_compressed(random: np.random.Generator, kind: Any) -> Any:
    """Make a ``sensor_msgs/CompressedImage`` with whole, cut, changed or random data."""
    shape = (int(random.integers(1, 70)), int(random.integers(1, 70)), 3)
    suffix = choose(random, (".jpg", ".png", ".tiff", ".bmp", ".webp"))
    data = bytearray(cv2.imencode(suffix, random.integers(0, 256, shape, np.uint8))[1].tobytes())
    change = random.integers(4)
    if change == 1:
        del data[random.integers(len(data)) :]
    elif change == 2:
        for _ in range(random.integers(1, 20)):
            data[random.integers(len(data))] = random.integers(256)
    elif change == 3:
        data[: random.integers(1, 9)] = random.bytes(int(random.integers(0, 100)))
    message = kind(data=array.array("B", bytes(data)))
    fill_header(random, message.header)
    usual = ("jpeg", "png", "bgr8; jpeg compressed bgr8", "rgb8; png compressed ", "bayer_rggb8; jpeg compressed ")
    message.format = str(choose(random, usual if random.random() < 0.7 else HOSTILE_TEXTS))
    return message
