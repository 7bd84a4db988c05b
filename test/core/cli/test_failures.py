"""Test that an image that cannot be read does not end a run: it is reported, and the exit code is 1 at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recordings
from cli_runner import run
from typer.testing import Result

from pose_ros.cli.failures import Failures
from pose_ros.estimator import PoseEstimator
from pose_ros.export.calibration import images_of
from pose_ros.media.sources import open_source
from pose_ros.models.model_file import DEFAULT_MODEL

FAST = ["--short-side", "64", "--threads", "1"]
BROKEN = "2.png: expected a complete image, got 8 bytes"


def check_listed(result: Result, *messages: str) -> None:
    """Check that failures were reported at once, and that the output ends with the list of them."""
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 1, result.output
    count = len(messages)
    images = "1 image" if count == 1 else f"{count} images"
    assert lines[-count - 1] == f"pose_ros: {images} could not be read:", result.stderr
    for line, message in zip(lines[-count:], messages, strict=True):
        assert line.startswith("pose_ros: ") and message in line
        assert result.stderr.count(f"skipped: {line.removeprefix('pose_ros: ')}") == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images. The second and the last are broken."""
    path = recordings.write_images(tmp_path / "in", ["1.png", "2.png", "3.png", "4.png"])
    (path / "2.png").write_bytes(b"no image")
    (path / "4.png").write_bytes(b"")
    return path


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_image(folder: Path, tmp_path: Path) -> None:
    table, drawn = tmp_path / "people.jsonl", tmp_path / "drawn"
    result = run("image", folder, "--json", table, "--coco", tmp_path / "people.json", "-o", drawn, *FAST)
    check_listed(result, BROKEN, "4.png: expected a complete image, got 0 bytes")
    assert result.stdout.splitlines() == [f"{folder / '1.png'}: 0 people", f"{folder / '3.png'}: 0 people"]
    assert [(line["name"], line["index"]) for line in read_lines(table)] == [("1.png", 0), ("3.png", 2)]
    assert json.loads((tmp_path / "people.json").read_text()) == []
    numbers = {frame.name: recordings.frame_number(frame.image_bgr) for frame in open_source(drawn)}
    assert numbers == {"1.png": 0, "3.png": 2}


def test_video_of_a_folder(folder: Path, tmp_path: Path, video_library: str) -> None:
    """PyAV keeps the time of each image. A video of OpenCV has an even rate, so it repeats images."""
    table, drawn = tmp_path / "people.jsonl", tmp_path / "drawn.mp4"
    result = run("video", folder, "--json", table, "-o", drawn, *FAST)
    check_listed(result, BROKEN, "4.png: expected a complete image, got 0 bytes")
    assert f"{folder}: 2 frames in" in result.stdout
    assert [line["stamp_ns"] for line in read_lines(table)] == [0, 200_000_000]
    numbers = [recordings.frame_number(frame.image_bgr) for frame in open_source(drawn)]
    assert numbers == {"av": [0, 2], "opencv": [0, 0, 2]}[video_library]


