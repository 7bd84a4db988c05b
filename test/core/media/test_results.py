"""Test JSON Lines, COCO results and videos by reading them back."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import recordings

from pose_ros.media.results import CocoResults, JsonLines, check_image_ids, image_id, write_image
from pose_ros.media.sources import Frame, open_source
from pose_ros.media.video_file import SUFFIXES, VideoFile
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18


def frame(name: str = "a_000007.jpg", index: int = 3) -> Frame:
    return Frame(recordings.frame_image(1), index, name, 5_000_000_000)


def one_person() -> People:
    """Make a person with nose, right wrist and neck."""
    keypoints, scores = np.zeros((1, 18, 2)), np.zeros((1, 18))
    for name, xy in (("nose", (10.5, 20.25)), ("right_wrist", (30, 40)), ("neck", (11, 25))):
        keypoints[0, OPENPOSE_18.index(name)], scores[0, OPENPOSE_18.index(name)] = xy, 0.875
    return People(keypoints, scores, [0.5], [4])


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "people.jsonl"
    with JsonLines(path, OPENPOSE_18, "default-1234") as lines:
        lines.write(frame(), one_person())
        lines.write(frame(index=4), People.empty(18))
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["name"], first["index"], first["stamp_ns"]) == ("a_000007.jpg", 3, 5_000_000_000)
    assert (first["width"], first["height"], first["model"]) == (*recordings.SIZE_WH, "default-1234")
    assert tuple(first["keypoint_names"]) == OPENPOSE_18.keypoint_names
    (person,) = first["people"]
    assert (person["id"], person["score"], person["box"]) == (4, 0.5, [10.5, 20.25, 30.0, 40.0])
    assert person["keypoints"][OPENPOSE_18.index("nose")] == [10.5, 20.25, 0.875]
    assert person["keypoints"][OPENPOSE_18.index("left_ear")] is None
    assert (second["index"], second["people"]) == (4, [])


def test_coco_results_are_mapped_by_name(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    with CocoResults(path, OPENPOSE_18) as results:
        results.write(frame("000000000785.jpg"), one_person())
        results.write(frame("empty_12.jpg"), People.empty(18))
    (entry,) = json.loads(path.read_text())
    assert (entry["image_id"], entry["category_id"], entry["score"]) == (785, 1, 0.5)
    triples = dict(zip(COCO_17.keypoint_names, np.reshape(entry["keypoints"], (17, 3)).tolist(), strict=True))
    assert triples.pop("nose") == [10.5, 20.25, 0.875]
    assert triples.pop("right_wrist") == [30, 40, 0.875]
    assert set(map(tuple, triples.values())) == {(0, 0, 0)}


def test_coco_results_are_valid_whenever_they_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    CocoResults(path, OPENPOSE_18).close()
    assert json.loads(path.read_text()) == []
    with pytest.raises(KeyboardInterrupt), CocoResults(path, OPENPOSE_18) as results:
        results.write(frame(), one_person())
        raise KeyboardInterrupt
    assert len(json.loads(path.read_text())) == 1


def test_coco_needs_different_ids(tmp_path: Path) -> None:
    with CocoResults(tmp_path / "people.json", OPENPOSE_18) as results:
        results.write(frame("left/7.jpg"), one_person())
        with pytest.raises(
            ValueError, match=r"image_id: expected one frame per id, got 7 for left/7.jpg and right_7.jpg"
        ):
            results.write(frame("right_7.jpg"), one_person())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000000000785.jpg", 785),
        ("walk_000012", 12),
        ("cam2_frame31.png", 31),
        ("photo.jpg", 3),
        ("a.b7.jpg", 7),
        ("v1.2024_000012", 12),
    ],
)
def test_image_ids(name: str, expected: int) -> None:
    assert image_id(name, 3) == expected


@pytest.mark.usefixtures("video_library")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_can_be_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"walk{suffix}"
    with VideoFile(path, 12.5) as video:
        for index in range(8):
            video.write(recordings.frame_image(index, (161, 99)))  # odd sizes, which are difficult for codecs
    source = open_source(path)
    frames = list(source)
    assert [recordings.frame_number(read.image_bgr) for read in frames] == list(range(8))
    assert source.rate_hz == pytest.approx(12.5, rel=0.01)
    assert all(abs(a - b) <= 1 for a, b in zip(frames[0].image_bgr.shape[:2], (99, 161), strict=True))


@pytest.mark.parametrize("name", ["walk.gif", "walk.pdf", "walk"])
def test_videos_of_unknown_type_are_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"expected a name ending in .mp4, .webm, .avi, .mkv, got .*{name}"):
        VideoFile(tmp_path / name, 10)


def test_images_of_other_sizes_are_scaled_to_fit_a_video(tmp_path: Path) -> None:
    white = np.full((96, 64, 3), 255, np.uint8)
    with VideoFile(tmp_path / "walk.avi", 10) as video:
        video.write(recordings.frame_image(1))
        video.write(white)
        video.write(white[:1, :1])
    _, tall, tiny = (frame.image_bgr for frame in open_source(tmp_path / "walk.avi"))
    assert tall.shape == (48, 64, 3)
    assert tall[:, :14].max() < 20 and tall[:, 50:].max() < 20 and tall[:, 18:46].min() > 235
    assert tiny[:, :6].max() < 20 and tiny[:, 10:54].min() > 235


def test_frames_of_a_video_keep_their_times(tmp_path: Path) -> None:
    times_ms = [0, 100, 200, 700, 800, 500, 10_000_000]
    with VideoFile(tmp_path / "walk.avi", 10) as video:
        for index, time_ms in enumerate(times_ms):
            video.write(recordings.frame_image(index), 10**15 + time_ms * 10**6)
    numbers = [recordings.frame_number(frame.image_bgr) for frame in open_source(tmp_path / "walk.avi")]
    assert [numbers.index(index) for index in range(7)] == [0, 1, 2, 7, 8, 9, 609]
    assert numbers[2:7] == [2] * 5


@pytest.mark.usefixtures("video_library")
def test_a_video_without_frames_writes_no_file(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "walk.mp4", 10):
        pass
    assert not (tmp_path / "walk.mp4").exists()


@pytest.mark.usefixtures("without_av")
def test_a_video_with_missing_frames_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV reports no error, for example of a codec."""
    (tmp_path / "walk.mp4").write_bytes(b"earlier")
    video = VideoFile(tmp_path / "walk.mp4", 10)
    for index in range(3):
        video.write(recordings.frame_image(index))
    monkeypatch.setattr("pose_ros.media.even_writer._count_frames", lambda file: 2)
    with pytest.raises(OSError, match=r"video .*walk.mp4: expected 3 frames in the file, got 2"):
        video.close()
    assert (tmp_path / "walk.mp4").read_bytes() == b"earlier" and not list(tmp_path.glob(".*"))


