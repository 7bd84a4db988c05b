"""Test the imports between the layers of the package."""

import ast
import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pose_ros"
ALLOWED = {  # layer -> the layers that it imports. A layer is a folder, or a file in the root of the package
    "arrays": "",
    "skeleton": "arrays",
    "people": "arrays",
    "similarity": "arrays",
    "settings": "",
    "config": "settings",
    "fields": "arrays config_file skeleton yaml_text",
    "files": "",
    "cores": "",
    "file_kind": "",
    "protobuf": "",
    "config_file": "files skeleton yaml_text",
    "preprocess": "arrays config fields once",
    "decoder": "arrays config fields people similarity skeleton",
    "runtime": "arrays config cores fields file_kind files protobuf texts",
    "models": "config_file fields file_kind files skeleton yaml_text",
    "estimator": (
        "arrays config decoder fields garbage models once overruled people preprocess runtime skeleton to_image "
        "view_merging"
    ),
    "consensus": "arrays estimator people refinement skeleton view_merging",
    "refinement": "arrays config estimator people runtime similarity skeleton view_merging",
    "depth": "arrays config decoder people skeleton",
    "pipeline": "arrays config depth estimator people refinement tracking view_choice",
    "batch": (
        "arrays config decoder depth estimator file_kind files media models people pipeline refinement runtime "
        "skeleton texts"
    ),
    "media": (
        "arrays config decoder fields file_kind files once people preprocess protobuf skeleton texts to_image yaml_text"
    ),
    "datasets": (
        "arrays consensus files json_file media people refinement settings similarity skeleton texts view_merging "
        "yaml_text"
    ),
    "evaluation": (
        "arrays consensus datasets decoder estimator fields files json_file media people preprocess refinement "
        "similarity skeleton to_image"
    ),
    "network": "arrays config fields skeleton",
    "checkpoint": "arrays fields file_kind files network protobuf skeleton",
    "export": "arrays checkpoint config estimator fields files media models network preprocess runtime",
    "training": (
        "arrays checkpoint config config_file cores datasets decoder evaluation export fields files media models "
        "network people preprocess settings skeleton texts to_image"
    ),
    "live": "texts",
    "exchange": "arrays files json_file people skeleton",
    "__main__": "cli",
    "cli": (
        "arrays batch checkpoint config config_file consensus cores datasets decoder estimator evaluation exchange "
        "export fields files media models network once people pipeline preprocess refinement ros runtime skeleton "
        "texts training yaml_text"
    ),
    "ros": (
        "arrays config config_file depth estimator fields files live media people pipeline refinement runtime "
        "settings skeleton texts yaml_text"
    ),
    "texts": "",
    "to_image": "arrays fields people preprocess",
    "json_file": "file_kind",
    "once": "",
    "garbage": "",
    "overruled": "config decoder fields",
    "yaml_text": "files",
    "tracking": "arrays config decoder people similarity skeleton",
    "view_choice": "arrays config people",
    "view_merging": "arrays decoder people similarity skeleton",
}
"""The whole rule: an arrow that is not here is forbidden. A test fails if an arrow here is no longer used."""
ALLOWED_FILES = {"runtime/torch.py": "checkpoint network"}
"""Additional layers that a single file imports."""

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
ROS += ("hri_msgs", "people_msgs", "tf2_msgs", "vision_msgs")
LIBRARIES = {  # library -> the folders and files that may import it
    **dict.fromkeys(ROS, ("ros",)),
    "torch": ("network", "training", "checkpoint", "export", "runtime/torch.py"),
    "onnxruntime": ("runtime/onnx.py", "export/quantise.py"),
    "openvino": ("runtime/openvino.py",),
    "tensorrt": ("runtime/tensorrt/probe.py",),
    "av": ("media/av_capture.py", "media/av_writer.py", "media/video_library.py"),
    "tritonclient": ("runtime/triton.py",),
    "supervision": ("exchange/supervision.py",),
    "rerun": ("exchange/rerun.py",),
    "aiohttp": ("live", "cli/view.py"),
    "ray": ("batch/ray_actors.py",),
    "typer": ("cli", "__main__.py"),
}
WITH_TORCH = ("network", "training", "checkpoint", "export/to_onnx.py", "runtime/torch.py")
"""Folders and files that require torch."""
WITHOUT_TORCH = ("training/config.py", "training/losses/config.py", "training/targets")
"""Exceptions from WITH_TORCH, which loader workers and `inspect` import."""

