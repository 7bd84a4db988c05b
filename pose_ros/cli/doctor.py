"""``pose_ros doctor``: what is there, what works, and the way to get the rest."""

from __future__ import annotations

import os
import platform

import typer

from pose_ros.cli.probes import ABSENT, Finding, Probe, examine
from pose_ros.cli.version import version

_ESTIMATE = """
import time, numpy
from pose_ros.estimator import PoseEstimator
estimator, image = PoseEstimator.load(), numpy.zeros((480, 640, 3), numpy.uint8)
start = time.perf_counter()
estimator.estimate(image)
ms = 1e3 * (time.perf_counter() - start)
print(f"{estimator.model_name}, {estimator.runner.description}, {ms:.0f} ms for 640 x 480")
"""
_NUMBA = """
import numba
from pose_ros.decoder import peaks
folder = next(v.stats.cache_path for v in vars(peaks).values() if hasattr(v, "stats"))
cache = f"cache {folder}" if folder else "nowhere to cache, each start compiles anew: set NUMBA_CACHE_DIR to a folder"
print(f"{numba.__version__}, {cache}")
"""
_CV_BRIDGE = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
CvBridge().imgmsg_to_cv2(Image(height=1, width=1, encoding="mono8", step=1, data=[1]), "bgr8")
print("converts images")
"""
_CUDA = f"""
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit({ABSENT})
version, count, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(100)
error = cuda.cuInit(0) or cuda.cuDriverGetVersion(ctypes.byref(version)) or cuda.cuDeviceGetCount(ctypes.byref(count))
if error:
    sys.exit(f"cuInit: error {{error}}")
names = [name.value.decode() for i in range(count.value) if not cuda.cuDeviceGetName(name, 100, i)]
print(f"CUDA {{version.value // 1000}}.{{version.value % 1000 // 10}}, {{', '.join(names) or 'no GPU'}}")
"""
_SOURCE_ROS = (
    "source a ROS 2 (. /opt/ros/<distro>/setup.sh), or in a clone of pose_ros: make setup, then . .venv/ros.sh"
)
_INSTALLED_ROS = "it comes with a ROS 2 installed by apt; pose_ros does without it"
_REINSTALL = "mend what is missing above; if nothing is, install pose_ros again"
_BUILD = "colcon build --packages-select pose_ros, then source install/setup.sh; without ROS: make setup"


def _module(
    name: str, module: str, use: str, pip: str = "", apt: str = "", fix: str = "", required: bool = False
) -> Probe:
    code = f"import {module}; print(getattr({module}, '__version__', 'installed'))"
    return Probe(name, module, code, use, pip, apt, fix, required)


_ONNX = "import onnxruntime as o; print(o.__version__ + ', ' + ', '.join(o.get_available_providers()))"
_RCLPY = "import rclpy; print(rclpy.get_rmw_implementation_identifier())"
_MESSAGES = "from pose_ros.msg import PersonPoseArray; print('built')"
_ROSBAGS = "import rosbags.rosbag2, importlib.metadata as m; print(m.version('rosbags'))"

LIBRARY = (
    _module("NumPy", "numpy", "everything", "numpy", apt="python3-numpy", required=True),
    _module("OpenCV", "cv2", "everything", "opencv-python-headless", apt="python3-opencv", required=True),
    _module("PyYAML", "yaml", "model descriptions", "pyyaml", apt="python3-yaml", required=True),
    Probe("ONNX Runtime", "onnxruntime", _ONNX, "running networks", "onnxruntime", required=True),
    Probe("numba", "numba", _NUMBA, "fast decoding", "numba", "python3-numba"),
    Probe("rosbags", "rosbags", _ROSBAGS, "reading bags", "rosbags"),
    _module("onnx", "onnx", "pose_ros export, models describe", "onnx"),
    _module("PyTorch", "torch", "checkpoints, export, training", "torch"),
    Probe("pose_ros", "pose_ros.estimator", _ESTIMATE, "everything", fix=_REINSTALL, required=True),
)
ROS = (
    Probe("rclpy", "rclpy", _RCLPY, "the node and replay", fix=_SOURCE_ROS, apt="ros-{distro}-rclpy"),
    Probe("pose_ros.msg", "pose_ros.msg", _MESSAGES, "the node", fix=_BUILD),
    Probe("cv_bridge", "cv_bridge", _CV_BRIDGE, "rare encodings", fix=_INSTALLED_ROS, apt="ros-{distro}-cv-bridge"),
    _module("launch_ros", "launch_ros", "launch files", fix=_INSTALLED_ROS, apt="ros-{distro}-launch-ros"),
)
GPU = (
    Probe("NVIDIA driver", "ctypes", _CUDA, "running on the GPU", fix="sudo apt install nvidia-driver"),
    _module("TensorRT", "tensorrt", "running fastest on the GPU", "tensorrt"),
)


def doctor() -> None:
    """Show what is installed, what works, and how to get the rest."""
    typer.echo(f"pose_ros {version()}, Python {platform.python_version()}, {platform.platform()}")
    typer.echo(f"ROS_DISTRO {os.environ.get('ROS_DISTRO', '-')}, RMW {os.environ.get('RMW_IMPLEMENTATION', 'default')}")
    findings = examine([*LIBRARY, *ROS, *GPU])
    for finding in findings:
        _show(finding)
    bad = [finding for finding in findings if finding.state != "ok" and _matters(finding, findings)]
    for finding in bad:
        typer.echo(f"\n{finding.probe.name} ({finding.probe.use}) is {finding.state}:\n  {finding.probe.remedy()}")
    if any(finding.probe.required for finding in bad):
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    is_needed = finding.probe.required or finding.state == "broken"
    colour = "green" if finding.state == "ok" else "red" if is_needed else "yellow"
    typer.echo(f"  {finding.probe.name:14}" + typer.style(f"{finding.state:9}", fg=colour) + finding.text)


def _matters(finding: Finding, findings: list[Finding]) -> bool:
    """Whether to say how to mend it: not what needs a GPU where there is none, nor the parts of an absent ROS."""
    states = {other.probe.name: other.state for other in findings}
    if finding.probe in GPU:
        return finding.state == "broken" or (finding.probe.name == "TensorRT" and states["NVIDIA driver"] == "ok")
    if finding.probe in ROS:
        return finding.probe.name == "rclpy" or states["rclpy"] == "ok"
    return True
