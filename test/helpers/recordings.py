"""Write tiny recordings for the tests. The brightness of a frame encodes its number, in any format."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

SIZE_WH = (64, 48)
STAMP_S = 1_600_000_000
"""Stamp of the first image of a bag, s. Images follow every 100 ms, and each is received 20 ms after its stamp."""
PERIOD_NS = 100_000_000
STORAGES = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
IMAGE_TOPIC = "/camera/image_raw"
TYPES = get_typestore(Stores.ROS2_JAZZY)
_FOREVER = QosTime(2147483647, 4294967295)
LATCHED = Qos(
    *(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
    *(_FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False),
)
"""QoS of a latched publisher."""


def frame_image(number: int, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """Make the image of frame ``number``. The brightness repeats after 20 frames."""
    return np.full((size_wh[1], size_wh[0], 3), 10 * (number % 20) + 20, np.uint8)


def frame_number(image: np.ndarray) -> int:
    """Return the frame number that the brightness of an image encodes."""
    return round((float(image.mean()) - 20) / 10)


def write_video(path: Path, count: int = 12, rate_hz: float = 10.0, code: str = "MJPG") -> Path:
    """Write a video, by default MJPG in .avi."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate_hz, SIZE_WH)
    for index in range(count):
        writer.write(frame_image(index))
    writer.release()
    return path


def write_images(folder: Path, names: list[str]) -> Path:
    """Write a folder of images. The frame numbers follow the order of the names."""
    folder.mkdir()
    for index, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), frame_image(index))
    return folder


def image_message(index: int, encoding: str = "bgr8") -> Any:
    """Make the Image message ``index`` of a bag."""
    channels = {"bgr8": 3, "rgb8": 3, "mono8": 1}[encoding]
    width, height = SIZE_WH
    data = frame_image(index)[..., :channels].ravel()
    return TYPES.types["sensor_msgs/msg/Image"](_header(index), height, width, encoding, 0, channels * width, data)


def compressed_message(index: int) -> Any:
    """Make the CompressedImage message ``index`` of a bag, as JPEG."""
    data = cv2.imencode(".jpg", frame_image(index))[1].ravel()
    return TYPES.types["sensor_msgs/msg/CompressedImage"](_header(index), "jpeg", data)


def camera_info(index: int) -> Any:
    """Make the CameraInfo message ``index`` of a bag, with a focal length of 50 px."""
    width, height = SIZE_WH
    k, p = np.zeros(9), np.zeros(12)
    k[0] = p[0] = 50.0
    region = TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    info = TYPES.types["sensor_msgs/msg/CameraInfo"]
    return info(_header(index), height, width, "plumb_bob", np.zeros(5), k, np.zeros(9), p, 0, 0, region)


def write_bag(
    folder: Path,
    topics: dict[str, list[Any]],
    storage: str = "sqlite3",
    damage: dict[int, Callable[[bytes], bytes]] | None = None,
    latched: Collection[str] = (),
    version: Literal[8, 9] = 9,
) -> Path:
    """Write a bag. Message i of each topic is received 20 ms after stamp i, and changed by ``damage[i]``.

    Topics in ``latched`` have the QoS of a latched publisher.
    """
    with Writer(folder, version=version, storage_plugin=STORAGES[storage]) as writer:
        for topic, messages in topics.items():
            profiles = [LATCHED] * (topic in latched)
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=TYPES, offered_qos_profiles=profiles)
            for index, message in enumerate(messages):
                data = bytes(TYPES.serialize_cdr(message, message.__msgtype__))
                data = (damage or {}).get(index, bytes)(data)
                writer.write(connection, STAMP_S * 1_000_000_000 + 20_000_000 + index * PERIOD_NS, data)
    return folder


def stamp_ns(index: int) -> int:
    """Return the stamp of image ``index`` of a bag, ns."""
    return STAMP_S * 1_000_000_000 + index * PERIOD_NS


def _header(index: int) -> Any:
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns(index), 1_000_000_000))
    return TYPES.types["std_msgs/msg/Header"](time, "camera_optical")
