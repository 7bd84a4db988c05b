"""Tiny recordings for the tests. The brightness of a frame tells its number, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

SIZE_WH = (64, 48)
STAMP_S = 1_600_000_000
"""Stamp of the first image of a bag; they follow every 100 ms, and are received 20 ms later."""
PERIOD_NS = 100_000_000
STORAGES = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
IMAGE_TOPIC = "/camera/image_raw"
TYPES = get_typestore(Stores.ROS2_JAZZY)


def picture(number: int, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """Frame ``number``; after 20 the brightness begins again."""
    return np.full((size_wh[1], size_wh[0], 3), 10 * (number % 20) + 20, np.uint8)


def number(image: np.ndarray) -> int:
    """Which frame this is."""
    return round((float(image.mean()) - 20) / 10)


def write_video(path: Path, count: int = 12, rate_hz: float = 10.0) -> Path:
    """A video, MJPG in .avi."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate_hz, SIZE_WH)
    for index in range(count):
        writer.write(picture(index))
    writer.release()
    return path


def write_images(folder: Path, names: list[str]) -> Path:
    """A folder of images, numbered in the order given."""
    folder.mkdir()
    for index, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), picture(index))
    return folder


def image(index: int, encoding: str = "bgr8") -> Any:
    """Image ``index`` of a bag."""
    channels = {"bgr8": 3, "rgb8": 3, "mono8": 1}[encoding]
    width, height = SIZE_WH
    data = picture(index)[..., :channels].ravel()
    return TYPES.types["sensor_msgs/msg/Image"](_header(index), height, width, encoding, 0, channels * width, data)


def compressed_image(index: int) -> Any:
    """The same as JPEG."""
    data = cv2.imencode(".jpg", picture(index))[1].ravel()
    return TYPES.types["sensor_msgs/msg/CompressedImage"](_header(index), "jpeg", data)


def camera_info(index: int) -> Any:
    """A calibration with focal length 50 px."""
    width, height = SIZE_WH
    k, p = np.zeros(9), np.zeros(12)
    k[0] = p[0] = 50.0
    region = TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    info = TYPES.types["sensor_msgs/msg/CameraInfo"]
    return info(_header(index), height, width, "plumb_bob", np.zeros(5), k, np.zeros(9), p, 0, 0, region)


def write_bag(folder: Path, topics: dict[str, list[Any]], storage: str = "sqlite3") -> Path:
    """A bag; message i of each topic has received time i."""
    with Writer(folder, version=9, storage_plugin=STORAGES[storage]) as writer:
        for topic, messages in topics.items():
            connection = writer.add_connection(topic, messages[0].__msgtype__, typestore=TYPES)
            for index, message in enumerate(messages):
                data = TYPES.serialize_cdr(message, message.__msgtype__)
                writer.write(connection, STAMP_S * 1_000_000_000 + 20_000_000 + index * PERIOD_NS, data)
    return folder


def stamp_ns(index: int) -> int:
    """Stamp of image ``index`` of a bag."""
    return STAMP_S * 1_000_000_000 + index * PERIOD_NS


def _header(index: int) -> Any:
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns(index), 1_000_000_000))
    return TYPES.types["std_msgs/msg/Header"](time, "camera_optical")
