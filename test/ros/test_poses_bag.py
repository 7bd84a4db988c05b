"""Test the MCAP output of the program: it holds the messages of the node, and they agree with the JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli_runner import run as invoke
from pose_ros.msg import PersonPose, PersonPoseArray
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader

TOPIC = "/pose_estimator/poses"


@pytest.fixture
def images(tmp_path: Path, paint: Any) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, people_x in enumerate([(20,), (22, 60), (24, 60), ()]):
        cv2.imwrite(str(folder / f"{number}.png"), paint(*people_x))
    return folder


def run(images: Path, toy_model: Path, out: Path) -> Any:
    out.mkdir(exist_ok=True)
    files = ("--json", out / "people.jsonl", "--mcap", out / "people.mcap")
    options = ("--model", toy_model, "--runtime", "onnx", "--threads", "1", "--set", "tracking.hits=2")
    return invoke("video", images, *map(str, (*files, *options)))


def read(path: Path) -> list[tuple[int, PersonPoseArray]]:
    with AnyReader([path]) as reader:
        assert {(c.topic, c.msgtype) for c in reader.connections} == {(TOPIC, "pose_ros/msg/PersonPoseArray")}
        return [(stamp_ns, deserialize_message(data, PersonPoseArray)) for _, stamp_ns, data in reader.messages()]


def test_the_messages_agree_with_the_json_lines(images: Path, toy_model: Path, tmp_path: Path) -> None:
    result = run(images, toy_model, tmp_path / "a")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "a/people.jsonl").read_text().splitlines()]
    messages = read(tmp_path / "a/people.mcap")
    assert len(messages) == len(lines) == 4 and [len(message.people) for _, message in messages] == [1, 2, 2, 0]
    for (stamp_ns, message), line in zip(messages, lines, strict=True):
        assert stamp_ns == line["stamp_ns"] == message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert (message.image_width, message.image_height) == (line["width"], line["height"])
        assert list(message.keypoint_names) == line["keypoint_names"] and message.model == line["model"]
        for person, entry in zip(message.people, line["people"], strict=True):
            assert person.id == entry["id"] and person.state == getattr(PersonPose, entry["state"].upper())
            found = [None if np.isnan(k.x) else [k.x, k.y, k.score] for k in person.keypoints]
            assert [k is None for k in found] == [k is None for k in entry["keypoints"]]
            assert np.allclose([k for k in found if k], [k for k in entry["keypoints"] if k], atol=1e-3)


def test_the_same_input_gives_the_same_bytes(images: Path, toy_model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(images, toy_model, tmp_path / name).exit_code == 0
    assert (tmp_path / "a/people.mcap").read_bytes() == (tmp_path / "b/people.mcap").read_bytes()


def test_an_earlier_file_is_replaced_only_by_a_complete_one(images: Path, toy_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    assert run(images, toy_model, out).exit_code == 0
    first = (out / "people.mcap").read_bytes()
    for image in images.iterdir():
        image.write_bytes(b"no image")
    assert run(images, toy_model, out).exit_code == 1
    assert (out / "people.mcap").read_bytes() == first
    assert sorted(entry.name for entry in out.iterdir()) == ["people.jsonl", "people.mcap"]


def test_another_suffix_is_refused_before_any_work(images: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.onnx")  # a later error
    result = invoke("video", images, "--model", missing, "--mcap", str(tmp_path / "people.bag"))
    assert result.exit_code == 1 and "--mcap: expected a name ending in .mcap" in result.output
