"""Test that the node publishes the same poses for a bag as the library finds in its frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("pose_ros.msg", reason="needs the built messages")

from pose_ros.msg import PersonPoseArray
from rclpy.parameter import Parameter

from pose_ros.estimator import PoseEstimator
from pose_ros.ros.node.estimator_node import PoseEstimatorNode

COUNT = 8
PERIOD_NS = 100_000_000
FIRST_NS = 1_600_000_000_000_000_000
RELIABLE = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": COUNT,
}


def write_bag(path: Path, frames: list[np.ndarray], storage: StoragePlugin) -> Path:
    """Write the frames as bgr8 images, ten per second."""
    types = get_typestore(Stores.ROS2_JAZZY)
    image, header, time = (
        types.types[name] for name in ("sensor_msgs/msg/Image", "std_msgs/msg/Header", "builtin_interfaces/msg/Time")
    )
    with Writer(path, version=Writer.VERSION_LATEST, storage_plugin=storage) as writer:
        connection = writer.add_connection("/camera/image_raw", image.__msgtype__, typestore=types)
        for index, frame in enumerate(frames):
            stamp_ns = FIRST_NS + index * PERIOD_NS
            stamp = header(time(*divmod(stamp_ns, 1_000_000_000)), "lens")
            height, width, _ = frame.shape
            message = image(stamp, height, width, "bgr8", 0, 3 * width, frame.ravel())
            writer.write(connection, stamp_ns, types.serialize_cdr(message, image.__msgtype__))
    return path


def positions(message: PersonPoseArray) -> list[list[tuple[float, float]]]:
    """Return the keypoints of each person, with absent ones at (0, 0)."""
    return [[(k.x, k.y) if k.score > 0 else (0.0, 0.0) for k in person.keypoints] for person in message.people]


@pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])
def test_a_bag_gives_the_poses_of_the_library(
    graph: Any, toy_estimator: PoseEstimator, paint: Any, tmp_path: Path, storage: StoragePlugin
) -> None:
    frames = [paint(*range(4, 4 + 8 * (index % 4), 16)) + np.uint8(index) for index in range(COUNT)]
    recording = write_bag(tmp_path / "bag", frames, storage)
    overrides = [Parameter(name, value=value) for name, value in RELIABLE.items()]
    graph.add(PoseEstimatorNode(lambda *_: toy_estimator, context=graph.context, parameter_overrides=overrides))
    answers = graph.collect(PersonPoseArray, "pose_estimator/poses")
    graph.until(lambda: graph.node.count_subscribers("image") > 0, "the node subscribes")
    program = tmp_path / "replay.py"
    program.write_text("from pose_ros.cli import main\nmain()\n")
    command = [sys.executable, str(program), "replay", str(recording), "--topic", "image", "--rate", "5"]
    with subprocess.Popen(command, cwd=tmp_path) as replay:
        graph.until(lambda: replay.poll() is not None, "the bag has been played")
    graph.until(
        lambda: len(answers) + sum(a.dropped for a in answers) == COUNT,
        "every image is published or counted as dropped",
    )
    assert len(answers) >= COUNT // 2
    for answer in answers:
        stamp_ns = answer.header.stamp.sec * 1_000_000_000 + answer.header.stamp.nanosec
        index, rest = divmod(stamp_ns - FIRST_NS, PERIOD_NS)
        assert rest == 0 and answer.header.frame_id == "lens"
        people = toy_estimator.estimate(frames[index])
        assert len(answer.people) == len(people) == len(range(4, 4 + 8 * (index % 4), 16))
        np.testing.assert_array_equal(np.float32(positions(answer)).reshape(people.keypoints.shape), people.keypoints)
