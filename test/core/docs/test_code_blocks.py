"""Test that every command, option, parameter and Python name in the code of the documentation exists."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from pages import PAGES, ROOT, fenced_blocks, name_of, shell_lines

from pose_ros.cli import app

PROGRAM = typer.main.get_command(app)
PARAMETERS = yaml.safe_load((ROOT / "config/camera.yaml").read_text(encoding="utf-8"))
ELSEWHERE = {"use_sim_time", "max_speed", "camera_model"}  # of rclpy, the examples and the driver of ZED
RENAMED = {"markers.joint_m", "markers.bone_m"}


def flatten(settings: dict, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, value in settings.items():
        names |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return names


NAMES = flatten(PARAMETERS["/**"]["ros__parameters"])
GROUPS = {name.partition(".")[0] for name in NAMES if "." in name}


def commands(page: Path) -> list[str]:
    lines = (
        re.sub(r"^(torchrun .* --no-python|docker run .* pose_ros) (?=pose_ros )", "", line)
        for line in shell_lines(page)
    )
    return [line for line in lines if line.startswith("pose_ros ") and not re.match(r"pose_ros(:| \d| .*…)", line)]


def parse(line: str) -> None:
    words = shlex.split(re.sub(r"(\$\w+|\*)", "x", line))[1:]
    words = words[: min([words.index(mark) for mark in (">", "|", "&") if mark in words] or [len(words)])]
    command, path = PROGRAM, []
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    if hasattr(command, "commands") and words:  # an option of the program itself
        assert all(word.startswith("-") for word in words)
        return
    command.make_context(" ".join(path), words)  # raises if an option is unknown or missing


def find_fault(line: str) -> str:
    """Return what is wrong with a command. Empty = nothing."""
    try:
        parse(line)
    except typer.Exit:  # --help, --version
        return ""
    except Exception as error:
        return f"{getattr(error, 'message', error)!s:.200}"
    return ""


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_every_command_exists_with_its_options(page: Path) -> None:
    assert [(line, fault) for line in commands(page) if (fault := find_fault(line))] == []


INSTALLED = set(re.findall(r"(?:scripts|examples)/(\S+?)[\s)]", (ROOT / "CMakeLists.txt").read_text()))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_program_of_ros2_run_is_installed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"ros2 run pose_ros ([\w.]+)", text)) <= INSTALLED and "pose_node" in INSTALLED


def is_python(name: str) -> bool:
    """Return whether a name is that of a module or object of the package, such as ``decoder.make_decoder``."""
    try:
        pkgutil.resolve_name(f"pose_ros.{name}")
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_parameter_exists(page: Path) -> None:
    lines = list(shell_lines(page))
    named = {
        name for line in lines for name in re.findall(r"(?:-p|--set) '?([a-z_.0-9]+):?=", line) if "pose_ros" in line
    }
    named |= {name for line in lines for name in re.findall(r"ros2 param set /pose_estimator (\S+)", line)}
    training = set(re.findall(r"pose_ros (?:train|inspect) .*--set '?([a-z_.0-9]+)=", "\n".join(lines)))
    training |= {"data", "validation.data"} if page.name == "training.md" else set()
    text = re.sub(r"\]\([^)]*\)", "", page.read_text(encoding="utf-8"))
    inline = re.findall(rf"`((?:{'|'.join(GROUPS)})\.[a-z_0-9]+)(?:[:=].*?|: .*?)?`", text)
    named |= {name for name in inline if not name.endswith(".py") and not is_python(name)}
    assert named - NAMES - ELSEWHERE - RENAMED - training == set()


def find_rejected(text: str) -> list[str]:
    """Return the parameters of ``ros2 param set`` that an active node rejects. The command may be wrapped."""
    listed = " ".join((ROOT / "docs/parameters.md").read_text(encoding="utf-8").split())
    effect = dict(re.findall(r"- `([a-z_.0-9]+)` \(default [^)]*? · (live|configure|restart)\):", listed))
    assert effect.keys() == NAMES
    rejected, inactive = [], False
    for transition, name in re.findall(
        r"ros2\s+(?:lifecycle\s+set\s+/\S+\s+(\w+)|param\s+set\s+/\S+\s+([\w.]+))", text
    ):
        inactive = transition != "activate" and (inactive or transition == "deactivate")
        if name and effect.get(name) != "live" and not (inactive and effect.get(name) == "configure"):
            rejected.append(name)
    return rejected


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_parameter_that_is_set_may_change(page: Path) -> None:
    assert find_rejected(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ros2 param set /pose_estimator overlay.anonymise blur", []),
        ("`ros2 param\nset /pose_estimator preprocess.short_side 256`", ["preprocess.short_side"]),
        ("ros2 lifecycle set /a deactivate\nros2 param set /a model b.onnx\nros2 lifecycle set /a activate", []),
        ("ros2 lifecycle set /a deactivate\nros2 param set /a autostart false", ["autostart"]),
        ("ros2 param set /pose_estimator nothing 1", ["nothing"]),
    ],
)
def test_parameters_that_an_active_node_rejects_are_found(text: str, expected: list[str]) -> None:
    assert find_rejected(text) == expected


def launch_arguments() -> set[str]:
    text = (ROOT / "pose_ros/ros/launching/arguments.py").read_text() + (ROOT / "launch/replay.launch.py").read_text()
    return set(re.findall(r'"(\w+)"', text)) | ELSEWHERE


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_launch_argument_exists(page: Path) -> None:
    lines = [line for line in shell_lines(page) if line.startswith("ros2 launch pose_ros")]
    named = {name for line in lines for name in re.findall(r" (\w+):=", line)}
    assert named <= launch_arguments()
    for file in {line.split()[3] for line in lines}:
        assert (ROOT / "launch" / file).is_file() or (ROOT / "examples" / file).is_file()


BLOCKS = [
    pytest.param(block.text, id=f"{name_of(page)}-{number}")
    for page in PAGES
    for number, block in enumerate(fenced_blocks(page))
    if block.language == "python"
]


@pytest.mark.parametrize("code", BLOCKS)
def test_every_python_block_is_valid_and_every_imported_name_exists(code: str) -> None:
    compile(code, "block", "exec")
    for module, names in re.findall(r"^from (pose_ros[\w.]*) import (.+)$", code, re.MULTILINE):
        if module == "pose_ros.msg":
            pytest.importorskip("pose_ros.msg", reason="needs the built messages")
        elif module.startswith(("pose_ros.network", "pose_ros.export")):
            pytest.importorskip("torch")
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}: expected {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_yaml_block_is_valid(page: Path) -> None:
    for block in fenced_blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.text)
