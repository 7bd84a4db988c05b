"""Test that the colcon package and the pip package agree, and that setup runs each step when it is needed."""

import ast
import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
MODULES = sorted((ROOT / "pose_ros").rglob("*.py"))
DISTRIBUTION_OF = {"cv2": "opencv-python-headless", "rerun": "rerun-sdk", "yaml": "pyyaml"}
# Used if present, never required. The first two come with the software of the GPU, the others with some ROS systems.
NEVER_REQUIRED = {"tensorrt", "cuda", "bondpy", "cv_bridge"}
NEVER_REQUIRED |= {"hri_msgs", "people_msgs", "tf2_msgs", "tf2_ros", "vision_msgs"}

MESSAGES = {
    "Keypoint": "float32 x, float32 y, float32 score",
    "PersonPose": (
        "int32 id, float32 score, float32[4] box, Keypoint[] keypoints, geometry_msgs/Point32[] keypoints_3d, "
        "uint8 UNTRACKED = 0, uint8 NEW = 1, uint8 TRACKED = 2, uint8 LOST = 3, uint8 state, float32[2] velocity, "
        "bool refined, geometry_msgs/Point32 position_3d, geometry_msgs/Vector3 velocity_3d, float32[] deviations_3d, "
        "float32 position_deviation_3d"
    ),
    "PersonPoseArray": (
        "std_msgs/Header header, uint32 image_width, uint32 image_height, string model, string[] keypoint_names, "
        "PersonPose[] people, float32 preprocess_ms, float32 network_ms, float32 decode_ms, float32 latency_ms, "
        "uint32 dropped, string frame_3d"
    ),
}


def test_pip_and_colcon_have_the_same_version() -> None:
    try:
        installed = importlib.metadata.version("pose_ros")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pose_ros is not installed")
    assert installed == MANIFEST.findtext("version")


def test_changelog_starts_with_this_version() -> None:
    changelog = ROOT / "CHANGELOG.rst"
    if not changelog.exists():
        pytest.skip("CHANGELOG.rst does not exist yet")
    headings = re.findall(r"^(\d+\.\d+\.\d+)\b.*\n[-=~^]{3,}$", changelog.read_text(), re.MULTILINE)
    assert headings[0] == MANIFEST.findtext("version")


@pytest.mark.parametrize("name", MESSAGES)
def test_message_has_exactly_these_fields(name: str) -> None:
    lines = (ROOT / "msg" / f"{name}.msg").read_text().splitlines()
    statements = [line.partition("#")[0].split() for line in lines]
    assert [" ".join(words) for words in statements if words] == MESSAGES[name].split(", ")


@pytest.mark.parametrize("name", MESSAGES)
def test_cmake_builds_every_message(name: str) -> None:
    assert f"msg/{name}.msg" in (ROOT / "CMakeLists.txt").read_text()


def test_manifest_is_valid() -> None:
    assert MANIFEST.get("format") == "3"
    assert MANIFEST.findtext("export/build_type") == "ament_cmake"
    assert MANIFEST.findtext("member_of_group") == "rosidl_interface_packages"
    catkin_package = pytest.importorskip("catkin_pkg.package", reason="needs catkin_pkg, which comes with ROS")
    warnings: list[str] = []
    catkin_package.parse_package(str(ROOT), warnings=warnings)
    assert warnings == []


def test_manifest_declares_the_packages_that_cmake_finds() -> None:
    found = re.findall(r"find_package\((\w+)", (ROOT / "CMakeLists.txt").read_text())
    assert set(found) - {"Python3"} <= _manifest_dependencies()  # Python3 is part of CMake


def _manifest_dependencies() -> set[str]:
    return {element.text or "" for element in MANIFEST if element.tag.endswith("depend")}


def _pip_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = sum(project["optional-dependencies"].values(), project["dependencies"])
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


