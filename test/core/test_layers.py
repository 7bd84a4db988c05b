"""Who may import whom: every room of the package, by its folder."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pose_ros"
VOCABULARY = {"arrays", "skeleton", "people", "similarity", "fields", "config", "config_file"}
STAGES = {"preprocess", "decoder", "runtime"}
ALLOWED = {  # room -> rooms that it may import; a room is a folder, or a file in the root of the package
    "arrays": set(),
    "skeleton": {"arrays"},
    "people": {"arrays"},
    "similarity": {"arrays"},
    "config": set(),
    "fields": {"arrays", "config_file", "skeleton"},
    "files": set(),
    "protobuf": {"arrays"},
    "config_file": {"skeleton"},
    "preprocess": VOCABULARY,
    "decoder": VOCABULARY,
    "runtime": VOCABULARY | {"files", "protobuf"},
    "models": VOCABULARY | {"files"},
    "estimator": VOCABULARY | STAGES | {"models"},
    "consensus": VOCABULARY | {"estimator"},
    "pipeline": VOCABULARY | STAGES | {"estimator"},
    "media": VOCABULARY | {"decoder", "preprocess"},
    "datasets": VOCABULARY | {"consensus", "files", "media"},
    "evaluation": VOCABULARY | {"consensus", "datasets", "decoder", "estimator", "media", "preprocess"},
    "network": VOCABULARY,
    "checkpoint": VOCABULARY | {"files", "models", "network", "protobuf"},
    "export": VOCABULARY | STAGES | {"estimator", "files", "media", "models", "network"},
    "training": VOCABULARY
    | {
        "checkpoint",
        "config_file",
        "datasets",
        "decoder",
        "evaluation",
        "export",
        "files",
        "media",
        "models",
        "network",
    },
    "live": set(),
    "cli": VOCABULARY
    | STAGES
    | {"checkpoint", "consensus", "datasets", "estimator", "evaluation", "export", "media", "models"}
    | {"network", "pipeline", "ros", "training"},
    "ros": VOCABULARY | STAGES | {"estimator", "live", "media", "pipeline"},
}
ALLOWED_FILES = {"runtime/torch.py": {"checkpoint", "network"}}
"""What a single file may import beyond its room."""

ROS = (
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "pose_ros.msg",
    "rcl_interfaces",
)
ROS += ("rclpy", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs", "tf2_ros", "visualization_msgs")
LIBRARIES = {  # library -> the folders and files that may import it
    **dict.fromkeys(ROS, ("ros",)),
    "torch": ("network", "training", "checkpoint", "export", "runtime/torch.py"),
    "onnxruntime": ("runtime/onnx.py", "export/quantise.py"),
    "openvino": ("runtime/openvino.py",),
    "tensorrt": ("runtime/tensorrt/probe.py",),
    "aiohttp": ("live", "cli/view.py"),
    "typer": ("cli",),
}
WITH_TORCH = ("network", "training", "checkpoint", "export/to_onnx.py", "runtime/torch.py")
"""The folders and files that cannot be imported without torch …"""
WITHOUT_TORCH = ("training/config.py", "training/losses/config.py", "training/targets")
"""… except these, which loader workers and `inspect` import."""

LOCKED_OUT = """
import importlib, sys
for name in {locked}:
    sys.modules[name] = None
for name in {modules}:
    importlib.import_module(name)
"""


def files(package: Path) -> list[Path]:
    """The sources of a package, without the messages that a build puts beside them."""
    return sorted(path for path in package.rglob("*.py") if path.relative_to(package).parts[0] != "msg")


def place(path: Path, package: Path) -> str:
    """Where a file lies, such as ``"runtime/onnx.py"``."""
    return path.relative_to(package).as_posix()


def lies_in(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def module(name: str) -> str:
    return ".".join(("pose_ros", *Path(name).with_suffix("").parts)).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """The modules, or names in modules, that a file imports anywhere: ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_import_of(name: str, library: str) -> bool:
    return name == library or name.startswith(f"{library}.")


def forbidden_rooms(package: Path) -> list[str]:
    """Imports of a room that the importing room must not know."""
    found = []
    for path in files(package):
        name = place(path, package)
        room = Path(name).parts[0].removesuffix(".py")
        allowed = ALLOWED.get(room, set()) | {room} | ALLOWED_FILES.get(name, set())
        own = {each.split(".")[1] for each in imported(path) if is_import_of(each, "pose_ros")} - {"msg"}
        found += [f"{name} imports {other}" for other in sorted(own - allowed)]
    return found


def forbidden_libraries(package: Path) -> list[str]:
    """Imports of a library outside its rooms. A command that needs ROS imports ``pose_ros.ros`` inside the command."""
    found = []
    for path in files(package):
        name = place(path, package)
        for each in imported(path):
            found += [
                f"{name} imports {library}"
                for library, places in LIBRARIES.items()
                if is_import_of(each, library) and not lies_in(name, places)
            ]
    return found


