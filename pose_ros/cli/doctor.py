"""``pose_ros doctor``: report what is installed, what works, and how to fix the rest."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from json import dumps
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

from pose_ros.cli.probes import Finding, Probe, examine, runtime_probe

_ESTIMATE = """
import time, numpy
from pose_ros.estimator import PoseEstimator
estimator, image = PoseEstimator.load(runtime="onnx"), numpy.zeros((480, 640, 3), numpy.uint8)
start = time.perf_counter()
estimator.estimate(image)
ms = 1e3 * (time.perf_counter() - start)
print(f"{estimator.model_name}, {estimator.runner.description}, {ms:.0f} ms for 640 x 480")
"""
_NUMBA = """
import numba
from pose_ros.decoder.matching import sort_descending as function
folder = function.stats.cache_path
cache = f"cache {folder}" if folder else "no cache, every start compiles again: set NUMBA_CACHE_DIR to a folder"
print(f"{numba.__version__}, {cache}")
"""
_CV_BRIDGE = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
CvBridge().imgmsg_to_cv2(Image(height=1, width=1, encoding="mono8", step=1, data=[1]), "bgr8")
print("converts images")
"""
_SOURCE_ROS = (
    "source a ROS 2 (. /opt/ros/<distro>/setup.sh), or in a clone of pose_ros: make setup, then . .venv/ros.sh"
)
_INSTALLED_ROS = "included in a ROS 2 installed by apt; optional for pose_ros"
_REINSTALL = "install what is missing above; if nothing is missing, install pose_ros again"
_BUILD = "colcon build --packages-select pose_ros, then source install/setup.sh; without ROS: make setup"


def _module_probe(
    name: str, module: str, use: str, pip: str = "", apt: str = "", fix: str = "", required: bool = False
) -> Probe:
    code = f"import {module}; print(getattr({module}, '__version__', 'installed'))"
    return Probe(name, module, code, use, pip, apt, fix, required)


_ONNX = (
    "from pose_ros.runtime.telemetry import disable_telemetry; disable_telemetry(); "
    "import onnxruntime as o; print(o.__version__ + ', ' + ', '.join(o.get_available_providers()))"
)
_RCLPY = "import rclpy; print(rclpy.get_rmw_implementation_identifier())"
_MESSAGES = "from pose_ros.msg import PersonPoseArray; print('built')"
_GPU = (
    "from pose_ros.runtime.cuda.driver import find_gpu; gpu = find_gpu(); major, minor = gpu.cuda_version; "
    "print(f'{gpu.name}, {gpu.memory_bytes / 1e9:.0f} GB, CUDA {major}.{minor}')"
)
_TENSORRT = (
    "from pose_ros.runtime.cuda.opening import open_cuda; from pose_ros.runtime.tensorrt.probe import check_gpu; "
    "open_cuda(check_gpu()).close(); import tensorrt; print(tensorrt.__version__)"
)
_OPENVINO = (
    "from pose_ros.runtime.openvino import check_device; check_device(); import openvino; core = openvino.Core(); "
    "names = [f'{d}: ' + core.get_property(d, 'FULL_DEVICE_NAME') for d in core.available_devices]; "
    "print(openvino.__version__.partition('-')[0] + ',', ', '.join(names))"
)
_IMPORTS = "from pose_ros.config import RuntimeConfig; from pose_ros.models.model_file import DEFAULT_MODEL; "
_CUDA = (
    f"{_IMPORTS}from pose_ros.runtime.onnx import OnnxRunner; "
    "print(OnnxRunner(DEFAULT_MODEL, RuntimeConfig(provider='cuda')).description)"
)
_AUTO = (
    f"{_IMPORTS}from pose_ros.runtime.choice import explain_choice; "
    "print(explain_choice(DEFAULT_MODEL, RuntimeConfig()))"
)
_ROSBAGS = "import rosbags.rosbag2, importlib.metadata as m; print(m.version('rosbags'))"

LIBRARY = (
    _module_probe("NumPy", "numpy", "everything", "numpy", required=True),
    _module_probe("OpenCV", "cv2", "everything", "opencv-python-headless", required=True),
    _module_probe("PyYAML", "yaml", "model descriptions", "pyyaml", required=True),
    Probe("ONNX Runtime", "onnxruntime", _ONNX, "running networks", "onnxruntime", required=True),
    Probe("numba", "numba", _NUMBA, "fast decoding", "numba"),
    Probe("rosbags", "rosbags", _ROSBAGS, "reading bags", "rosbags"),
    _module_probe("onnx", "onnx", "pose_ros export, models describe", "onnx"),
    _module_probe("aiohttp", "aiohttp", "pose_ros view", "aiohttp"),
    _module_probe("PyAV", "av", "H.264 that browsers play, exact times of videos", "av>=17"),
    _module_probe("PyTorch", "torch", "checkpoints, export, training", "torch"),
    _module_probe("pycocotools", "pycocotools", "pose_ros evaluate, validation of pose_ros train", "pycocotools"),
    _module_probe("Matplotlib", "matplotlib", "reports of pose_ros evaluate, plots of pose_ros tune", "matplotlib"),
    _module_probe("SciPy", "scipy", "labels in .mat files, decoder.matching partition", "scipy"),
    _module_probe("Ray", "ray", "pose_ros batch --ray", "ray>=2.20"),
    _module_probe("TensorBoard", "tensorboard", "curves of pose_ros train", "tensorboard"),
    Probe("pose_ros", "pose_ros.estimator", _ESTIMATE, "everything", fix=_REINSTALL, required=True),
)
ROS = (
    Probe("rclpy", "rclpy", _RCLPY, "the node and replay", fix=_SOURCE_ROS, apt="ros-{distro}-rclpy"),
    Probe("pose_ros.msg", "pose_ros.msg", _MESSAGES, "the node", fix=_BUILD),
    Probe("cv_bridge", "cv_bridge", _CV_BRIDGE, "rare encodings", fix=_INSTALLED_ROS, apt="ros-{distro}-cv-bridge"),
    _module_probe("launch_ros", "launch_ros", "launch files", fix=_INSTALLED_ROS, apt="ros-{distro}-launch-ros"),
)
NVIDIA = (
    runtime_probe(
        "NVIDIA driver", "pose_ros.runtime.cuda.driver", _GPU, "running on the GPU", fix="install the driver again"
    ),
    runtime_probe("TensorRT", "pose_ros.runtime.tensorrt.probe", _TENSORRT, "running fastest on the GPU", "tensorrt"),
    runtime_probe("CUDA provider", "pose_ros.runtime.onnx", _CUDA, "ONNX Runtime on the GPU", "onnxruntime-gpu"),
)
RUNTIMES = (
    runtime_probe("OpenVINO", "pose_ros.runtime.openvino", _OPENVINO, "running on Intel's devices", "openvino"),
    *NVIDIA,
    _module_probe("Triton client", "tritonclient", "models on a Triton server", "tritonclient[grpc]"),
    runtime_probe("auto uses", "pose_ros.runtime", _AUTO, "running with runtime auto", fix=_REINSTALL),
)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for bug reports and programs.")] = False,
) -> None:
    """Report what is installed, what works, and how to fix the rest."""
    machine = {
        "pose_ros": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "ros_distro": os.environ.get("ROS_DISTRO", "-"),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", "default"),
    }
    if not json:  # before the probes, which take seconds
        typer.echo(
            "pose_ros {pose_ros}, Python {python}, {platform}\nROS_DISTRO {ros_distro}, RMW {rmw}".format(**machine)
        )
    findings = examine([*LIBRARY, *RUNTIMES, *ROS])
    bad = [finding for finding in findings if finding.state != "ok" and _needs_action(finding, findings)]
    if json:
        typer.echo(
            dumps({**machine, "findings": [_to_json(finding, finding in bad) for finding in findings]}, indent=1)
        )
    else:
        _print_report(findings, bad)
    if any(finding.probe.required for finding in bad):
        raise typer.Exit(1)


def _to_json(finding: Finding, needs_action: bool) -> dict[str, object]:
    """Return a finding as data. ``fix`` is empty if no action is needed."""
    return {
        "name": finding.probe.name,
        "state": finding.state,
        "text": finding.text,
        "use": finding.probe.use,
        "required": finding.probe.required,
        "fix": finding.remedy() if needs_action else "",
    }


def _print_report(findings: list[Finding], bad: list[Finding]) -> None:
    """Print all findings, and then the fix of those that need action."""
    for finding in findings:
        _print_finding(finding)
    for finding in bad:
        typer.echo(f"\n{finding.probe.name} ({finding.probe.use}) is {finding.state}:\n  {finding.remedy()}")


def _print_finding(finding: Finding) -> None:
    is_needed = finding.probe.required or finding.state == "broken"
    colour = "green" if finding.state == "ok" else "red" if is_needed else "yellow"
    typer.echo(f"  {finding.probe.name:14}" + typer.style(f"{finding.state:9}", fg=colour) + finding.text)


def _needs_action(finding: Finding, findings: list[Finding]) -> bool:
    """Whether the finding needs a fix. GPU libraries need none without a GPU, ROS packages need none without ROS."""
    states = {other.probe.name: other.state for other in findings}
    if finding.probe in NVIDIA and finding.state == "missing":
        is_optional = finding.probe.name == "CUDA provider" and states["TensorRT"] == "ok"
        return (
            _has_nvidia_device() if finding.probe is NVIDIA[0] else states["NVIDIA driver"] == "ok" and not is_optional
        )
    if finding.probe in ROS:
        return finding.probe.name == "rclpy" or states["rclpy"] == "ok"
    return True


def _has_nvidia_device() -> bool:
    """Whether the PCI bus has an NVIDIA device. The GPU of a Jetson is not on it, but its driver is always there."""
    return any("0x10de" in vendor.read_text() for vendor in Path("/sys/bus/pci/devices").glob("*/vendor"))


def version() -> str:
    """Version of this package, from pip or from the package.xml that colcon installed."""
    try:
        return installed_version("pose_ros")
    except PackageNotFoundError:
        pass
    shares = [Path(prefix) / "share/pose_ros" for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":")]
    for folder in [*shares, Path(__file__).parents[2]]:
        manifest = folder / "package.xml"
        if manifest.is_file():
            return ElementTree.parse(manifest).findtext("version") or "unknown"
    return "unknown"