def _imports(module: Path) -> set[str]:
    """Return the top-level packages that a module imports, also inside functions. Relative imports are skipped."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_is_declared(module: Path) -> None:
    declared = _pip_dependencies() | _manifest_dependencies() | NEVER_REQUIRED
    foreign = _imports(module) - set(sys.stdlib_module_names) - {"pose_ros"}
    assert {DISTRIBUTION_OF.get(name, name) for name in foreign} <= declared


def test_rosdep_and_make_venv_install_every_core_dependency() -> None:
    """apt has neither of the two exceptions, so only ``make venv`` installs them."""
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    core = {re.split(r"[^\w.-]", name)[0] for name in names}
    keys = {"opencv-python-headless": "opencv", "pyyaml": "yaml"}
    declared = {key.removeprefix("python3-") for key in _manifest_dependencies()}
    assert {keys.get(name, name) for name in core} - declared == {"onnxruntime", "rosbags"}


def test_rosdep_installs_nothing_with_pip() -> None:
    """pip would bring NumPy 2, with which the OpenCV of apt does not work."""
    assert [key for key in _manifest_dependencies() if key.endswith("-pip")] == []


def test_package_init_is_only_a_docstring() -> None:
    """Some ROS distributions overwrite the file with generated code, so the file must contain no code."""
    body = ast.parse((ROOT / "pose_ros/__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {module.parent for module in MODULES}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("program", [".ci/run", "scripts/pose_node", "scripts/pose_ros"])
def test_program_can_be_executed(program: str) -> None:
    assert os.access(ROOT / program, os.X_OK)


# Setup steps ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps() -> Iterator[ModuleType]:
    """Load underlay/steps.py, which is not part of a package."""
    spec = importlib.util.spec_from_file_location("underlay_steps", ROOT / "underlay/steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class CountingAction:
    """Action that counts its calls and raises ``error`` if set."""

    def __init__(self) -> None:
        self.count = 0
        self.error: BaseException | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.error:
            raise self.error


def test_step_is_done_once(steps: ModuleType, tmp_path: Path) -> None:
    action = CountingAction()
    for _ in range(3):
        steps.Step("work", tmp_path / "product/stamps/work", ("a", "b"), action).run()
    assert action.count == 1


def test_step_is_done_again_when_an_input_changes(steps: ModuleType, tmp_path: Path) -> None:
    action = CountingAction()
    for inputs in [("a", "b"), ("a", "c"), ("ac", ""), ("a", "b")]:
        steps.Step("work", tmp_path / "product/stamps/work", inputs, action).run()
    assert action.count == 4


def test_failed_step_leaves_no_stamp_and_is_done_again(steps: ModuleType, tmp_path: Path) -> None:
    action = CountingAction()
    step = steps.Step("work", tmp_path / "product/stamps/work", ("a",), action)
    action.error = steps.SetupError("no network")
    with pytest.raises(steps.SetupError, match="no network"):
        step.run()
    assert not step.stamp.exists()
    action.error = None
    step.run()
    assert action.count == 2
    assert step.is_done()


def test_product_of_an_interrupted_step_is_removed(steps: ModuleType, tmp_path: Path) -> None:
    action = CountingAction()
    step = steps.Step("work", tmp_path / "product/stamps/work", ("a",), action)
    action.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        step.run()
    assert not step.is_done()
    steps.discard_unfinished(tmp_path / "product")
    assert not (tmp_path / "product").exists()


def test_finished_product_is_kept(steps: ModuleType, tmp_path: Path) -> None:
    step = steps.Step("work", tmp_path / "product/stamps/work", ("a",), CountingAction())
    step.run()
    steps.discard_unfinished(tmp_path / "product")
    assert step.is_done()


def test_lock_makes_a_second_setup_wait(steps: ModuleType, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    with steps.lock(tmp_path), pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert list(tmp_path.iterdir()) == []


def test_list_of_files_skips_byte_code(steps: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    for name in ("module.py", "__pycache__/module.pyc", "__pycache__/module.nbi"):
        (tmp_path / name).touch()
    assert steps.list_files(tmp_path) == str(tmp_path / "module.py")


# Python headers ----------------------------------------------------------------------------------------------------

HEADERS = ("python3.99/Python.h", "python3.99/internal/core.h", "x86_64-linux-gnu/python3.99/pyconfig.h")
DOWNLOAD = 'case "$*" in {}) cp "{}" . ;; *) echo "E: Unable to locate package" >&2; exit 100 ;; esac\n'


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import underlay/headers.py, which is not part of a package either."""
    monkeypatch.syspath_prepend(str(ROOT / "underlay"))
    yield importlib.import_module("headers")
    for name in ("headers", "debs", "steps"):
        del sys.modules[name]


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    """Make a package of headers like those of Debian."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb, which makes packages")
    for name in HEADERS:
        file = tmp_path / "tree/usr/include" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    control = tmp_path / "tree/DEBIAN/control"
    control.parent.mkdir()
    control.write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n")
    subprocess.run(["dpkg-deb", "--build", "tree", "x.deb"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "x.deb"


def fake_apt(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.mark.parametrize("words", ["*download*", "*lists=*download*"], ids=["package lists", "no package lists"])
def test_headers_are_extracted_from_the_package(
    words: str, headers: ModuleType, deb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt(tmp_path, DOWNLOAD.format(words, deb), monkeypatch)
    venv = tmp_path / "check out/.venv"
    venv.mkdir(parents=True)
    for _ in range(2):
        headers.fetch("python3.99", venv / "headers")
    files = {str(path.relative_to(venv)) for path in venv.rglob("*") if path.is_file()}
    assert files == {"headers/Python.h", "headers/internal/core.h", "headers/x86_64-linux-gnu/python3.99/pyconfig.h"}


def test_missing_headers_give_a_one_line_error_with_a_solution(
    headers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt(tmp_path, DOWNLOAD.format("never", ""), monkeypatch)
    (tmp_path / "bin/dpkg-deb").symlink_to(tmp_path / "bin/apt-get")
    message = r"^[^\n]*Unable to locate[^\n]*: sudo apt install python3\.99-dev$"
    with pytest.raises(headers.SetupError, match=message):
        headers.fetch("python3.99", tmp_path / "headers")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(headers.SetupError, match="apt-get is missing"):
        headers.fetch("python3.99", tmp_path / "headers")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *ROOT.glob("*.rst"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/tutorials/*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("pose_ros/models/*.md"),
    }
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_the_documents_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []
