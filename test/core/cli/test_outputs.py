"""Test that outputs appear whole: never in place of an input, and never half in place of an earlier file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings
from cli_runner import run

from pose_ros.cli.delay_signals import delay_signals
from pose_ros.media.sources import open_source
from pose_ros.media.video_file import SUFFIXES
from pose_ros.models.model_file import DEFAULT_MODEL

FAST = ["--short-side", "64", "--threads", "1"]
TIMEOUT_S = 180
SAME = "expected a file other than the inputs and outputs"


@contextmanager
def limit_files(size_bytes: int) -> Iterator[None]:
    """Limit the size of files. Writes beyond it fail as on a full disk."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def fail(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    return result.stderr.strip().splitlines()[-1]


def start(script: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def write_noise(path: Path, count: int = 12) -> Path:
    """Write a video of noise, 30 kB per frame."""
    frames = np.random.default_rng(0).integers(0, 255, (count, 120, 160, 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return recordings.write_video(tmp_path / "walk.avi", 3)


@pytest.fixture
def earlier(tmp_path: Path) -> dict[Path, bytes]:
    """Results of an earlier run, by file."""
    files = {tmp_path / name: f"earlier {name}".encode() for name in ("drawn.mp4", "people.jsonl", "people.json")}
    for file, content in files.items():
        file.write_bytes(content)
    return files


def read_all(files: dict[Path, bytes]) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in files}


def make_symbolic_link(file: Path, folder: Path) -> Path:
    link = folder / f"symbolic{file.suffix}"
    link.symlink_to(file)
    return link


def make_hard_link(file: Path, folder: Path) -> Path:
    link = folder / f"hard{file.suffix}"
    link.hardlink_to(file)
    return link


LINKS: dict[str, Callable[[Path, Path], Path]] = {
    "same": lambda file, folder: file,
    "symbolic link": make_symbolic_link,
    "hard link": make_hard_link,
    "other spelling": lambda file, folder: file.parent / "." / ".." / file.parent.name / file.name,
    "through a new folder": lambda file, folder: file.parent / "new" / ".." / file.name,
}


@pytest.mark.parametrize("option", ["-o", "--json", "--coco"])
@pytest.mark.parametrize("link", LINKS)
def test_an_output_never_replaces_the_input(video: Path, tmp_path: Path, option: str, link: str) -> None:
    before = video.read_bytes()
    name = "--output" if option == "-o" else option
    assert fail("video", video, option, LINKS[link](video, tmp_path), *FAST).startswith(f"pose_ros: {name}: {SAME}")
    assert video.read_bytes() == before


@pytest.mark.parametrize("link", LINKS)
def test_two_outputs_are_different_files(video: Path, tmp_path: Path, earlier: dict[Path, bytes], link: str) -> None:
    table = tmp_path / "people.json"
    assert SAME in fail("video", video, "--json", table, "--coco", LINKS[link](table, tmp_path), *FAST)
    assert read_all(earlier) == earlier
    table.unlink()  # also if none exists yet
    assert SAME in fail("image", DEFAULT_MODEL, "--json", "x.json", "--coco", Path.cwd() / "x.json", *FAST)


def copy_model(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(DEFAULT_MODEL.read_bytes())
    return path


def write_spec(folder: Path) -> Path:
    path = folder / "spec.yaml"
    path.write_text("{name: mine, skeleton: openpose_18, stride: 8, heads: [{field: heatmaps, tensor: heatmaps}]}")
    return path


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "image": lambda f: ["image", f / "in" / "1.png", "--json", f / "in" / "1.png", *FAST],
    "image, model": lambda f: ["image", f / "in", "--model", copy_model(f), "--json", f / "model.onnx", *FAST],
    "image, spec": lambda f: ["image", f / "in", "--spec", write_spec(f), "--coco", f / "spec.yaml", *FAST],
    "image, drawn": lambda f: ["image", f / "in" / "1.png", "--json", f / "x.png", "-o", f / "x.png", *FAST],
    "video of a folder": lambda f: ["video", f / "in", "--json", f / "in" / "2.png", *FAST],
    "label": lambda f: ["label", f / "in", "-o", f / "in" / "2.png", *FAST],
    "label, model": lambda f: ["label", f / "in", "--model", copy_model(f), "-o", f / "model.onnx", *FAST],
    "merge-labels": lambda f: ["merge-labels", write_spec(f), "-o", f / "spec.yaml"],
    "decode": lambda f: ["decode", f / "a.npz", "--spec", write_spec(f), "--json", f / "spec.yaml"],
    "decode, picture": lambda f: ["decode", f / "a.npz", "--spec", write_spec(f), "--json", "x", "--picture", "x"],
    "describe": lambda f: ["models", "describe", copy_model(f), "--spec", write_spec(f), "-o", f / "model.onnx"],
    "export": lambda f: [
        *("export", copy_model(f), "-o", f / "model.onnx", "--int8", "--calibrate", f / "in"),
    ],
    "export, images": lambda f: [
        *("export", copy_model(f), "-o", f / "in" / "1.png", "--int8", "--calibrate", f / "in"),
    ],
    "inspect": lambda f: ["inspect", f / "in", "-o", f / "in" / "1.png"],
    "evaluate": lambda f: ["evaluate", "--data", write_report(f), "-o", f / "report"],
}


def write_report(folder: Path) -> Path:
    """Write labels with the name of a file of a report."""
    (folder / "report").mkdir()
    path = folder / "report" / "evaluation.json"
    path.write_text("{}")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_compares_its_files(tmp_path: Path, command: str) -> None:
    recordings.write_images(tmp_path / "in", ["1.png", "2.png"])
    arguments = COMMANDS[command](tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert SAME in fail(*arguments)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def make_unreadable(folder: Path) -> Path:
    path = folder / "no.png"
    path.write_bytes(b"no image")
    return path


def make_unreadable_folder(folder: Path) -> Path:
    path = recordings.write_images(folder / "broken", ["1.png", "2.png"])
    for file in path.iterdir():
        file.write_bytes(b"no image")
    return path


def make_unreadable_bag(folder: Path) -> Path:
    image = recordings.image_message(0)
    object.__setattr__(image, "height", 4000)
    return recordings.write_bag(folder / "bag", {"/image": [image, image]})


@pytest.mark.parametrize(
    ("command", "make"),
    [
        pytest.param("image", lambda folder: folder / "missing.png", id="missing image"),
        pytest.param("image", make_unreadable, id="unreadable image"),
        pytest.param("image", make_unreadable_folder, id="unreadable images"),
        pytest.param("video", lambda folder: folder / "missing.avi", id="missing video"),
        pytest.param("video", make_unreadable, id="unreadable source"),
        pytest.param("video", make_unreadable_folder, id="unreadable folder"),
        pytest.param("bag", make_unreadable_bag, id="unreadable messages"),
    ],
)
def test_earlier_results_stay_if_nothing_can_be_read(
    tmp_path: Path, earlier: dict[Path, bytes], command: str, make: Callable[[Path], Path]
) -> None:
    drawn, table, coco = earlier
    output = ["-o", drawn] if command != "image" else []
    fail(command, make(tmp_path), *output, "--json", table, "--coco", coco, *FAST)
    assert read_all(earlier) == earlier and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ("drawn.gif", "drawn.gif"),
        ("people.json/drawn.mp4", "people.json; choose another name"),
        ("folder.mp4", "folder.mp4"),
    ],
)
def test_earlier_results_stay_if_an_output_cannot_be_opened(
    video: Path, tmp_path: Path, earlier: dict[Path, bytes], output: str, named: str
) -> None:
    _, table, coco = earlier
    (tmp_path / "folder.mp4").mkdir()
    assert named in fail("video", video, "--json", table, "--coco", coco, "-o", tmp_path / output, *FAST)
    assert read_all(earlier) == earlier and not list(tmp_path.glob(".*"))


def test_labels_stay_if_no_image_can_be_read(tmp_path: Path, earlier: dict[Path, bytes]) -> None:
    fail("label", make_unreadable_folder(tmp_path), "-o", tmp_path / "people.json", *FAST)
    assert read_all(earlier) == earlier


def test_a_killed_run_keeps_earlier_results_and_the_next_run_removes_its_files(
    tmp_path: Path, earlier: dict[Path, bytes]
) -> None:
    write_noise(tmp_path / "long.avi", 400)
    outputs = ["-o", "drawn.mp4", "--json", "people.jsonl", "--coco", "people.json", *FAST]
    child = start("from pose_ros.cli import main; main()", "video", "long.avi", *outputs, cwd=tmp_path)
    deadline = time.monotonic() + TIMEOUT_S
    while not any(file.stat().st_size > 1000 for file in tmp_path.glob(".unfinished-*/file.mp4")):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate(timeout=TIMEOUT_S)
    assert read_all(earlier) == earlier
    assert len(list(tmp_path.glob(".unfinished-*"))) == 3
    recordings.write_video(tmp_path / "walk.avi", 3)
    done = start("from pose_ros.cli import main; main()", "video", "walk.avi", *outputs, cwd=tmp_path)
    done.communicate(timeout=TIMEOUT_S)
    assert done.returncode == 0
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        *("drawn.mp4", "long.avi", "people.json", "people.jsonl", "walk.avi"),
    ]
    assert len(list(open_source(tmp_path / "drawn.mp4"))) == 3
    assert len((tmp_path / "people.jsonl").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "people.json").read_text()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_full_disk_is_an_error_and_keeps_the_earlier_video(tmp_path: Path, suffix: str, share: float) -> None:
    video, drawn = write_noise(tmp_path / "walk.avi"), tmp_path / f"drawn{suffix}"
    assert run("video", video, "-o", drawn, *FAST).exit_code == 0
    limit = int(share * drawn.stat().st_size)
    drawn.write_bytes(b"earlier")
    with limit_files(limit):
        error = fail("video", video, "-o", drawn, *FAST)
    assert error == f"pose_ros: {drawn}: expected a complete file, got: File too large; an earlier file is unchanged"
    assert drawn.read_bytes() == b"earlier" and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("option", ["--json", "--coco"])