def cut(message: bytes) -> bytes:
    return message[: len(message) // 2]


def write_broken_bag(folder: Path, storage: str) -> Path:
    """Write a bag of five images. The second has too little data, and the fourth message is cut off."""
    images = [recordings.image_message(index) for index in range(5)]
    images[1] = replace(images[1], data=np.zeros(99, np.uint8))
    return recordings.write_bag(folder / "bag", {"/image": images}, storage, {3: cut})


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("command", ["bag", "video"])
def test_bag(tmp_path: Path, storage: str, command: str) -> None:
    table = tmp_path / "people.jsonl"
    result = run(command, write_broken_bag(tmp_path, storage), "--json", table, *FAST)
    check_listed(
        result,
        "image 1 of /image: data: expected 9216 bytes",
        "image 3 of /image: message: expected a sensor_msgs/msg/Image, got ",
    )
    assert [line["stamp_ns"] for line in read_lines(table)] == [recordings.stamp_ns(index) for index in (0, 2, 4)]


def test_label(folder: Path, tmp_path: Path) -> None:
    result = run("label", folder, "-o", tmp_path / "l.json", *FAST)
    check_listed(result, BROKEN, "4.png: expected a complete image, got 0 bytes")
    labels = json.loads((tmp_path / "l.json").read_text())
    assert [(image["id"], image["file_name"]) for image in labels["images"]] == [(1, "1.png"), (3, "3.png")]
    assert "0 people in 2 images" in result.stdout


def test_calibration_images(folder: Path) -> None:
    errors: list[Exception] = []
    images = images_of(folder, 9, errors.append)
    assert [recordings.frame_number(image) for image in images] == [0, 2]
    assert [str(error).partition(":")[0] for error in errors] == [f"image {folder / n}" for n in ("2.png", "4.png")]
    with pytest.raises(ValueError, match=BROKEN):
        list(images_of(folder, 9))


def test_export(folder: Path, tmp_path: Path) -> None:
    """The images are read twice, to calibrate and to compare. Each failure is reported once."""
    pytest.importorskip("onnx", reason="quantisation needs onnx")
    target = tmp_path / "model_int8.onnx"
    arguments = ["export", DEFAULT_MODEL, "-o", target, "--int8", "--calibrate", folder, "--calibration", "minmax"]
    result = run(*arguments)
    check_listed(result, BROKEN, "4.png: expected a complete image, got 0 bytes")
    assert "quantised with 2 images" in result.stdout and "on 2 images" in result.stdout
    assert target.is_file()
    strict = run(*arguments, "--strict")
    assert strict.exit_code == 1 and BROKEN in strict.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["image", "video", "label"])
def test_strict_stops_at_the_first_image(folder: Path, tmp_path: Path, command: str) -> None:
    output = ["-o", tmp_path / "out.jsonl"] if command == "label" else ["--json", tmp_path / "out.jsonl"]
    result = run(command, folder, *output, *FAST, "--strict")
    assert result.exit_code == 1 and "skipped" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith(f"pose_ros: image {folder / BROKEN}")
    if command == "label":  # labels of a part of the folder are of no use
        assert not (tmp_path / "out.jsonl").exists()
    else:
        assert [line["name"] for line in read_lines(tmp_path / "out.jsonl")] == ["1.png"]


def test_a_single_image_is_reported_in_one_line(folder: Path) -> None:
    result = run("image", folder / "2.png", *FAST)
    assert result.exit_code == 1 and len(result.stderr.strip().splitlines()) == 1 and BROKEN in result.stderr


def test_a_long_list_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures(strict=False)
    for number in range(120):
        failures.add(ValueError(f"image {number}"))
    with pytest.raises(Exception, match="1"):
        failures.finish()
    lines = capsys.readouterr().err.splitlines()
    assert lines[120] == "pose_ros: 120 images could not be read:"
    assert lines[170:] == ["pose_ros: image 49", "pose_ros: and 70 more, see above"]


@pytest.mark.parametrize("command", ["image", "video"])
def test_clashing_image_ids_are_found_before_the_model_is_loaded(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings.write_images(tmp_path / "in", ["left_7.png", "right_7.png", "1.png"])
    monkeypatch.setattr(PoseEstimator, "load", None)
    (tmp_path / "people.json").write_text("earlier")
    result = run(command, folder, "--coco", tmp_path / "people.json")
    clash = "expected one frame per id, got 7 for left_7.png and right_7.png; rename one of them"
    assert (result.exit_code, result.stderr) == (1, f"pose_ros: image_id: {clash}\n")
    assert (tmp_path / "people.json").read_text() == "earlier"


def test_frames_of_a_video_have_different_ids_whatever_its_name(tmp_path: Path) -> None:
    video = recordings.write_video(tmp_path / "v1.2024.avi", 3)
    assert run("video", video, "--coco", tmp_path / "people.json", *FAST).exit_code == 0
