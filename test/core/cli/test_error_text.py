"""Errors that name the option, say what was expected, and leave nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings
from cli_runner import run

from pose_ros.cli.error_text import error_text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current folder with a photo, a video, a folder and an empty file."""
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.zeros((48, 64, 3), np.uint8))
    recordings.write_video(tmp_path / "walk.avi", 2)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "bytes.json").write_bytes(b"\xfe\x00\x01")
    (tmp_path / "labels.json").write_text('{"images": [], "annotations": [], "categories": []}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


IN_PHOTO = "expected a folder, got the file {}/photo.jpg; choose another name"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert images -o new", "people: expected JSON Lines files, got the folder images; name the .jsonl files"),
        ("convert empty.jsonl -o new", "people: expected a JSON Lines file, got empty.jsonl, which is empty; write it"),
        ("convert empty.jsonl -o new --to pose2sim", "people: expected a JSON Lines file, got empty.jsonl, which is"),
        ("convert photo.jpg -o new", "photo.jpg, line 1: expected the people of one image, got an image"),
        ("convert empty.jsonl -o photo.jpg/new", "--output: " + IN_PHOTO),
        ("evaluate --data photo.jpg", "labels photo.jpg: expected JSON, got an image"),
        ("evaluate --data bytes.json", "labels bytes.json: expected JSON, got bytes that are no text"),
        ("evaluate --data labels.json -o photo.jpg", "--output: " + IN_PHOTO),
        ("image photo.jpg -o photo.jpg/x.png", "--output: " + IN_PHOTO),
        ("image photo.jpg --json photo.jpg/x.jsonl", "--json: " + IN_PHOTO),
        (
            "image http://me:secret@x/y.jpg",
            "input: expected files or folders, got the address http://***@x/y.jpg; use pose_ros video",
        ),
        ("image photo.jpg --short-side -5", "preprocess.short_side: expected -1 to 4096, got -5"),
        ("image photo.jpg --set overlay.thickness=-9", "overlay.thickness: expected 0.1 to 10.0, got -9.0"),
        ("image photo.jpg --runtime cuda", "runtime.backend: expected one of auto, "),
        ("video walk.avi --topic /x", "--topic: expected a bag, got walk.avi"),
        ("image photo.jpg --set decoder.nosuch=1", "decoder.nosuch: expected a setting such as score_threshold, "),
        ("batch images -o new --topic /x", "--topic: expected a bag among the inputs, got 1 other input"),
        ("batch images walk.avi -o new --depth-topic /x", "--depth-topic: expected a bag among the inputs, got 2"),
        ("tune walk.avi --topic /x", "--topic: expected a bag, got walk.avi"),
        ("batch images -o photo.jpg", "--out: " + IN_PHOTO),
        ("batch --merge images -o photo.jpg", "--out: " + IN_PHOTO),
        (
            "batch --list missing.txt -o new",
            "--list: expected a text file with one path per line, got missing.txt: No such file or directory",
        ),
    ],
)
def test_an_error_names_what_is_wrong_and_leaves_nothing_behind(folder: Path, line: str, message: str) -> None:
    before = sorted(folder.rglob("*"))
    result = run(*line.split())
    assert result.exit_code == 1 and not result.stdout
    assert result.stderr.splitlines()[-1].startswith("pose_ros: " + message.format(folder))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files, even of root")
@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("image photo.jpg -o /proc/x.jpg", "--output"),
        ("image photo.jpg --coco /proc/x.json", "--coco"),
        ("convert empty.jsonl -o /proc/new", "--output"),
        ("batch images -o /proc/new", "--out"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_folder_that_takes_no_files_is_named_with_its_option(line: str, option: str) -> None:
    message = run(*line.split()).stderr
    assert message.startswith(f"pose_ros: {option}: expected a folder that takes new files, got /proc")
    assert message.endswith("; choose another folder\n")


def test_a_missing_ray_is_reported_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("batch", "images", "-o", "new", "--ray", "local")
    assert result.stderr == "pose_ros: --ray: expected Ray, got none; pip install 'ray>=2.20'\n"
    assert not (folder / "new").exists()


def test_an_error_of_the_file_system_names_the_file_of_the_user() -> None:
    error = PermissionError(13, "Permission denied", "results/.unfinished-0a1b/file.json")
    assert error_text(error) == "results: expected to read or write it, got: Permission denied"
    error = FileNotFoundError(2, "No such file or directory", "people.json")
    assert error_text(error) == "people.json: expected to read or write it, got: No such file or directory"


def test_only_settings_get_other_names() -> None:
    assert error_text(ValueError("DecoderConfig.subpixel: x")) == "decoder.subpixel: x"
    assert error_text(ValueError("OtherConfig.subpixel: x")) == "OtherConfig.subpixel: x"
