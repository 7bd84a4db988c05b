"""Test ``pose_ros bag`` on bags with depth: pairs, outputs in metres, and the same bytes from the same input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
from cli_runner import run as invoke
from depth_bag import COLOUR, DEPTH, INFO, make_scenes, write_depth_bag

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
COUNT = 5
QUICK = ("--runtime", "onnx", "--short-side", "160", "--set", "tracking.hits=2", "--threads", "1")


@pytest.fixture(scope="module")
def scenes() -> Any:
    return make_scenes(COUNT)


@pytest.fixture(scope="module")
def bag(scenes: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag whose depth images are recorded after the next colour image."""
    return write_depth_bag(tmp_path_factory.mktemp("depth") / "bag", scenes, late_ns=110_000_000)


def run(bag: Path, out: Path, *more: str) -> Any:
    out.mkdir(exist_ok=True)
    files = ("--json", out / "x.jsonl", "--coco", out / "x.json", "--csv", out / "x.csv")
    return invoke("bag", bag, *map(str, files), *QUICK, *more)


def read_lines(out: Path) -> list[Any]:
    return [json.loads(line) for line in (out / "x.jsonl").read_text().splitlines()]


def test_all_outputs_have_ids_velocities_and_metres(bag: Path, scenes: Any, tmp_path: Path) -> None:
    result = run(bag, tmp_path)
    assert result.exit_code == 0 and f"depth from {DEPTH}" in result.output
    lines = read_lines(tmp_path)
    assert [line["index"] for line in lines] == list(range(COUNT))
    truth_m = scenes[-1].truth.keypoints_3d_m.mean(axis=1)[:, 2]
    for person in lines[-1]["people"]:
        assert np.abs(person["position_3d"][2] - truth_m).min() < 0.3
        assert len(person["keypoints_3d"]) == len(person["deviations_3d"]) == len(person["keypoints"])
        assert person["state"] == "tracked" and len(person["velocity"]) == 2
        assert 0 < person["position_deviation_3d"] < 0.2
    last = [entry for entry in json.loads((tmp_path / "x.json").read_text()) if entry["image_id"] == COUNT - 1]
    assert sorted(entry["track_id"] for entry in last) == [0, 1]
    assert all(len(entry["keypoints_3d"]) == 17 and len(entry["keypoints"]) == 51 for entry in last)
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert len(rows) == 2 * COUNT and float(rows[-1]["position_3d_z"]) == lines[-1]["people"][-1]["position_3d"][2]
    assert rows[-1]["id"] == str(lines[-1]["people"][-1]["id"]) and rows[0]["velocity_3d_x"] == ""


def test_the_same_input_gives_the_same_bytes(bag: Path, tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        assert run(bag, tmp_path / name, "--set", "smoothing.enabled=true").exit_code == 0
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert len(files[0]) == 3 and files[0] == files[1]


def test_depth_may_be_off(bag: Path, tmp_path: Path) -> None:
    assert run(bag, tmp_path, "--depth-topic", "off").exit_code == 0
    assert all("keypoints_3d" not in person for line in read_lines(tmp_path) for person in line["people"])


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("topic", ["/camera/depth/image_raw", "/camera/depth_registered/image_raw/compressedDepth"])
def test_other_names_of_depth_topics(tmp_path: Path, topic: str, storage: str) -> None:
    scenes = make_scenes(1, compressed="compressed" in topic)
    bag = write_depth_bag(tmp_path / "bag", scenes, topic, storage)
    result = run(bag, tmp_path / "out")
    assert result.exit_code == 0 and f"depth from {topic}" in result.output
    assert read_lines(tmp_path / "out")[0]["people"][0]["position_3d"] is not None


def test_a_broken_depth_image_is_named_and_its_people_stay(scenes: Any, tmp_path: Path) -> None:
    broken = make_scenes(2)
    broken[0].depth.height = 100_000
    result = run(write_depth_bag(tmp_path / "bag", broken), tmp_path / "out")
    assert result.exit_code == 1 and "1 image could not be read" in result.output and DEPTH in result.output
    people = [line["people"] for line in read_lines(tmp_path / "out")]
    assert people[0][0]["position_3d"] is None and people[1][0]["position_3d"] is not None


def test_depth_without_calibration(scenes: Any, tmp_path: Path) -> None:
    messages = {COLOUR: [each.colour for each in scenes[:1]], DEPTH: [each.depth for each in scenes[:1]]}
    bag = recordings.write_bag(tmp_path / "bag", messages)
    result = run(bag, tmp_path / "out")
    assert result.exit_code == 0 and f"{DEPTH} is not used: expected a camera_info topic" in result.output
    result = run(bag, tmp_path / "out", "--depth-topic", DEPTH)
    assert result.exit_code == 1 and "expected a camera_info topic" in result.output
    uncalibrated = make_scenes(1)
    uncalibrated[0].info.k[:] = 0
    result = run(write_depth_bag(tmp_path / "bag2", uncalibrated), tmp_path / "out")
    assert result.exit_code == 0 and f"{INFO}: K: expected focal lengths above 0" in result.output


def test_wrong_depth_topics_are_named(bag: Path, tmp_path: Path) -> None:
    result = run(bag, tmp_path, "--depth-topic", "/other")
    assert result.exit_code == 1 and "/other" in result.output and DEPTH in result.output
    video = recordings.write_video(tmp_path / "x.avi", 2)
    result = invoke("video", video, "--depth-topic", DEPTH)
    assert result.exit_code == 1 and "--depth-topic: expected a bag" in result.output
