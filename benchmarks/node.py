"""Measure the overhead of the node (DDS, conversion, messages), its idle load, and its throughput with four cameras.

A publisher process sends images through DDS to a node process, and this process subscribes to the results. All times
come from the messages. The latency is the time from the image stamp to publishing. The time of the library is the sum
of its three stages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measure import median_ms, print_table

from pose_ros.config import RuntimeConfig
from pose_ros.ros.node.freed_memory import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
NODE = [str(ROOT / "scripts/pose_node"), "--ros-args", "--log-level", "error"]
SIZES_WH = ((640, 480), (1280, 720), (1920, 1080))
LIMIT_WH, LIMIT_MS = (640, 480), 2.0
LIVE_WH, LIVE_HZ = (1280, 720), 30.0
MEDIAN_MORE_MS, TAIL_FACTOR, TAIL_MORE_MS = 8.0, 2.0, 20.0
IDLE_SHARE, IDLE_S = 0.02, 10.0
CONNECT_S = 2.0
CAMERAS, BATCH_SHARE = ("front", "rear", "left", "right"), 0.95
START_TIMEOUT_S = 60.0


def publish(options: argparse.Namespace) -> None:
    """Publish images of all cameras at a steady rate, stamped and numbered when they are sent."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from std_msgs.msg import Header

    from pose_ros.ros.messages.conversions import image_to_message

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("camera")
    message = image_to_message(make_image(options.image, (options.width, options.height)), Header())
    publishers = [node.create_publisher(type(message), topic, 1) for topic in options.publish.split(",")]
    while not options.unasked and any(publisher.get_subscription_count() == 0 for publisher in publishers):
        time.sleep(0.05)
    due_s, number = time.monotonic(), 0
    while True:
        for publisher in publishers:
            message.header.frame_id = str(number)
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
        number += 1
        due_s = max(due_s + 1 / options.rate_hz, time.monotonic() - 1 / options.rate_hz)
        time.sleep(max(0.0, due_s - time.monotonic()))


def make_image(path: str, size_wh: tuple[int, int]) -> np.ndarray:
    """Load a photo, or make a noise image if the path is empty."""
    if path:
        return cv2.resize(cv2.imread(path), size_wh)
    return np.random.default_rng(0).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)


@contextlib.contextmanager
def run_process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process until the end of the block."""
    with subprocess.Popen([sys.executable, *command]) as process:
        try:
            yield process
        finally:
            process.terminate()


def camera_command(options: argparse.Namespace, topics: str, size_wh: tuple[int, int], rate_hz: float) -> list[str]:
    """Return the command of a publisher."""
    sizes = [f"--width={size_wh[0]}", f"--height={size_wh[1]}", f"--rate-hz={rate_hz}", f"--image={options.image}"]
    return [__file__, "--publish", topics, *sizes]


@dataclass(frozen=True)
class Results:
    """Results of the node, one entry per image.

    Attributes:
        numbers: Number of the image.
        library_ms: Time of the library: preprocessing, network and decoding.
        network_ms: Time of the network.
        latency_ms: Time from the image stamp to publishing.
        arrivals_s: Monotonic time of arrival, seconds.
    """

    numbers: np.ndarray
    library_ms: np.ndarray
    network_ms: np.ndarray
    latency_ms: np.ndarray
    arrivals_s: np.ndarray

    @property
    def images_hz(self) -> float:
        """Results per second."""
        return (len(self.arrivals_s) - 1) / float(self.arrivals_s[-1] - self.arrivals_s[0])

    @property
    def sent(self) -> int:
        """Number of images sent between the first and the last result."""
        return int(self.numbers[-1] - self.numbers[0]) + 1


def measure(
    options: argparse.Namespace, size_wh: tuple[int, int], rate_hz: float, cameras: tuple[str, ...] = ("",)
) -> Results:
    """Collect the results of ``options.images`` images, from all cameras together."""
    import rclpy
    from pose_ros.msg import PersonPoseArray

    prefixes = [f"{name}/" if name else "" for name in cameras]
    rows: list[tuple[float, ...]] = []

    def on_poses(message: PersonPoseArray) -> None:
        library_ms = message.preprocess_ms + message.network_ms + message.decode_ms
        number = float(message.header.frame_id)
        rows.append((number, library_ms, message.network_ms, message.latency_ms, time.monotonic()))

    camera_names = ["-p", f"cameras:=[{', '.join(cameras)}]"] if cameras != ("",) else []
    threads = ["-p", f"runtime.threads:={options.threads}", "-p", f"preprocess.short_side:={options.short_side}"]
    publisher = camera_command(options, ",".join(f"{prefix}image" for prefix in prefixes), size_wh, rate_hz)
    with run_process(*NODE, *camera_names, *threads), run_process(*publisher):
        rclpy.init(args=[])
        node = rclpy.create_node("listener")
        for prefix in prefixes:
            node.create_subscription(PersonPoseArray, f"pose_estimator/{prefix}poses", on_poses, 100)
        collect(node, rows, options)
        rclpy.shutdown()
    return Results(*np.array(rows[options.skip :]).T)


def collect(node: Any, received: list[Any], options: argparse.Namespace) -> None:
    """Spin until the callbacks of a node have filled a list with what is skipped and what is measured."""
    import rclpy

    end_s = time.monotonic() + START_TIMEOUT_S
    while len(received) < options.images + options.skip:
        if not received and time.monotonic() > end_s:
            sys.exit(f"{node.get_name()}: expected messages within {START_TIMEOUT_S:.0f} s, got none")
        rclpy.spin_once(node, timeout_sec=1.0)


def measure_bare(options: argparse.Namespace, size_wh: tuple[int, int], rate_hz: float) -> np.ndarray:
    """Return the milliseconds from the stamps of images to the callback of a subscriber that does nothing else."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from rclpy.time import Time
    from sensor_msgs.msg import Image

    ages_ms: list[float] = []

    def on_image(message: Image) -> None:
        ages_ms.append((node.get_clock().now() - Time.from_msg(message.header.stamp)).nanoseconds / 1e6)

    rclpy.init(args=[])
    node = rclpy.create_node("receiver")
    node.create_subscription(Image, "image", on_image, qos_profile_sensor_data)
    with run_process(*camera_command(options, "image", size_wh, rate_hz)):
        collect(node, ages_ms, options)
    rclpy.shutdown()
    return np.array(ages_ms[options.skip :])


