"""Run the tutorials: every shell block in order, in one folder, with the files that they save."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from pages import ROOT, Block, fenced_blocks
from shared_folder import SHARED

from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.skeleton import COCO_17

TUTORIALS = ROOT / "docs/tutorials"
TIMEOUT_S = 900
POSENET = "models/posenet/posenet_mobilenet_v1_075_481_641_quant.tflite"


def prepare_recording(folder: Path) -> None:
    """Write a short video of people who stand still."""
    image = SyntheticImages(COCO_17, 1, (320, 240)).scene(0).image_bgr
    video = cv2.VideoWriter(str(folder / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(6):
        video.write(image)
    video.release()


def prepare_checkpoint(folder: Path) -> None:
    """Copy the checkpoint instead of downloading it."""
    pytest.importorskip("torch")
    pytest.importorskip("pycocotools")
    pytest.importorskip("matplotlib")
    if not (SHARED / POSENET).is_file():
        pytest.skip(f"needs {SHARED / POSENET}")
    shutil.copy(SHARED / POSENET, folder / "posenet.tflite")


def prepare_keypoints(folder: Path) -> None:
    """Provide the configurations of the clone."""
    for module in ("torch", "onnx", "pycocotools", "matplotlib"):
        pytest.importorskip(module)
    (folder / "configs").symlink_to(ROOT / "configs")


RUNS = {"recording": prepare_recording, "checkpoint": prepare_checkpoint, "keypoints": prepare_keypoints}
OUTPUTS = {
    "recording": ("drawn.mp4", "people.csv"),
    "checkpoint": ("posenet.onnx", "drawn.jpg", "report/report.html"),
    "keypoints": ("train.jpg", "val.jpg", "samples.jpg", "my_keypoints.onnx", "after/report.html", "drawn.jpg"),
}


LASTING = re.compile(r"ros2 (run|launch|topic (echo|hz)) |pose_ros (view|replay)\b|\S+/lib/pose_ros/")
"""Start of a command that runs until Ctrl-C."""


def command_of(block: Block) -> str:
    """Return the commands that the test runs. Empty = none."""
    if block.note.startswith("not run: "):
        return ""
    if change := re.fullmatch(r"run with: (.+) instead of (.+)", block.note):
        assert change[2] in block.text
        return block.text.replace(change[2], change[1])
    assert not block.note
    return block.text


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_command_of_the_tutorial_works(name: str, tmp_path: Path) -> None:
    prepare: Callable[[Path], None] = RUNS[name]
    prepare(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    for block in fenced_blocks(TUTORIALS / f"{name}.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "sh" and (command := command_of(block)):
            result = subprocess.run(
                ["bash", "-e", "-c", command],
                check=False, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S,
            )  # fmt: skip
            assert result.returncode == 0, f"{command}\n{result.stdout[-1000:]}\n{result.stderr[-2000:]}"
    assert [file for file in OUTPUTS[name] if not (tmp_path / file).is_file()] == []


def find_blocked(text: str) -> list[str]:
    """Return the commands of a block that are never reached, because the one before them runs until Ctrl-C."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    lasting = [number for number, line in enumerate(lines) if LASTING.match(line) and "--once" not in line]
    return lines[lasting[0] + 1 :] if lasting else []


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_every_command_of_a_pasted_block_is_reached(page: Path) -> None:
    assert [line for block in fenced_blocks(page) if block.language == "sh" for line in find_blocked(block.text)] == []


def test_commands_after_one_that_runs_until_ctrl_c_are_found() -> None:
    assert find_blocked("ros2 topic hz /poses\nros2 topic echo /poses --once\n") == ["ros2 topic echo /poses --once"]
    assert find_blocked("ros2 topic echo /poses --once\nros2 topic hz /poses\n") == []
    assert find_blocked("pose_ros view --port 0 \\\n  --topic /a\n\n# comment\nls\n") == ["ls"]


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    shell = [block for block in fenced_blocks(page) if block.language == "sh"]
    assert shell
    for block in shell:
        assert command_of(block) == "" or page.stem in RUNS, block.text
    assert "At the end " in page.read_text(encoding="utf-8").split("\n## ")[0]
