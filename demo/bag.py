"""Write and read the bag of the demo: the messages of the node, in MCAP, with their definitions.

Every rosbag2 and Foxglove can open it. The overlay is stored as JPEG, because raw images of the demo clip take 1 GB.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

POSES_TOPIC = "/pose_estimator/poses"
OVERLAY_TOPIC = "/pose_estimator/overlay/compressed"
TYPE_OF_TOPIC = {POSES_TOPIC: "pose_ros/msg/PersonPoseArray", OVERLAY_TOPIC: "sensor_msgs/msg/CompressedImage"}
MESSAGE_FOLDER = Path(__file__).resolve().parents[1] / "msg"


def load_message_types() -> Typestore:
    """Return the message types of the sourced ROS 2 and those of pose_ros."""
    distro = os.environ.get("ROS_DISTRO", "jazzy").upper()
    types = get_typestore(getattr(Stores, f"ROS2_{distro}", Stores.LATEST))
    for path in sorted(MESSAGE_FOLDER.glob("*.msg")):
        types.register(get_types_from_msg(path.read_text(encoding="utf-8"), f"pose_ros/msg/{path.stem}"))
    return types


class BagWriter:
    """Bag that is open for writing. ``open_bag`` makes one."""

    def __init__(self, writer: Writer) -> None:
        types = load_message_types()
        self._writer = writer
        self._topics: dict[str, Connection] = {
            topic: writer.add_connection(topic, type_name, typestore=types)
            for topic, type_name in TYPE_OF_TOPIC.items()
        }

    def write(self, topic: str, data: bytes) -> None:
        """Append a serialised message with the current time as its receive time."""
        self._writer.write(self._topics[topic], time.time_ns(), data)


@contextmanager
def open_bag(folder: Path) -> Iterator[BagWriter]:
    """Create a bag. It is closed and stays valid even if the block raises.

    Raises:
        WriterError: The folder exists already.
    """
    writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
    writer.open()  # not `with writer`: after an exception, it would leave the bag without its index
    try:
        yield BagWriter(writer)
    finally:
        writer.close()


def read_messages(folder: Path, topic: str) -> Iterator[Any]:
    """Read the messages of a topic, in the order in which they were received."""
    types = load_message_types()
    with Reader(folder) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        for connection, _, data in reader.messages(connections):
            yield types.deserialize_cdr(data, connection.msgtype)
