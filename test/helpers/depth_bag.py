"""Write a bag of a synthetic scene, with colour, registered depth and camera_info, and the true people."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import recordings
from rosbags.rosbag2 import StoragePlugin, Writer

from pose_ros.datasets.synthetic.depth_sensor import DepthSensor
from pose_ros.datasets.synthetic.scene import SyntheticScene, scene

SIZE_WH = (424, 240)
COLOUR, INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH = "/camera/aligned_depth_to_color/image_raw"
PERIOD_NS = 100_000_000
DEPTH_DELAY_NS = 4_000_000
"""Stamps of the depth images are later than those of the colour images by this."""


@dataclass(frozen=True)
class DepthScene:
    """One instant: the truth, and the messages of the camera."""

    truth: SyntheticScene
    colour: Any
    depth: Any
    info: Any


def make_scenes(count: int, seed: int = 2, people: int = 2, compressed: bool = False) -> list[DepthScene]:
    """Make the messages of a scene that moves, every 100 ms. 16UC1 in mm, 0 where the sensor sees nothing."""
    rng = np.random.default_rng(seed)
    scenes = []
    for index in range(count):
        truth = scene(seed, people, SIZE_WH, time_s=index * PERIOD_NS / 1e9)
        millimetres = np.nan_to_num(1000 * DepthSensor().measure(truth.depth_m, rng)).astype(np.uint16)
        scenes.append(
            DepthScene(truth, _colour(truth, index), _depth(millimetres, index, compressed), _info(truth, index))
        )
    return scenes


def write_depth_bag(
    folder: Path, scenes: list[DepthScene], depth_topic: str = DEPTH, storage: str = "sqlite3", late_ns: int = 0
) -> Path:
    """Write the messages to a bag. Each depth image is recorded after its colour image, later by ``late_ns``."""
    plugin = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}[storage]
    messages = [
        (recordings.stamp_ns(index) + delay_ns, topic, message)
        for index, each in enumerate(scenes)
        for delay_ns, topic, message in (
            (1_000_000, INFO, each.info),
            (2_000_000, COLOUR, each.colour),
            (5_000_000 + late_ns, depth_topic, each.depth),
        )
    ]
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        topics = {topic: message.__msgtype__ for _, topic, message in messages}
        connections = {
            topic: writer.add_connection(topic, kind, typestore=recordings.TYPES) for topic, kind in topics.items()
        }
        for time_ns, topic, message in sorted(messages, key=lambda entry: entry[0]):
            data = bytes(recordings.TYPES.serialize_cdr(message, message.__msgtype__))
            writer.write(connections[topic], time_ns, data)
    return folder


def _header(index: int, delay_ns: int = 0) -> Any:
    stamp = divmod(recordings.stamp_ns(index) + delay_ns, 1_000_000_000)
    types = recordings.TYPES.types
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*stamp), "camera_optical")


def _colour(truth: SyntheticScene, index: int) -> Any:
    width, height = SIZE_WH
    image = recordings.TYPES.types["sensor_msgs/msg/Image"]
    return image(_header(index), height, width, "bgr8", 0, 3 * width, truth.image_bgr.ravel())


def _depth(millimetres: np.ndarray, index: int, compressed: bool) -> Any:
    header, (width, height) = _header(index, DEPTH_DELAY_NS), SIZE_WH
    if compressed:
        data = struct.pack("<iff", 0, 0, 0) + cv2.imencode(".png", millimetres)[1].tobytes()
        kind = recordings.TYPES.types["sensor_msgs/msg/CompressedImage"]
        return kind(header, "16UC1; compressedDepth png", np.frombuffer(data, np.uint8))
    kind = recordings.TYPES.types["sensor_msgs/msg/Image"]
    return kind(header, height, width, "16UC1", 0, 2 * width, millimetres.ravel().view(np.uint8))


def _info(truth: SyntheticScene, index: int) -> Any:
    width, height = SIZE_WH
    types, k = recordings.TYPES.types, np.asarray(truth.camera.matrix, np.float64)
    p = np.hstack([k, np.zeros((3, 1))])
    region = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    rest = (k.ravel(), np.eye(3).ravel(), p.ravel(), 0, 0, region)
    return types["sensor_msgs/msg/CameraInfo"](_header(index), height, width, "plumb_bob", np.zeros(5), *rest)
