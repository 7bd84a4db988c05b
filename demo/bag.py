"""The bag of the demo: what the node said, in MCAP, with the definitions of its messages inside.

Any rosbag2 opens it, and Foxglove shows it. The overlay is stored as JPEG: raw, it would take 1 GB for the demo clip.
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

POSES = "/pose_estimator/poses"
OVERLAY = "/pose_estimator/overlay/compressed"
TYPES = {POSES: "pose_ros/msg/PersonPoseArray", OVERLAY: "sensor_msgs/msg/CompressedImage"}
MESSAGES = Path(__file__).resolve().parents[1] / "msg"


def message_types() -> Typestore:
    """The message types of the running ROS 2, and ours."""
    distro = os.environ.get("ROS_DISTRO", "jazzy").upper()
    types = get_typestore(getattr(Stores, f"ROS2_{distro}", Stores.LATEST))
    for path in sorted(MESSAGES.glob("*.msg")):
        types.register(get_types_from_msg(path.read_text(encoding="utf-8"), f"pose_ros/msg/{path.stem}"))
    return types


class BagWriter:
    """A bag that is being written; ``recording`` makes one."""

    def __init__(self, writer: Writer) -> None:
        types = message_types()
        self._writer = writer
        self._topics: dict[str, Connection] = {
            topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in TYPES.items()
        }

    def write(self, topic: str, data: bytes) -> None:
        """Appends a serialised message, received now."""
        self._writer.write(self._topics[topic], time.time_ns(), data)


@contextmanager
def recording(folder: Path) -> Iterator[BagWriter]:
    """A new bag; it is closed and valid whatever happens while it is written.

    Raises:
        WriterError: If the folder exists.
    """
    writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
    writer.open()  # not `with writer`: after an exception that would leave the bag without its index
    try:
        yield BagWriter(writer)
    finally:
        writer.close()


def messages(folder: Path, topic: str) -> Iterator[Any]:
    """The messages of a topic, in the order in which they were received."""
    types = message_types()
    with Reader(folder) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        for connection, _, data in reader.messages(connections):
            yield types.deserialize_cdr(data, connection.msgtype)