WITH_AV = LIBRARIES["av"]
"""Files that require PyAV. They are imported if it is installed."""

IMPORT_SCRIPT = """
import importlib, sys
for name in {blocked}:
    sys.modules[name] = None
for name in {modules}:
    importlib.import_module(name)
"""


def files(package: Path) -> list[Path]:
    """Return the sources of a package, without the generated messages next to them."""
    return sorted(path for path in package.rglob("*.py") if path.relative_to(package).parts[0] != "msg")


def path_in(path: Path, package: Path) -> str:
    """Return the path of a file in the package, such as ``"runtime/onnx.py"``."""
    return path.relative_to(package).as_posix()


def is_in(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def module(name: str) -> str:
    return ".".join(("pose_ros", *Path(name).with_suffix("").parts)).removesuffix(".__init__")


def list_imports(path: Path) -> tuple[str, ...]:
    """Return the modules and names that a file imports anywhere: ``from a import b`` gives ``a.b``.

    A relative import is ``.a.b``. A name in a call of ``import_module`` counts, too.
    """
    return imports_of(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(text: str) -> tuple[str, ...]:
    """Return the imports of a source. The tests read the same sources many times."""
    return tuple(find_imports(ast.parse(text)))


def find_imports(source: ast.Module) -> Iterator[str]:
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + f"{node.module}." if node.module else "." * node.level
            yield from (f"{origin}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (part.value for part in ast.walk(node.args[0]) if is_dotted_text(part))


def is_dotted_text(node: ast.AST) -> bool:
    """Return whether a node is the text of a module's name, or the start of one."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value


def is_import_of(name: str, library: str) -> bool:
    return name == library or name.startswith(f"{library}.")


def forbidden_layers(package: Path) -> list[str]:
    """Return the imports of layers that the importing layer must not know."""
    found = []
    for path in files(package):
        name = path_in(path, package)
        layer = Path(name).parts[0].removesuffix(".py")
        allowed = {layer, *ALLOWED.get(layer, "").split(), *ALLOWED_FILES.get(name, "").split()}
        found += [f"{name} imports {other}" for other in sorted(list_layers(path) - allowed)]
        found += [f"{name} imports {each}" for each in list_imports(path) if each.startswith(".")]
    return found


def list_layers(path: Path) -> set[str]:
    """Return the layers that a file imports. The package itself is ``"pose_ros"``."""
    own = (each for each in list_imports(path) if is_import_of(each, "pose_ros"))
    return {f"{each}.pose_ros".split(".")[1] for each in own} - {"msg"}


def forbidden_libraries(package: Path) -> list[str]:
    """Return the imports of libraries outside their layers. Commands that need ROS import ``pose_ros.ros`` late."""
    found = []
    for path in files(package):
        name = path_in(path, package)
        for each in list_imports(path):
            found += [
                f"{name} imports {library}"
                for library, places in LIBRARIES.items()
                if is_import_of(each, library) and not is_in(name, places)
            ]
    return found


def find_cycles(package: Path) -> list[str]:
    """Return the import cycles in each folder, between its files and subfolders."""
    modules = {module(path_in(path, package)): path.relative_to(package).parts for path in files(package)}
    edges: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for path in files(package):
        source = path.relative_to(package).parts
        for name in list_imports(path):
            target = modules.get(name) or modules.get(name.rpartition(".")[0])
            is_start = name.endswith(".")  # the start of a name that is completed at run time
            if target is None or target == source or is_start:
                continue
            depth = next(i for i, (a, b) in enumerate(zip(source, target, strict=False)) if a != b)
            edges.setdefault(source[:depth], {}).setdefault(source[depth], set()).add(target[depth])
    found = {"/".join((*folder, "")): find_cycle(graph) for folder, graph in sorted(edges.items())}
    return [f"{folder}: {' -> '.join(names)}" for folder, names in found.items() if names]


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_layer_has_a_rule() -> None:
    layers = {Path(path_in(path, PACKAGE)).parts[0].removesuffix(".py") for path in files(PACKAGE)}
    assert layers - {"__init__"} == set(ALLOWED)


def test_layers_import_only_allowed_layers() -> None:
    assert forbidden_layers(PACKAGE) == []


def test_no_allowed_layer_is_unused() -> None:
    used: dict[str, set[str]] = {}
    for path in files(PACKAGE):
        name = path_in(path, PACKAGE)
        place = name if name in ALLOWED_FILES else Path(name).parts[0].removesuffix(".py")
        used.setdefault(place, set()).update(list_layers(path))
    rules = {**ALLOWED, **ALLOWED_FILES}
    assert {place: set(rules[place].split()) - used[place] for place in rules} == {place: set() for place in rules}


def test_libraries_are_imported_in_their_layers_only() -> None:
    assert forbidden_libraries(PACKAGE) == []


def test_no_cycle_between_files_or_folders() -> None:
    assert find_cycles(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "check", "message"),
    [
        ("decoder/paf.py", "import pose_ros.ros.qos", forbidden_layers, "decoder/paf.py imports ros"),
        (
            "runtime/onnx.py",
            "from pose_ros.skeleton import Skeleton",
            forbidden_layers,
            "runtime/onnx.py imports skeleton",
        ),
        ("runtime/onnx.py", "from pose_ros.fields import ModelSpec", forbidden_layers, None),
        (
            "evaluation/oks.py",
            "from ..training import loader",
            forbidden_layers,
            "evaluation/oks.py imports ..training.loader",
        ),
        ("decoder/tag.py", "from . import paf", forbidden_layers, "decoder/tag.py imports .paf"),
        ("media/sheet.py", "import pose_ros", forbidden_layers, "media/sheet.py imports pose_ros"),
        (
            "evaluation/pck.py",
            "import importlib; importlib.import_module('pose_ros.training.loader')",
            forbidden_layers,
            "evaluation/pck.py imports training",
        ),
        ("runtime/onnx.py", "from pose_ros.decoder import paf", forbidden_layers, "runtime/onnx.py imports decoder"),
        (
            "evaluation/oks.py",
            "from pose_ros.training import trainer",
            forbidden_layers,
            "evaluation/oks.py imports training",
        ),
        (
            "datasets/synthetic/body.py",
            "from pose_ros.network import zoo",
            forbidden_layers,
            "datasets/synthetic/body.py imports network",
        ),
        ("people.py", "    from pose_ros import estimator", forbidden_layers, "people.py imports estimator"),
        ("training/targets/paf.py", "import rclpy.node", forbidden_libraries, "training/targets/paf.py imports rclpy"),
        ("datasets/coco.py", "from torch import Tensor", forbidden_libraries, "datasets/coco.py imports torch"),
        ("cli/image.py", "import onnxruntime", forbidden_libraries, "cli/image.py imports onnxruntime"),
        ("export/check.py", "import tensorrt", forbidden_libraries, "export/check.py imports tensorrt"),
        (
            "runtime/cuda/objects.py",
            "from pose_ros.runtime.cuda.device import Cuda",
            find_cycles,
            "runtime/cuda/: device.py -> objects.py -> device.py",
        ),
        (
            "ros/messages/markers.py",
            "from pose_ros.ros.node.outputs import CameraPublishers",
            find_cycles,
            "ros/: messages -> node -> messages",
        ),
    ],
)
def test_the_checks_find_a_forbidden_import(tmp_path: Path, file: str, line: str, check, message: str | None) -> None:
    package = tmp_path / "pose_ros"
    shutil.copytree(
        PACKAGE, package, ignore=lambda _, names: [name for name in names if "." in name and name[-3:] != ".py"]
    )
    text = (package / file).read_text(encoding="utf-8")
    (package / file).write_text(f"{text}\nif True:\n    {line.strip()}\n", encoding="utf-8")
    found = check(package)
    if message is None:
        assert found == []
    else:
        messages = [message, rotate(message)] if check is find_cycles else [message]
        assert len(found) == 1 and found[0] in messages


def rotate(message: str) -> str:
    """Return the same cycle of two, from its other end."""
    where, _, chain = message.partition(": ")
    first, second, _ = chain.split(" -> ")
    return f"{where}: {second} -> {first} -> {second}"


def test_everything_outside_ros_imports_without_ros_torch_or_a_gpu() -> None:
    names = [path_in(path, PACKAGE) for path in files(PACKAGE)]
    free = [
        n for n in names if not is_in(n, ("ros", *WITH_AV)) and (not is_in(n, WITH_TORCH) or is_in(n, WITHOUT_TORCH))
    ]
    assert {"estimator.py", "decoder/paf.py", "datasets/images.py", "training/targets/paf.py", "cli/train.py"} <= set(
        free
    )
    blocked = (*ROS, "torch", "tensorrt", "openvino", "onnx")
    script = IMPORT_SCRIPT.format(blocked=blocked, modules=[module(name) for name in free])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_itself_is_a_docstring() -> None:
    """Generated message code is installed next to it, and may replace its __init__."""
    (statement,) = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