def test_files_of_a_run_that_failed_before_its_first_frame_are_not_written(tmp_path: Path) -> None:
    for kind in (JsonLines, CocoResults):
        path = tmp_path / "people"
        path.write_text("earlier")
        arguments = (path, OPENPOSE_18, "name") if kind is JsonLines else (path, OPENPOSE_18)
        with pytest.raises(KeyboardInterrupt), kind(*arguments):
            raise KeyboardInterrupt
        assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_image_ids_are_compared_before_a_run() -> None:
    check_image_ids(["7.png", "8.png", "photo.png", "v1.2024_000000"])
    with pytest.raises(ValueError, match=r"got 3 for 3.png and photo.png; rename one of them"):
        check_image_ids(["1.png", "2.png", "3.png", "photo.png"])


def test_images(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "人.png", recordings.frame_image(3))
    data = np.frombuffer((tmp_path / "new" / "人.png").read_bytes(), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), recordings.frame_image(3))
    with pytest.raises(ValueError, match=r"expected a name ending in .*, got .*a.xyz"):
        write_image(tmp_path / "a.xyz", recordings.frame_image(3))


@pytest.mark.usefixtures("video_library")
def test_a_video_and_an_image_may_have_upper_case_suffixes_and_new_folders(tmp_path: Path) -> None:
    write_image(tmp_path / "a/b/X.PNG", recordings.frame_image(3))
    assert cv2.imread(str(tmp_path / "a/b/X.PNG")).shape == (48, 64, 3)
    with VideoFile(tmp_path / "c/d/X.AVI", 10) as video:
        video.write(recordings.frame_image(4))
    assert [recordings.frame_number(each.image_bgr) for each in open_source(tmp_path / "c/d/X.AVI")] == [4]


@pytest.mark.usefixtures("without_av")
def test_a_video_that_opencv_cannot_open_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoWriter", lambda *_: SimpleNamespace(isOpened=lambda: False, release=lambda: None))
    with (
        pytest.raises(ValueError, match=r"video .*x.avi: expected a file that OpenCV can write, got no writer for"),
        VideoFile(tmp_path / "x.avi", 10) as video,
    ):
        video.write(recordings.frame_image(4))
