"""What the node adds to the library: DDS, conversion and the messages.

A publisher process sends images through a real DDS to a real node process; this process listens. Added = latency of the
message (stamp of the image to publishing) minus the time of the three stages inside the library.
Claim: at most 2 ms in the median at 640 × 480.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from measure import show

ROOT = Path(__file__).resolve().parents[1]
NODE = [str(ROOT / "scripts/pose_node"), "--ros-args", "--log-level", "error"]
SIZES_WH = ((640, 480), (1280, 720), (1920, 1080))
CLAIM_WH, CLAIM_MS = (640, 480), 2.0
START_TIMEOUT_S = 60.0


def publish(options: argparse.Namespace) -> None:
    """The camera: images at a steady rate, stamped when they are sent."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from std_msgs.msg import Header

    from pose_ros.ros.conversions import image_to_message

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("camera")
    message = image_to_message(picture(options), Header(frame_id="camera"))
    publisher = node.create_publisher(type(message), "image", 1)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    while True:
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        time.sleep(1 / options.rate_hz)


def picture(options: argparse.Namespace) -> np.ndarray:
    """The image to send: a photo, or noise."""
    size_wh = (options.width, options.height)
    if options.image:
        return cv2.resize(cv2.imread(options.image), size_wh)
    return np.random.default_rng(0).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    """A process that ends with the block."""
    with subprocess.Popen([sys.executable, *command]) as process:
        try:
            yield
        finally:
            process.terminate()


def measure(options: argparse.Namespace, size_wh: tuple[int, int]) -> np.ndarray:
    """(images, 2) library and latency of each image, ms."""
    import rclpy
    from pose_ros.msg import PersonPoseArray

    arguments = [f"--width={size_wh[0]}", f"--height={size_wh[1]}", f"--rate-hz={options.rate_hz}"]
    arguments += [f"--image={options.image}"] if options.image else []
    rows: list[tuple[float, float]] = []

    def note(message: PersonPoseArray) -> None:
        rows.append((message.preprocess_ms + message.network_ms + message.decode_ms, message.latency_ms))

    with running(*NODE), running(__file__, "--publish", *arguments):
        rclpy.init(args=[])
        node = rclpy.create_node("listener")
        node.create_subscription(PersonPoseArray, "pose_estimator/poses", note, 100)
        end = time.monotonic() + START_TIMEOUT_S
        while len(rows) < options.images + options.skip:
            if not rows and time.monotonic() > end:
                sys.exit("no answer from the node")
            rclpy.spin_once(node, timeout_sec=1.0)
        rclpy.shutdown()
    return np.array(rows[options.skip :])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=100, help="images measured")
    parser.add_argument("--skip", type=int, default=10, help="images before that")
    parser.add_argument("--rate-hz", type=float, default=8.0, help="images per second; below what the network can do")
    parser.add_argument("--image", default="", help="photo to send; default: noise")
    for hidden, kind in (("--width", int), ("--height", int)):
        parser.add_argument(hidden, type=kind, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(options)
    os.environ.setdefault("ROS_DOMAIN_ID", "87")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2 and 3
        os.environ.setdefault(name, str(ROOT / "demo/fastdds.xml"))  # else it loses most images above 0.5 MB
    table = []
    for size_wh in SIZES_WH:
        rows = measure(options, size_wh)
        columns = np.column_stack([rows, rows[:, 1] - rows[:, 0]])
        middle, high = np.percentile(columns, [50, 95], axis=0)
        claim = f"at most {CLAIM_MS}" if size_wh == CLAIM_WH else ""
        cells = (f"{m:.2f} ({h:.2f})" for m, h in zip(middle, high, strict=True))
        table.append([f"{size_wh[0]} × {size_wh[1]}", *cells, claim])
    title = f"{options.images} images of each size at {options.rate_hz} Hz: median (95 %), ms"
    show(title, ("size", "library", "latency", "added by the node", "claim"), table)


if __name__ == "__main__":
    main()
