"""Measure how the cost of each step grows with the image size, the people, the cameras and the subscribers.

The slope is that of log(time) against log(amount). 1 = in proportion, 2 = square. It is given for all amounts and for
the largest three, because a fixed cost hides the growth of small amounts. Times are CPU times of one thread, or of the
whole node, so that other programs disturb them less.

    python benchmarks/growth.py [size] [people] [node]        default: all. "node" needs ROS 2
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import scene
import scene_tags
from measure import print_table

from pose_ros.config import PreprocessConfig, RuntimeConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import ModelSpec
from pose_ros.media.overlay import draw
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec
from pose_ros.people import People
from pose_ros.preprocess import Preprocessor
from pose_ros.ros.node.freed_memory import keep_freed_memory
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.skeleton import COCO_17, OPENPOSE_18
from pose_ros.tracking.tracker import Tracker

SIZES_WH = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
PEOPLE = (1, 2, 5, 10, 20, 50, 100)
GRID_HW = (184, 328)
"""Field for up to 100 people, cells."""
AMOUNTS = (1, 2, 4, 8)
"""Cameras or subscribers of a node."""
RATE_HZ, SECONDS, START_S = 4.0, 6.0, 300.0
REPEATS, SHARE = 60, 10
"""Repeats of each measurement, and the percentile of their times that is reported."""

Step = tuple[str, Sequence[Callable[[], Any]]]


def measure_steps(steps: Sequence[Step], repeats: int) -> list[tuple[str, list[float]]]:
    """Measure all steps with all amounts in turn. Return the times of each step, ms."""
    times = [[[0.0] * repeats for _ in functions] for _, functions in steps]
    for repeat in range(-2, repeats):  # the first two are a warm-up
        for (_, functions), rows in zip(steps, times, strict=True):
            for function, row in zip(functions, rows, strict=True):
                start = time.thread_time()
                function()
                row[repeat] = 1e3 * (time.thread_time() - start)
    names = [name for name, _ in steps]
    return [(name, [float(np.percentile(row, SHARE)) for row in rows]) for name, rows in zip(names, times, strict=True)]


def find_slope(amounts: Sequence[float], times: Sequence[float]) -> float:
    """Return the slope of log(time) against log(amount)."""
    return float(np.polyfit(np.log(amounts), np.log(times), 1)[0])


def show(title: str, labels: Sequence[str], amounts: Sequence[float], steps: Sequence[tuple[str, list[float]]]) -> None:
    """Print the times of each step, and its slopes."""
    rows = [
        (
            name,
            *(f"{value:.3f}" for value in times),
            f"{find_slope(amounts, times):.2f}",
            f"{find_slope(amounts[-3:], times[-3:]):.2f}",
        )
        for name, times in steps
    ]
    print_table(title, ("ms", *labels, "slope", "slope of the last three"), rows)


def show_sizes(repeats: int) -> None:
    """Measure the steps that see all pixels of an image."""
    spec = read_spec(DEFAULT_MODEL, OnnxRunner(DEFAULT_MODEL, RuntimeConfig()).metadata)
    preprocess = Preprocessor(spec.input, PreprocessConfig())
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (height, width, 3), np.uint8) for width, height in SIZES_WH]
    people = make_people(5)
    steps: list[Step] = [
        ("to the input of the network", [partial(preprocess, image) for image in images]),
        ("drawing 5 people", [partial(draw, image, people, OPENPOSE_18) for image in images]),
    ]
    with contextlib.suppress(ImportError):
        from std_msgs.msg import Header

        from pose_ros.ros.messages.conversions import image_from_message, image_to_message

        messages = [image_to_message(image, Header()) for image in images]
        steps.append(("message to image", [partial(image_from_message, message) for message in messages]))
        steps.append(("image to message", [partial(image_to_message, image, Header()) for image in images]))
    labels = [f"{width} × {height}" for width, height in SIZES_WH]
    show("By pixels", labels, [width * height for width, height in SIZES_WH], measure_steps(steps, repeats))


def make_people(count: int, seed: int = 0) -> People:
    """Make people of 18 keypoints, in pixels of an image of 1312 × 736."""
    keypoints = 4 * scene.crowd(count, GRID_HW, seed)
    return People(keypoints, np.full(keypoints.shape[:2], 0.9, np.float32), np.full(count, 0.8, np.float32))


def show_people(repeats: int) -> None:
    """Measure the steps that work person by person."""
    paf = make_decoder(ModelSpec("benchmark", OPENPOSE_18, stride=4), "paf")
    tag = make_decoder(ModelSpec("benchmark", COCO_17, stride=4), "tag")
    crowds = [make_people(count) for count in PEOPLE]
    image = np.zeros((736, 1312, 3), np.uint8)
    steps: list[Step] = [
        ("PAF decoder", [partial(paf, scene.fields(count, GRID_HW)[0]) for count in PEOPLE]),
        ("tag decoder", [partial(tag, scene_tags.fields(count, GRID_HW)[0]) for count in PEOPLE]),
        ("tracking", [_track(people) for people in crowds]),
        ("drawing", [partial(draw, image, people, OPENPOSE_18) for people in crowds]),
    ]
    with contextlib.suppress(ImportError):
        from std_msgs.msg import Header

        from pose_ros.ros.messages.conversions import people_to_message

        rest = OPENPOSE_18.keypoint_names, Header(), (1312, 736), "default"
        steps.append(("message", [partial(people_to_message, people, *rest) for people in crowds]))
    show("By people", [str(count) for count in PEOPLE], PEOPLE, measure_steps(steps, repeats))


def _track(people: People) -> Callable[[], Any]:
    tracker, stamp = Tracker(OPENPOSE_18), iter(range(1_000_000))
    return lambda: tracker.update(people, next(stamp) / 30)


def show_node(repeats: int) -> None:
    """Measure the CPU time of a node for one image of each camera, 640 × 480, with a small network input."""
    del repeats
    names = [f"camera_{n}" for n in range(max(AMOUNTS))]
    cameras = [measure_node(names[:count], 1) for count in AMOUNTS]
    subscribers = [measure_node(names[:1], count) for count in AMOUNTS]
    labels = [str(count) for count in AMOUNTS]
    show(
        "The node, by cameras and by subscribers", labels, AMOUNTS, [("cameras", cameras), ("subscribers", subscribers)]
    )


def measure_node(cameras: Sequence[str], subscribers: int) -> float:
    """Run a node. Return its CPU time for one image of each camera, ms."""
    import node as program
    import rclpy
    from pose_ros.msg import PersonPoseArray
    from rclpy.executors import SingleThreadedExecutor

    parameters = [
        "-p",
        f"cameras:=[{', '.join(cameras)}]",
        "-p",
        "preprocess.short_side:=64",
        "-p",
        "runtime.threads:=1",
    ]
    topics = ",".join(f"{name}/image" for name in cameras)
    source = program.camera_command(argparse.Namespace(image=""), topics, (640, 480), RATE_HZ)
    count = 0

    def on_poses(_: PersonPoseArray) -> None:
        nonlocal count
        count += 1

    contexts = [rclpy.Context() for _ in range(subscribers)]
    with program.run_process(*program.NODE, *parameters) as node, program.run_process(*source):
        for index, context in enumerate(contexts):  # each is a DDS participant, as a program of its own
            rclpy.init(args=[], context=context)
            listener = rclpy.create_node(f"listener_{index}", context=context)
            for name in cameras:
                topic = f"pose_estimator/{name}/poses"
                listener.create_subscription(PersonPoseArray, topic, on_poses if index == 0 else _ignore, 100)
            if index == 0:
                executor = SingleThreadedExecutor(context=context)
                executor.add_node(listener)
        end_s = time.monotonic() + START_S
        while count < 5 * len(cameras) and time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.1)
        first, start_s, end_s = count, program.read_cpu_s(node), time.monotonic() + SECONDS
        while time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.1)
        images, used_s = count - first, program.read_cpu_s(node) - start_s
    for context in contexts:
        rclpy.shutdown(context=context)
    if images == 0:
        raise SystemExit(f"node: expected results of {len(cameras)} cameras within {START_S:.0f} s, got none")
    return 1e3 * used_s / images * len(cameras)


def _ignore(_: object) -> None:
    pass


PARTS = {"size": show_sizes, "people": show_people, "node": show_node}


def main() -> None:
    """Print the selected tables."""
    keep_freed_memory()  # as the node does
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="tables to print (default: all)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"repeats of each step (default: {REPEATS})")
    options = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "86")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    cv2.setNumThreads(1)
    for part in options.parts or PARTS:
        PARTS[part](options.repeats)


if __name__ == "__main__":
    main()
