"""Run the Python blocks of the documentation, block by block, with the files and values that the page assumes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from cli_runner import run
from pages import ROOT, fenced_blocks

from pose_ros.datasets.synthetic.file import write_scenes
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18

SIZE_WH = (320, 240)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a photo and a model, and work in it."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", SyntheticImages(COCO_17, 1, SIZE_WH).scene(0).image_bgr)
    shutil.copy(DEFAULT_MODEL, "model.onnx")
    return tmp_path


def run_blocks(page: str, count: int, **values: Any) -> dict[str, Any]:
    """Run the first Python blocks of a page in one namespace, and return it."""
    blocks = [block.text for block in fenced_blocks(ROOT / page) if block.language == "python"][:count]
    assert len(blocks) == count
    for block in blocks:
        exec(compile(block, page, "exec"), values)
    return values


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_people_in_a_photo(folder: Path, page: str) -> None:
    assert run_blocks(page, 1)["people"].keypoints.shape[1:] == (18, 2)


def test_stored_fields_are_decoded(folder: Path) -> None:
    values = run_blocks("docs/decoding.md", 2)
    assert values["people"].keypoints.shape[1:] == (18, 2)
    assert set(np.load("fields.npz")) == {"heatmaps", "pafs"}
    result = run("decode", "fields.npz", "--spec", "spec.yaml", "--picture", "decoded.png")
    assert result.exit_code == 0 and Path("decoded.png").is_file()


def standing() -> People:
    keypoints = np.stack([OPENPOSE_18.standing * 200 + 100]).astype(np.float32)
    ones = np.ones((1, 18), np.float32)
    return People(keypoints, ones, ones[:, 0], ids=np.zeros(1, np.int32))


def test_gestures_of_people() -> None:
    estimator = SimpleNamespace(skeleton=OPENPOSE_18)
    values = run_blocks(
        "docs/gestures.md", 1, pipeline=SimpleNamespace(estimator=estimator), people=standing(), stamp_s=1.0
    )
    assert {"raised", "fallen"} <= values.keys()


def test_keypoints_in_metres() -> None:
    pytest.importorskip("sensor_msgs", reason="needs the messages of ROS 2")
    from sensor_msgs.msg import CameraInfo, Image

    depth = np.full((SIZE_WH[1], SIZE_WH[0]), 3000, np.uint16)
    message = Image(height=SIZE_WH[1], width=SIZE_WH[0], encoding="16UC1", step=2 * SIZE_WH[0], data=depth.tobytes())
    info = CameraInfo(width=SIZE_WH[0], height=SIZE_WH[1], distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [300.0, 0.0, 159.5, 0.0, 300.0, 119.5, 0.0, 0.0, 1.0]
    values = run_blocks(
        "docs/3d.md",
        1,
        **dict(zip(("width", "height"), SIZE_WH, strict=True)),
        camera_info=info,
        depth_message=message,
        estimator=SimpleNamespace(skeleton=OPENPOSE_18),
        people=standing(),
        matrix=np.eye(4),
    )
    assert values["lifted"].keypoints_m.shape == (1, 18, 3)


def test_evaluation_in_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("pycocotools", "matplotlib"):
        pytest.importorskip(module)
    images: Callable[[int], Any] = SyntheticImages(COCO_17, 2, SIZE_WH).scene
    write_scenes(folder / "val", map(images, range(2)), COCO_17)
    shutil.move("val/labels.json", "person_keypoints_val.json")
    run_blocks("docs/evaluation.md", 1)
    assert Path("report/report.html").is_file() and capsys.readouterr().out