def test_a_full_disk_is_an_error_and_keeps_the_earlier_table(
    tmp_path: Path, earlier: dict[Path, bytes], option: str
) -> None:
    video = write_noise(tmp_path / "walk.avi")
    file = tmp_path / ("people.jsonl" if option == "--json" else "people.json")
    with limit_files(100 if option == "--json" else 1):
        error = fail("video", video, option, file, *FAST)
    assert error == f"pose_ros: {file}: expected a complete file, got: File too large; an earlier file is unchanged"
    assert read_all(earlier) == earlier and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("option", ["--json", "--coco"])
def test_a_device_without_space_is_an_error(video: Path, option: str) -> None:
    assert fail("video", video, option, "/dev/full", *FAST).startswith("pose_ros: /dev/full: expected to write all")


def test_tables_can_be_written_to_the_standard_output(video: Path, tmp_path: Path) -> None:
    child = start("from pose_ros.cli import main; main()", "video", video, "--json", "/dev/stdout", *FAST, cwd=tmp_path)
    output, error = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 0, error
    lines = output.splitlines()
    assert [json.loads(line)["index"] for line in lines[:3]] == [0, 1, 2] and "3 frames in" in lines[3]


def test_a_link_to_an_output_stays_a_link(video: Path, tmp_path: Path) -> None:
    store, link = tmp_path / "store.jsonl", tmp_path / "people.jsonl"
    store.write_text("earlier\n")
    store.chmod(0o600)
    link.symlink_to(store)
    assert run("video", video, "--json", link, *FAST).exit_code == 0
    assert link.is_symlink() and len(store.read_text().splitlines()) == 3
    assert store.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        pytest.param('{"index": 7}\n', ['{"index": 7}'], id="whole lines"),
        pytest.param('{"x": "' + "y" * 200_000 + '"}', ['{"x": "' + "y" * 200_000 + '"}'], id="one long line"),
        pytest.param('{"index": 7}', ['{"index": 7}'], id="no newline"),
        pytest.param('{"index": 7}\n{"index": 8, "na', ['{"index": 7}'], id="killed"),
        pytest.param('{"index": 7}\n' + "[" * 100_000, ['{"index": 7}'], id="damaged"),
        pytest.param("", [], id="empty"),
        pytest.param(None, [], id="new"),
    ],
)
def test_lines_are_appended_on_request(video: Path, tmp_path: Path, content: str | None, kept: list[str]) -> None:
    table = tmp_path / "people.jsonl"
    if content is not None:
        table.write_text(content)
    assert run("video", video, "--json", table, "--append", *FAST).exit_code == 0
    lines = table.read_text().splitlines()
    assert lines[: len(kept)] == kept
    assert [json.loads(line)["index"] for line in lines[len(kept) :]] == [0, 1, 2]


def test_append_needs_lines(video: Path) -> None:
    message = "pose_ros: --append: expected --json FILE as well, got none; see pose_ros video --help"
    assert fail("video", video, "--append") == message
    assert "got none" in fail("image", video, "--append", "--coco", "x.json")


def test_a_signal_does_not_interrupt_the_completion_of_files() -> None:
    with pytest.raises(KeyboardInterrupt), delay_signals():
        os.kill(os.getpid(), signal.SIGINT)
        completed = True
    assert completed


def test_a_second_signal_interrupts_the_completion_of_files() -> None:
    completed = False
    with pytest.raises(KeyboardInterrupt), delay_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        completed = True
    assert not completed
