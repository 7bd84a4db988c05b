"""Test ``pose_ros train``: from a configuration and a COCO file to a model that this package runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from pose_ros.cli.train import train  # noqa: E402
from pose_ros.estimator import PoseEstimator  # noqa: E402
from pose_ros.skeleton import COCO_17  # noqa: E402

CONFIG = """
network: pose_ros_mobilenet_v1_075
skeleton: coco_17
name: mine
output: run
data: [{labels: data/labels.json, images: data}, {format: negatives, images: data/empty}]
validation: {data: [{labels: data/labels.json, images: data}], pictures: 1, samples: 2}
size_wh: [64, 64]
batch: 2
epochs: 1
threads: 1
device: cpu
loader: {workers: 0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with three grey images of one person each, one image without people, and a configuration."""
    (tmp_path / "data/empty").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data/empty/4.png"), np.full((80, 60, 3), 90, np.uint8))
    content: dict = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"data/{number}.png"), np.full((80, 60, 3), 50 * number, np.uint8))
        keypoints = COCO_17.standing * 60 + [30, 10]
        flat = np.concatenate([keypoints, np.full((17, 1), 2)], axis=1).ravel().tolist()
        box = [20.0, 10.0, 20.0, 60.0]
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 80})
        entry = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": box, "keypoints": flat}
        content["annotations"].append({**entry, "area": 1200, "num_keypoints": 17})
    (tmp_path / "data/labels.json").write_text(json.dumps(content))
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def program() -> typer.Typer:
    app = typer.Typer()
    app.command()(train)
    return app


def test_trains_a_model_that_runs(folder: Path) -> None:
    before = torch.get_num_threads()
    result = CliRunner().invoke(program(), [str(folder / "run.yaml"), "--set", "optimiser.rate=1e-4"])
    torch.set_num_threads(before)
    assert result.exit_code == 0, result.output
    assert (
        "initial weights: random" in result.output and "data: 4 training images, 2 validation images" in result.output
    )
    assert "step 2 of 2" in result.output and "validation, step 2: loss" in result.output
    assert "rate: 0.0001" in (folder / "run/config.yaml").read_text()
    estimator = PoseEstimator.load(folder / "run/model.onnx")
    assert estimator.spec.name == "mine" and estimator.skeleton == COCO_17
    estimator.estimate(np.zeros((80, 60, 3), np.uint8))


def test_options_override_the_configuration(folder: Path) -> None:
    options = ["--steps", "1", "-o", str(folder / "other"), "--set", "loader.workers=1", "--fresh"]
    result = CliRunner().invoke(program(), [str(folder / "run.yaml"), *options])
    assert result.exit_code == 0, result.output
    assert "step 1 of 1" in result.output and (folder / "other/model.onnx").is_file() and not (folder / "run").exists()


def test_two_processes_train_one_model(folder: Path) -> None:
    script = folder / "program.py"
    script.write_text("import typer\nfrom pose_ros.cli.train import train\ntyper.run(train)\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*torchrun, sys.executable, str(script), str(folder / "run.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("step 2 of 2") == 1 and (folder / "run/model.onnx").is_file()


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("network=pose_ros_mobilenet_v9", "network: expected a name such as pose_ros_mobilenet_v"),
        ("size_wh=[60, 64]", "size_wh: expected multiples of 16 px"),
        ("init.file=none.pt", "none.pt, which does not exist"),
    ],
)
def test_invalid_settings_are_reported(folder: Path, setting: str, error: str) -> None:
    result = CliRunner().invoke(program(), [str(folder / "run.yaml"), "--set", setting])
    assert isinstance(result.exception, (ValueError, FileNotFoundError)) and error in str(result.exception)