def read_cpu_s(process: subprocess.Popen[Any]) -> float:
    """Read the CPU time of a process, seconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_idle_share(options: argparse.Namespace) -> float:
    """Measure the CPU load of the node, in cores, while a camera publishes and no subscriber exists."""
    with run_process(*NODE) as node, run_process(*camera_command(options, "image", LIVE_WH, LIVE_HZ), "--unasked"):
        time.sleep(START_TIMEOUT_S / 4)  # the node loads the model and warms up
        before_s = read_cpu_s(node)
        time.sleep(IDLE_S)
        return (read_cpu_s(node) - before_s) / IDLE_S


@contextlib.contextmanager
def receive_images(options: argparse.Namespace) -> Iterator[None]:
    """Publish the images of all cameras. A thread of this process receives and ignores them."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            rclpy.spin(node)

    rclpy.init(args=[])
    node = rclpy.create_node("receiver")
    topics = [f"{camera}/image" for camera in CAMERAS]
    for topic in topics:
        node.create_subscription(Image, topic, lambda message: None, qos_profile_sensor_data)
    thread = threading.Thread(target=spin)
    thread.start()
    with run_process(*camera_command(options, ",".join(topics), LIVE_WH, LIVE_HZ)):
        time.sleep(CONNECT_S)
        yield
    rclpy.shutdown()
    thread.join()


def measure_batch_hz(options: argparse.Namespace) -> float:
    """Measure images per second of the library alone: batches of one image per camera or single images, if faster."""
    from pose_ros.ros.node.estimator_node import load_estimator
    from pose_ros.ros.parameters.config import NodeConfig

    config = replace(NodeConfig(cameras=CAMERAS), runtime=RuntimeConfig(threads=options.threads))
    estimator = load_estimator(config, lambda *_: None, lambda _: None)
    images = [make_image(options.image, LIVE_WH) for _ in CAMERAS]
    batch_ms = median_ms(lambda: estimator.process_batch(images, ["bgr"] * len(images)), 30)
    single_ms = median_ms(lambda: estimator.process_batch(images[:1], ["bgr"]), 120)
    estimator.close()
    return 1e3 / min(batch_ms / len(images), single_ms)


