"""Who may import whom: every room but its own works with ROS, torch and the GPU libraries locked out."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pose_ros"
FOUNDATION = {"people", "skeleton", "fields", "config"}
MIDDLE = {"preprocess", "decoder", "runtime"}
ALLOWED = {  # room -> rooms of this package that it may import
    "people": set(),
    "skeleton": set(),
    "config": set(),
    "fields": {"skeleton"},
    "preprocess": FOUNDATION,
    "decoder": FOUNDATION,
    "runtime": FOUNDATION | {"whole_file", "protobuf", "user_cache"},
    "protobuf": set(),
    "whole_file": set(),
    "user_cache": set(),
    "yaml_text": set(),
    "models": FOUNDATION | {"yaml_text", "user_cache", "whole_file"},
    "estimator": FOUNDATION | MIDDLE | {"models"},
}
ALLOWED_FILES = {"runtime/torch.py": {"network", "checkpoint"}}  # what single files may import beyond their room
ROS = ("rclpy", "sensor_msgs", "std_msgs", "geometry_msgs", "builtin_interfaces", "pose_ros.msg", "cv_bridge", "launch")
LOCKED = (*ROS, "torch", "tensorrt", "openvino", "onnx")

TORCH_ROOMS = ("network", "checkpoint")
TORCH_FREE = ("settings", "targets")
"""What of training works without torch: its settings and targets."""
TORCH_MODULES = ("pose_ros.export.to_onnx", "pose_ros.runtime.torch")

LOCKED_OUT = """
import importlib, sys
for name in {locked}:
    sys.modules[name] = None
for name in {modules}:
    importlib.import_module(name)
"""


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def modules() -> list[tuple[str, Path]]:
    files = sorted(p for p in PACKAGE.rglob("*.py") if "msg" not in p.parts)
    dotted = [".".join(("pose_ros", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in files]
    return [(name.removesuffix(".__init__"), path) for name, path in zip(dotted, files, strict=True)]


def needs_torch(name: str, path: Path) -> bool:
    if room(path) == "training":
        return not path.stem.startswith(TORCH_FREE)
    return room(path) in TORCH_ROOMS or name in TORCH_MODULES


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_everything_outside_ros_imports_without_ros_torch_or_a_gpu() -> None:
    names = [name for name, path in modules() if not (room(path) == "ros" or needs_torch(name, path))]
    assert {"pose_ros.estimator", "pose_ros.decoder.paf", "pose_ros.datasets.images", "pose_ros.cli.train"} <= set(
        names
    )
    script = LOCKED_OUT.format(locked=LOCKED, modules=names)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_rooms_import_only_what_lies_below(name: str) -> None:
    inside = [path for _, path in modules() if room(path) == name]
    assert inside
    for path in inside:
        own = {imported.split(".")[1] for imported in imports(path) if imported.startswith("pose_ros.")}
        allowed = {name} | ALLOWED[name] | ALLOWED_FILES.get(path.relative_to(PACKAGE).as_posix(), set())
        assert own <= allowed, f"{path.name} imports {own - allowed}"


def test_only_ros_names_ros() -> None:
    for dotted, path in modules():
        if room(path) in ("ros", "cli"):
            continue
        assert not {name for name in imports(path) if name.startswith((*ROS, "pose_ros.ros"))}, dotted


def test_the_package_itself_is_a_docstring() -> None:
    """Generated message code is installed beside it, and another __init__ may win."""
    (statement,) = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
