"""Test ``pose_ros tune``: the choice of an input size."""

from __future__ import annotations

from pathlib import Path

import cv2
import label_files
import numpy as np
import pytest
from cli_runner import run
from crop_network import write_crop_network

from pose_ros.evaluation.short_sides import MeasuredSize, choose_size

FAST = ["--runtime", "onnx", "--threads", "1", "--short-side", "64", "--short-side", "96"]


@pytest.fixture
def photos(tmp_path: Path, shared: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n, file in enumerate(sorted((shared / "images/coco_val/images").glob("*.jpg"))[4:7]):
        image = cv2.imread(str(file))
        cv2.imwrite(str(folder / f"{n}.png"), cv2.resize(image, None, fx=0.3, fy=0.3))
    return folder


def test_the_fastest_of_the_good_sizes_is_chosen() -> None:
    sizes = [MeasuredSize(180, 0.30, 10.0), MeasuredSize(256, 0.395, 20.0), MeasuredSize(352, 0.40, 30.0)]
    assert choose_size(sizes).short_side == 256
    assert choose_size([*sizes, MeasuredSize(512, 0.5, 60.0)]).short_side == 512


def test_people_are_counted_at_each_size(tmp_path: Path, photos: Path) -> None:
    plot = tmp_path / "plot.png"
    result = run("tune", photos, "-o", plot, "--set", "tracking.strong_score=0.0", *FAST)
    assert result.exit_code == 0, result.output
    header, *rows, line = result.stdout.splitlines()
    assert header.split() == ["short", "side", "people", "per", "image", "ms", "per", "image"]
    assert [row.split()[0] for row in rows] == ["64", "96"]
    assert line in ("preprocess.short_side: 64", "preprocess.short_side: 96")
    assert cv2.imread(str(plot)) is not None


def test_with_labels_the_precision_is_measured(tmp_path: Path) -> None:
    labels = label_files.write_coco(tmp_path, [label_files.make_annotation()])
    result = run("tune", tmp_path, "--labels", labels, *FAST)
    assert "AP" in result.output and "got none at any size" in result.output  # noise has no people
    assert result.exit_code == 1


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    def fail(*arguments: object) -> str:
        result = run("tune", *arguments)
        assert result.exit_code == 1
        return result.stderr.strip().splitlines()[-1]

    pytest.importorskip("onnx", reason="needs onnx to make a network")
    model, image = write_crop_network(tmp_path / "crop.onnx"), tmp_path / "a.png"
    cv2.imwrite(str(image), np.zeros((40, 40, 3), np.uint8))
    assert "expected a network for any input size, got 128 x 128 px only" in fail(model, image, *FAST)
    assert "expected [MODEL] IMAGES, got 3 names" in fail(model, image, image)
    assert "expected a name ending in .png" in fail(image, "-o", "plot.pdf")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert "a.png" in fail(broken, *FAST)
