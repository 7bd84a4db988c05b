"""Test covered heads in the outputs of the program, and copies of bags."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import recordings
from cli_runner import run
from known_people import KnownEstimator, standing_people
from rosbags.rosbag2 import Reader

from pose_ros.estimator import PoseEstimator
from pose_ros.media.bag import Bag
from pose_ros.media.decoding import read_image
from pose_ros.media.heads import find_heads
from pose_ros.media.image_messages import decode_message
from pose_ros.media.sources import open_source
from pose_ros.people import People
from pose_ros.skeleton import COCO_17

RAW, JPEG = "/camera/image_raw", "/camera/image_raw/compressed"
options = import_module("pose_ros.cli.options")  # the package has a function of this name
PEOPLE = standing_people((0.0, 0.0, 2.2), size_wh=recordings.SIZE_WH)
((HEAD_X, HEAD_Y, _),) = find_heads(PEOPLE, COCO_17)
HEAD = round(HEAD_Y), round(HEAD_X)
TYPES = recordings.TYPES


class FailingEstimator(KnownEstimator):
    """Fails in the third image, and finds nobody in the last ones."""

    count = 0

    def process(self, *arguments: Any, **more: Any) -> Any:
        self.count += 1
        if self.count == 3:
            raise RuntimeError("the network failed")
        return super().process(*arguments, **more)


@pytest.fixture
def found_people(monkeypatch: pytest.MonkeyPatch) -> People:
    """Let the program find one person in every image."""
    use(monkeypatch, KnownEstimator, PEOPLE)
    return PEOPLE


def use(monkeypatch: pytest.MonkeyPatch, kind: type[KnownEstimator], people: People) -> None:
    load = options.load_estimator

    def load_known(*arguments: Any, **more: Any) -> PoseEstimator:
        return kind(load(*arguments, **more), people)

    monkeypatch.setattr(options, "load_estimator", load_known)


def text_message(index: int) -> Any:
    return TYPES.types["std_msgs/msg/String"](f"message {index}")


def write_bag(folder: Path, storage: str = "mcap", **more: list[Any]) -> Path:
    topics = {
        RAW: [recordings.image_message(index) for index in range(4)],
        JPEG: [recordings.compressed_message(index) for index in range(4)],
        "/rear/image": [recordings.image_message(index, "mono8") for index in range(4)],
        "/camera/camera_info": [recordings.camera_info(index) for index in range(4)],
        "/words": [text_message(index) for index in range(6)],
    }
    return recordings.write_bag(folder, {**topics, **more}, storage, latched=["/words"])


def contents(bag: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Return times and bytes of the messages of each topic."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    with Reader(bag) as reader:
        for connection, received_ns, data in reader.messages():
            found.setdefault(connection.topic, []).append((received_ns, bytes(data)))
    return found


def images(bag: Path, topic: str) -> list[np.ndarray]:
    reader = Bag(bag, topic)
    return [decode_message(reader.deserialise(each))[0] for each in reader.messages([topic])]


def fail(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.mark.usefixtures("found_people")
@pytest.mark.parametrize("storage", recordings.STORAGES)
def test_all_images_of_a_bag_are_covered_and_the_rest_keeps_its_bytes(tmp_path: Path, storage: str) -> None:
    bag = write_bag(tmp_path / "bag", storage)
    before = contents(bag)
    result = run("bag", bag, "--anonymise", "black", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "12 images of 3 topics, heads covered in 12; other messages are unchanged" in result.output
    assert contents(bag) == before
    after = contents(tmp_path / "out")
    assert after.keys() == before.keys()
    for topic in ("/camera/camera_info", "/words"):
        assert after[topic] == before[topic]
    for topic in (RAW, JPEG, "/rear/image"):
        assert [time for time, _ in after[topic]] == [time for time, _ in before[topic]]
        for index, image in enumerate(images(tmp_path / "out", topic)):
            assert image[HEAD].max() <= 8  # JPEG
            assert abs(recordings.frame_number(image[30:]) - index) < 2
    new, old = Bag(tmp_path / "out", RAW), Bag(bag, RAW)
    assert new.latched_topics == old.latched_topics and new.types == old.types
    assert any(file.suffix == {"mcap": ".mcap", "sqlite3": ".db3"}[storage] for file in (tmp_path / "out").iterdir())
    stamps = [message.stamp_ns for message in new.messages([JPEG])]
    assert stamps == [recordings.stamp_ns(index) for index in range(4)]


def test_images_without_people_keep_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, KnownEstimator, People.empty(17))
    bag = write_bag(tmp_path / "bag")
    assert run("bag", bag, "--anonymise", "blur", "-o", tmp_path / "out").exit_code == 0
    assert contents(tmp_path / "out") == contents(bag)


@pytest.mark.parametrize("is_strict", [False, True])
def test_an_image_in_which_the_network_fails_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_strict: bool
) -> None:
    use(monkeypatch, FailingEstimator, PEOPLE)
    bag = write_bag(tmp_path / "bag")
    text = fail("bag", bag, "--anonymise", "blur", "-o", tmp_path / "out", *["--strict"] * is_strict)
    assert "the network failed" in text
    assert (tmp_path / "out").exists() != is_strict
    if not is_strict:
        assert sum(len(contents(tmp_path / "out")[topic]) for topic in (RAW, JPEG, "/rear/image")) == 11


@pytest.mark.usefixtures("found_people")
def test_a_damaged_image_is_left_out(tmp_path: Path) -> None:
    messages = {RAW: [recordings.image_message(index) for index in range(4)]}
    bag = recordings.write_bag(tmp_path / "bag", messages, "mcap", damage={2: lambda data: data[: len(data) // 2]})
    assert "image of /camera/image_raw: expected a sensor_msgs/msg/Image" in fail(
        "bag", bag, "--anonymise", "blur", "-o", tmp_path / "out"
    )
    assert len(contents(tmp_path / "out")[RAW]) == 3


def depth_message(index: int) -> Any:
    message = recordings.image_message(index, "mono8")
    width, height = recordings.SIZE_WH
    data = np.zeros(2 * width * height, np.uint8)
    return TYPES.types["sensor_msgs/msg/Image"](message.header, height, width, "16UC1", 0, 2 * width, data)


def compressed_depth(index: int) -> Any:
    message = recordings.compressed_message(index)
    return TYPES.types["sensor_msgs/msg/CompressedImage"](message.header, "16UC1; compressedDepth png", message.data)


def points(index: int) -> Any:
    kind = TYPES.types["sensor_msgs/msg/PointCloud2"]
    return kind(recordings.image_message(index).header, 1, 1, [], False, 16, 16, np.zeros(16, np.uint8), True)


def some_bytes(index: int) -> Any:
    layout = TYPES.types["std_msgs/msg/MultiArrayLayout"]([], 0)
    return TYPES.types["std_msgs/msg/UInt8MultiArray"](layout, np.zeros(9, np.uint8))


OTHERS = {"depth": depth_message, "compressed depth": compressed_depth, "points": points, "bytes": some_bytes}


@pytest.mark.usefixtures("found_people")
@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_topics_that_may_show_people_in_another_form_are_refused(tmp_path: Path, make: Any) -> None:
    bag = write_bag(tmp_path / "bag", **{"/other": [make(index) for index in range(3)]})
    text = fail("bag", bag, "--anonymise", "blur", "-o", tmp_path / "out")
    assert "/other" in text and "--drop-topics" in text and not (tmp_path / "out").exists()
    assert run("bag", bag, "--anonymise", "blur", "-o", tmp_path / "a", "--drop-topics", "/other").exit_code == 0
    assert "/other" not in contents(tmp_path / "a")
    assert run("bag", bag, "--anonymise", "blur", "-o", tmp_path / "b", "--keep-topics", "other").exit_code == 0
    assert contents(tmp_path / "b")["/other"] == contents(bag)["/other"]


@pytest.mark.usefixtures("found_people")
def test_wrong_options_are_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag")
    start = partial(fail, "bag", bag, "--anonymise", "blur")
    (tmp_path / "there").mkdir()
    assert "expected a folder that does not exist yet" in start("-o", tmp_path / "there")
    assert "expected a folder outside the bag" in start("-o", bag / "new")
    assert "--json: expected none with --anonymise" in start("-o", tmp_path / "out", "--json", tmp_path / "x.jsonl")
    assert "expected topics of bag" in start("-o", tmp_path / "out", "--drop-topics", "/nothing")
    assert "got both for /words" in start("-o", tmp_path / "out", "--drop-topics", "/words", "--keep-topics", "/words")
    assert "expected a bag with --anonymise" in start("-o", tmp_path / "out.mp4", "--drop-topics", "/words")
    assert "expected image topics, got none" in start(
        "-o", tmp_path / "out", "--drop-topics", f"{RAW},{JPEG},/rear/image"
    )
    assert "expected a name ending in .mp4" in fail("bag", bag, "-o", tmp_path / "out")
    assert "expected one of none, blur" in fail("bag", bag, "--anonymise", "hide", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".unfinished*"))


@pytest.mark.usefixtures("found_people")
def test_ignored_regions_of_topics_are_covered(tmp_path: Path) -> None:
    (tmp_path / "ignore.yaml").write_text(
        "/rear/image: {image_size: [64, 48], polygons: [[[40, 0], [63, 0], [63, 47], [40, 47]]]}"
    )
    bag = write_bag(tmp_path / "bag")
    settings = ("--set", f"regions.ignore={tmp_path / 'ignore.yaml'}")
    assert run("bag", bag, "--anonymise", "black", "-o", tmp_path / "out", *settings).exit_code == 0
    assert all(image[:, 41:].max() == 0 for image in images(tmp_path / "out", "/rear/image"))
    assert all(image[40:, 41:].min() > 0 for image in images(tmp_path / "out", RAW))


@pytest.mark.usefixtures("found_people")
def test_annotated_images_and_videos_have_covered_heads(tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["3.png"])
    hidden = ("--set", "overlay.score_threshold=1.0")  # without skeletons
    drawn = tmp_path / "drawn.png"
    assert run("image", folder / "3.png", "-o", drawn, "--anonymise", "black", *hidden).exit_code == 0
    assert read_image(drawn)[HEAD].max() == 0 and read_image(drawn)[40, 5].min() > 0
    video = recordings.write_video(tmp_path / "walk.avi", 3)
    assert run("video", video, "-o", tmp_path / "drawn.mp4", "--anonymise", "black", *hidden).exit_code == 0
    assert all(frame.image_bgr[HEAD].max() < 16 for frame in open_source(tmp_path / "drawn.mp4"))


@pytest.mark.usefixtures("found_people")
@pytest.mark.parametrize("command", ["image", "video"])
def test_people_in_ignored_regions_are_not_reported(tmp_path: Path, command: str) -> None:
    folder = recordings.write_images(tmp_path / "images", ["3.png"])
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:50] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    arguments = command, folder, "--json", tmp_path / "people.jsonl"
    assert run(*arguments).exit_code == 0 and '"keypoints"' in (tmp_path / "people.jsonl").read_text()
    assert run(*arguments, "--set", f"regions.ignore={tmp_path / 'mask.png'}").exit_code == 0
    assert '"keypoints"' not in (tmp_path / "people.jsonl").read_text()
