"""Measure the start of the node, and what its memory is made of.

Each node starts in a new process. This process sends images of 1280 × 720 and waits for the results.

python benchmarks/node_start.py
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import print_table

ROOT = Path(__file__).resolve().parents[1]
SIZE_WH, RESULTS, TIMEOUT_S = (1280, 720), 30, 120.0
KEEP_EVERYTHING = """
import sys
from pose_ros.ros.node import process, worker
worker.return_freed_memory = worker.return_idle_code = lambda: None
sys.exit(process.main(sys.argv))
"""
"""A node that returns nothing after its start."""
LIBRARIES = {"llvmlite": "LLVM", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "cv2": "OpenCV"}


def read_memory_mb(pid: int) -> dict[str, float]:
    """Read the resident memory of a process by what it belongs to, MB."""
    sizes: dict[str, float] = collections.defaultdict(float)
    kind = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            path = "".join(values[4:])
            known = [label for part, label in LIBRARIES.items() if part in path]
            kind = known[0] if known else "other libraries" if ".so" in path else "objects, weights, activations"
        elif name == "Rss:":
            sizes[kind] += int(values[0]) * 1024 / 1e6
    return {"resident": sum(sizes.values()), "peak": read_peak_mb(pid), **sizes}


def read_peak_mb(pid: int) -> float:
    """Read the most resident memory that a process had, MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def measure_node(command: list[str], backend: str, cache: str) -> dict[str, float]:
    """Start a node, and measure until it has answered ``RESULTS`` images."""
    import rclpy
    from pose_ros.msg import PersonPoseArray
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from pose_ros.ros.messages.conversions import image_to_message

    rclpy.init(args=[])
    listener = rclpy.create_node("listener")
    arrivals_s: list[float] = []
    listener.create_subscription(
        PersonPoseArray, "pose_estimator/poses", lambda _: arrivals_s.append(time.monotonic()), 10
    )
    publisher = listener.create_publisher(Image, "image", 1)
    image = np.random.default_rng(0).integers(0, 255, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    message = image_to_message(image, Header())
    parameters = ["--ros-args", "--log-level", "error", "-p", f"runtime.backend:={backend}"]
    start_s = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *command, *parameters], env={**os.environ, "NUMBA_CACHE_DIR": cache}
    ) as node:
        cpu_s = 0.0
        while len(arrivals_s) < RESULTS and time.monotonic() < start_s + TIMEOUT_S and node.poll() is None:
            message.header.stamp = listener.get_clock().now().to_msg()
            publisher.publish(message)
            rclpy.spin_once(listener, timeout_sec=0.05)
            cpu_s = cpu_s or (read_cpu_s(node.pid) if arrivals_s else 0.0)
        if len(arrivals_s) < RESULTS:
            sys.exit(f"node: expected {RESULTS} results within {TIMEOUT_S:.0f} s, got {len(arrivals_s)}")
        memory_mb = read_memory_mb(node.pid)
        node.terminate()
    rclpy.shutdown()
    return {"s": arrivals_s[0] - start_s, "cpu_s": cpu_s, **memory_mb}


def read_cpu_s(pid: int) -> float:
    """Read the CPU time of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cold", action="store_true", help="also start a node with nothing compiled (half a minute)")
    options = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "88")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2 and 3
        os.environ.setdefault(name, str(ROOT / "demo/fastdds.xml"))
    backends = [name for name, module in (("onnx", "onnxruntime"), ("openvino", "openvino")) if find(module)]
    program = [str(ROOT / "scripts/pose_node")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "keep.py").write_text(KEEP_EVERYTHING)
        measure_node(program, backends[0], folder)  # compiles
        columns = {}
        for backend in backends:
            columns[f"{backend}, keeps all"] = measure_node([f"{folder}/keep.py"], backend, folder)
            columns[backend] = measure_node(program, backend, folder)
            ratio = columns[backend]["resident"] / columns[f"{backend}, keeps all"]["resident"]
            print(f"{backend}: {ratio:.2f} × the memory of a node that returns nothing after its start")
    if options.cold:
        with tempfile.TemporaryDirectory() as folder:
            columns["nothing compiled"] = measure_node(program, backends[0], folder)
    kinds = list(dict.fromkeys(kind for column in columns.values() for kind in column))
    names = {
        "peak": "peak of it, MB",
        "s": "first result after process start, s",
        "cpu_s": "first result, CPU s",
        "resident": "resident memory, MB",
    }
    rows = [(names.get(kind, kind), *(f"{column.get(kind, 0):.1f}" for column in columns.values())) for kind in kinds]
    print_table(f"Node, default model, {SIZE_WH[0]} × {SIZE_WH[1]}", ("", *columns), rows)


def find(module: str) -> bool:
    """Return whether a module is installed."""
    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    main()
