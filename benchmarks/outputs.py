"""Measure what the node does around the network: messages, overlay, and the executor between two callbacks.

Each figure is the CPU time of one thread, relative to a simple program that is called in turns with it.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
import rclpy
from measure import measure_in_turns, print_table
from pose_ros.msg import Keypoint, PersonPose
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from pose_ros.media.overlay import draw
from pose_ros.people import People
from pose_ros.ros.messages.conversions import people_to_message
from pose_ros.ros.node.estimator_node import PoseEstimatorNode
from pose_ros.ros.node.freed_memory import keep_freed_memory
from pose_ros.skeleton import COCO_17

COUNTS = (1, 5, 20)
SIZE_WH = (1280, 720)
CAMERAS = ("front", "rear", "left", "right")


def make_people(count: int) -> People:
    """Make standing people of different sizes and scores, all over the image."""
    random = np.random.default_rng(0)
    body = np.nan_to_num(COCO_17.standing, nan=0.5)
    corners = random.uniform((0, 0), (SIZE_WH[0] - 150, SIZE_WH[1] - 250), (count, 2))
    keypoints = body * random.uniform(40, 100, (count, 1, 1)) + corners[:, None]
    return People(keypoints, random.uniform(0.1, 1, (count, len(COCO_17))), random.uniform(0.1, 1, count))


def construct(people: People) -> list[PersonPose]:
    """Make the messages of people with the constructors of rclpy, one by one."""
    return [
        PersonPose(keypoints=[Keypoint(x=x, y=y, score=s) for (x, y), s in zip(xy, scores, strict=True)])
        for xy, scores in zip(people.keypoints.tolist(), people.scores.tolist(), strict=True)
    ]


def show_messages() -> None:
    """Print the time to make the message of the people."""
    rows = []
    for count in COUNTS:
        people = make_people(count)
        build = lambda people=people: people_to_message(people, COCO_17.keypoint_names, Header(), SIZE_WH, "model")  # noqa: E731
        message = build()
        functions = {
            "construct": lambda people=people: construct(people),
            "build": build,
            "serialise": lambda message=message: serialize_message(message),
        }
        ms = measure_in_turns(functions, 200)
        limit = "0.15" if count == max(COUNTS) else ""
        row = (ms["build"] / ms["construct"], ms["build"] / ms["serialise"], ms["build"])
        rows.append((str(count), *(f"{value:.2f}" for value in row), limit))
    columns = ("people", "/ constructors alone", "/ serialising it", "ms", "limit, ms")
    print_table("Message of the people, 17 keypoints", columns, rows)


def show_overlay() -> None:
    """Print the time to draw the people over an image."""
    image = np.random.default_rng(0).integers(0, 256, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    rows = []
    for count in COUNTS:
        people = make_people(count)
        functions = {"copy": image.copy, "draw": lambda people=people: draw(image, people, COCO_17)}
        ms = measure_in_turns(functions, 60)
        rows.append((str(count), f"{ms['draw'] / ms['copy']:.1f}", f"{ms['draw']:.2f}", "1.5"))
    print_table("Overlay, 1280 × 720", ("people", "/ one copy of the image", "ms", "limit, ms"), rows)


def show_executor() -> None:
    """Print the time that rclpy needs between two callbacks of the node."""
    names = f"[{', '.join(CAMERAS)}]"
    rclpy.init(args=["--ros-args", "-p", f"cameras:={names}", "-p", "autostart:=false", "--log-level", "error"])
    nodes = {"bare": rclpy.create_node("bare"), "node": PoseEstimatorNode()}
    executors = {name: SingleThreadedExecutor() for name in nodes}
    for name, node in nodes.items():
        executors[name].add_node(node)
    spins = {name: lambda executor=executor: executor.spin_once(timeout_sec=0) for name, executor in executors.items()}
    ms = measure_in_turns(spins, 300)
    for node in nodes.values():
        node.destroy_node()
    rclpy.shutdown()
    columns = ("cameras", "/ a node without topics", "ms")
    row = (str(len(CAMERAS)), f"{ms['node'] / ms['bare']:.1f}", f"{ms['node']:.2f}")
    print_table("One turn of the executor without a callback", columns, [row])


def main() -> None:
    """Print all tables."""
    os.environ.setdefault("ROS_DOMAIN_ID", "88")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    keep_freed_memory()  # as the node does
    cv2.setNumThreads(1)
    show_messages()
    show_overlay()
    show_executor()


if __name__ == "__main__":
    main()