def circles(package: Path) -> list[str]:
    """Circles among what lies side by side in each folder: files, and folders as a whole."""
    modules = {module(place(path, package)): path.relative_to(package).parts for path in files(package)}
    edges: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for path in files(package):
        source = path.relative_to(package).parts
        for name in imported(path):
            target = modules.get(name) or modules.get(name.rpartition(".")[0])
            if target is None or target == source:
                continue
            depth = next(i for i, (a, b) in enumerate(zip(source, target, strict=False)) if a != b)
            edges.setdefault(source[:depth], {}).setdefault(source[depth], set()).add(target[depth])
    found = {"/".join((*folder, "")): circle(graph) for folder, graph in sorted(edges.items())}
    return [f"{folder}: {' -> '.join(names)}" for folder, names in found.items() if names]


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_room_has_its_rule() -> None:
    rooms = {Path(place(path, PACKAGE)).parts[0].removesuffix(".py") for path in files(PACKAGE)}
    assert rooms - {"__init__"} == set(ALLOWED)


def test_rooms_import_only_what_they_may() -> None:
    assert forbidden_rooms(PACKAGE) == []


def test_libraries_are_imported_in_their_rooms_only() -> None:
    assert forbidden_libraries(PACKAGE) == []


def test_no_circle_between_files_or_folders() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "check", "complaint"),
    [
        ("decoder/paf.py", "import pose_ros.ros.qos", forbidden_rooms, "decoder/paf.py imports ros"),
        ("runtime/onnx.py", "from pose_ros.skeleton import Skeleton", forbidden_rooms, None),
        ("runtime/onnx.py", "from pose_ros.decoder import paf", forbidden_rooms, "runtime/onnx.py imports decoder"),
        (
            "evaluation/oks.py",
            "from pose_ros.training import trainer",
            forbidden_rooms,
            "evaluation/oks.py imports training",
        ),
        (
            "datasets/synthetic/body.py",
            "from pose_ros.network import zoo",
            forbidden_rooms,
            "datasets/synthetic/body.py imports network",
        ),
        ("people.py", "    from pose_ros import estimator", forbidden_rooms, "people.py imports estimator"),
        ("training/targets/paf.py", "import rclpy.node", forbidden_libraries, "training/targets/paf.py imports rclpy"),
        ("datasets/coco.py", "from torch import Tensor", forbidden_libraries, "datasets/coco.py imports torch"),
        ("cli/image.py", "import onnxruntime", forbidden_libraries, "cli/image.py imports onnxruntime"),
        ("export/check.py", "import tensorrt", forbidden_libraries, "export/check.py imports tensorrt"),
        (
            "runtime/cuda/objects.py",
            "from pose_ros.runtime.cuda.device import Cuda",
            circles,
            "runtime/cuda/: device.py -> objects.py -> device.py",
        ),
        (
            "ros/messages/markers.py",
            "from pose_ros.ros.node.outputs import CameraPublishers",
            circles,
            "ros/: messages -> node -> messages",
        ),
    ],
)
def test_the_checks_notice_an_import(tmp_path: Path, file: str, line: str, check, complaint: str | None) -> None:
    package = tmp_path / "pose_ros"
    shutil.copytree(
        PACKAGE, package, ignore=lambda _, names: [name for name in names if "." in name and name[-3:] != ".py"]
    )
    text = (package / file).read_text(encoding="utf-8")
    (package / file).write_text(f"{text}\nif True:\n    {line.strip()}\n", encoding="utf-8")
    found = check(package)
    if complaint is None:
        assert found == []
    else:
        loops = [complaint, rotated(complaint)] if check is circles else [complaint]
        assert len(found) == 1 and found[0] in loops


def rotated(complaint: str) -> str:
    """The same circle of two, told from its other end."""
    where, _, chain = complaint.partition(": ")
    first, second, _ = chain.split(" -> ")
    return f"{where}: {second} -> {first} -> {second}"


def test_everything_outside_ros_imports_without_ros_torch_or_a_gpu() -> None:
    names = [place(path, PACKAGE) for path in files(PACKAGE)]
    free = [n for n in names if not lies_in(n, ("ros",)) and (not lies_in(n, WITH_TORCH) or lies_in(n, WITHOUT_TORCH))]
    assert {"estimator.py", "decoder/paf.py", "datasets/images.py", "training/targets/paf.py", "cli/train.py"} <= set(
        free
    )
    locked = (*ROS, "torch", "tensorrt", "openvino", "onnx")
    script = LOCKED_OUT.format(locked=locked, modules=[module(name) for name in free])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_is_a_docstring() -> None:
    """Generated message code is installed beside it, and another __init__ may win."""
    (statement,) = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