def show_sizes(options: argparse.Namespace) -> None:
    """Print the overhead of the node for each image size, at a rate below its limit."""
    table = []
    for size_wh in SIZES_WH:
        results = measure(options, size_wh, options.rate_hz)
        bare_ms = measure_bare(options, size_wh, options.rate_hz)
        columns = (results.library_ms, results.latency_ms, results.latency_ms - results.library_ms, bare_ms)
        cells = ("{:.2f} ({:.2f})".format(*np.percentile(column, [50, 95])) for column in columns)
        limit = f"{LIMIT_MS}" if size_wh == LIMIT_WH else ""
        table.append([f"{size_wh[0]} × {size_wh[1]}", *cells, limit])
    title = f"{options.images} images per size at {options.rate_hz} Hz: median (95th percentile), ms"
    print_table(
        title, ("size", "library", "latency", "overhead of the node", "of this, a bare subscriber", "limit"), table
    )


def show_live(options: argparse.Namespace) -> None:
    """Print the share of processed images and the latency for a live camera."""
    results = measure(options, LIVE_WH, LIVE_HZ)
    network_ms, library_ms = np.median(results.network_ms), np.median(results.library_ms)
    median, tail = np.percentile(results.latency_ms, [50, 99])
    possible = min(1.0, 1e3 / library_ms / LIVE_HZ)
    rows = [
        ["processed share of the sent images", f"{len(results.numbers) / results.sent:.1%}", f"{possible:.1%}"],
        ["network, median, ms", f"{network_ms:.1f}", ""],
        ["library, median, ms", f"{library_ms:.1f}", ""],
        ["latency, median, ms", f"{median:.1f}", f"network + {MEDIAN_MORE_MS:g} = {network_ms + MEDIAN_MORE_MS:.1f}"],
        [
            "latency, 99th percentile, ms",
            f"{tail:.1f}",
            f"2 × network + 20 = {TAIL_FACTOR * network_ms + TAIL_MORE_MS:.1f}",
        ],
    ]
    print_table(
        f"{options.images} results, {LIVE_WH[0]} × {LIVE_WH[1]} at {LIVE_HZ:g} Hz", ("", "measured", "limit"), rows
    )


def show_idle_and_many(options: argparse.Namespace) -> None:
    """Print the idle load, and the throughput for four cameras that send more than the network can process."""
    idle, alone_hz = measure_idle_share(options), measure_batch_hz(options)
    results = measure(options, LIVE_WH, LIVE_HZ, CAMERAS)
    with receive_images(options):
        receiving_hz = measure_batch_hz(options)
    rows = [
        ["idle, no subscriber: share of a core", f"{idle:.1%}", f"{IDLE_SHARE:.0%}"],
        ["library alone, images/s", f"{alone_hz:.1f}", ""],
        ["library with a thread that receives the same images, images/s", f"{receiving_hz:.1f}", ""],
        ["node, four cameras, images/s", f"{results.images_hz:.1f}", ""],
        *(
            [
                f"node relative to the library {case}",
                f"{results.images_hz / min(hz, LIVE_HZ * len(CAMERAS)):.2f}",
                f"{BATCH_SHARE}",
            ]
            for case, hz in (("alone", alone_hz), ("with the thread", receiving_hz))
        ),
    ]
    print_table(f"Idle load, and four cameras at {LIVE_HZ:g} Hz", ("", "measured", "limit"), rows)


PARTS = {"sizes": show_sizes, "live": show_live, "idle": show_idle_and_many}


def main() -> None:
    """Print the selected tables."""
    keep_freed_memory()  # as the node does
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="tables to print (default: all)")
    parser.add_argument("--images", type=int, default=300, help="number of measured images (default: 300)")
    parser.add_argument("--skip", type=int, default=20, help="number of images before the measurement (default: 20)")
    parser.add_argument("--rate-hz", type=float, default=8.0, help="image rate of the table of sizes, Hz (default: 8)")
    parser.add_argument("--threads", type=int, default=0, help="threads of the network (default: one per core)")
    parser.add_argument("--short-side", type=int, default=0, help="short side of the network's input, px")
    parser.add_argument("--image", default="", help="photo to send (default: noise)")
    for hidden, kind in (("--width", int), ("--height", int), ("--publish", str)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--unasked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(options)
    os.environ.setdefault("ROS_DOMAIN_ID", "87")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2 and 3
        os.environ.setdefault(name, str(ROOT / "demo/fastdds.xml"))  # otherwise most images above 0.5 MB are lost
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
