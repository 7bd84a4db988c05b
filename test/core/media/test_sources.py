"""Test reading frames of videos, images and bags. Broken files must be reported by name."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import recordings

from pose_ros.media import video_library
from pose_ros.media.bag import Bag, camera_info_topic
from pose_ros.media.decoding import read_image
from pose_ros.media.even_rate import find_even_rate
from pose_ros.media.natural_order import natural_key
from pose_ros.media.sources import open_source
from pose_ros.media.video_file import VideoFile
from pose_ros.once import Once

NUMBERS = list(range(12))
PERIOD_NS = recordings.PERIOD_NS


def read_numbers(path: Path, **options: object) -> list[int]:
    return [recordings.frame_number(frame.image_bgr) for frame in open_source(path, **options)]


def test_a_broken_pyav_is_replaced_by_opencv_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av/__init__.py").write_text("raise ImportError('libavcodec.so.61: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(video_library, "_warn_once", Once(None))
    video = recordings.write_video(tmp_path / "walk.avi", 3)
    with pytest.warns(UserWarning, match="PyAV: expected to import it, got libavcodec"):
        frames = list(open_source(video))
    assert len(frames) == 3
    assert len(list(open_source(video))) == 3  # without a second warning


@pytest.mark.usefixtures("video_library")
def test_frames_of_a_video_have_times(tmp_path: Path) -> None:
    source = open_source(recordings.write_video(tmp_path / "walk.avi"))
    frames = list(source)
    assert [recordings.frame_number(frame.image_bgr) for frame in frames] == NUMBERS
    assert [frame.index for frame in frames] == NUMBERS
    assert np.allclose([frame.stamp_ns for frame in frames], np.multiply(NUMBERS, PERIOD_NS), atol=1e6)
    assert (source.count, round(source.rate_hz, 3)) == (12, 10.0)
    assert frames[3].name == "walk_000003"


@pytest.mark.usefixtures("video_library")
def test_frames_from_a_time_on_are_found_without_reading_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(recordings.write_video(tmp_path / "walk.avi", 40))
    whole, reads, open_capture = list(source), [], source._open

    def open_counted() -> Any:
        capture = open_capture()
        read = capture.read
        capture.read = lambda: reads.append(1) or read()
        return capture

    monkeypatch.setattr(source, "_open", open_counted)
    frames = list(source.frames_from(2_450_000_000))
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in whole[25:]]
    assert all(np.array_equal(a.image_bgr, b.image_bgr) for a, b in zip(frames, whole[25:], strict=True))
    assert frames[0].index == 0
    assert len(reads) <= 30  # the first, ten of the second before, the fifteen, and the end


def test_a_source_can_be_read_again(tmp_path: Path) -> None:
    source = open_source(recordings.write_video(tmp_path / "walk.avi", 3))
    assert len(list(source)) == len(list(source)) == 3


def test_a_folder_is_read_in_natural_order_without_other_files(tmp_path: Path) -> None:
    names = ["1.png", "2.jpg", "10.bmp", "a1.webp", "a12.PNG"]
    folder = recordings.write_images(tmp_path / "images", names)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".3.png").write_text("hidden file")
    source = open_source(folder)
    assert [frame.name for frame in source] == names
    assert [recordings.frame_number(frame.image_bgr) for frame in source] == [0, 1, 2, 3, 4]
    assert source.count == 5


def test_one_image_with_a_name_that_is_not_ascii(tmp_path: Path) -> None:
    ok, data = cv2.imencode(".png", recordings.frame_image(7))
    path = tmp_path / "人.png"
    path.write_bytes(data.tobytes())
    assert ok and read_numbers(path) == [7]


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_bag_of_compressed_images(tmp_path: Path, storage: str, kind: str) -> None:
    messages = [recordings.compressed_message(index) for index in NUMBERS]
    bag = recordings.write_bag(tmp_path / "bag", {"/image/compressed": messages}, storage)
    (file,) = (path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    source = open_source(bag if kind == "folder" else file)
    frames = list(source)
    assert [recordings.frame_number(frame.image_bgr) for frame in frames] == NUMBERS
    assert [frame.stamp_ns for frame in frames] == [recordings.stamp_ns(index) for index in NUMBERS]
    assert {frame.frame_id for frame in frames} == {"camera_optical"}
    assert (source.count, round(source.rate_hz, 3)) == (12, 10.0)


def test_raw_images_of_a_bag_need_no_converter(tmp_path: Path) -> None:
    bag = recordings.write_bag(tmp_path / "bag", {"/image": [recordings.image_message(index) for index in NUMBERS]})
    assert read_numbers(bag) == NUMBERS


def test_a_converter_handles_unsupported_encodings(tmp_path: Path) -> None:
    message = replace(recordings.image_message(3), encoding="64FC7")
    bag = recordings.write_bag(tmp_path / "bag", {"/image": [message]})

    def convert(message: object) -> np.ndarray:
        return message.data.reshape(message.height, message.width, 3)  # type: ignore[attr-defined]

    assert read_numbers(bag, convert=convert) == [3]
    with pytest.raises(ValueError, match=r"image 0 of /image: encoding: expected one of .*, got '64FC7'"):
        read_numbers(bag)


BLUE = np.full((48, 64, 3), (200, 30, 90), np.uint8)
MOSAIC = np.zeros((48, 64), np.uint8)
MOSAIC[0::2, 0::2] = 90
MOSAIC[1::2, 1::2] = 200
MOSAIC[0::2, 1::2] = MOSAIC[1::2, 0::2] = 30


def add_orientation(jpeg: bytes) -> bytes:
    """Add an EXIF tag to a JPEG that requests a rotation by 90 degrees."""
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (8 + len(tag)).to_bytes(2, "big") + b"Exif\0\0" + tag + jpeg[2:]


@pytest.mark.parametrize(
    ("stored", "suffix", "format"),
    [
        pytest.param(BLUE, ".jpg", "jpeg", id="driver"),
        pytest.param(BLUE[..., ::-1], ".png", "rgb8; png compressed ", id="old publisher, still rgb"),
        pytest.param(BLUE[..., ::-1], ".jpg", "rgb8; jpeg compressed rgb8", id="stored as rgb"),
        pytest.param(BLUE, ".jpg", "rgb8; jpeg compressed bgr8", id="stored as bgr"),
        pytest.param(MOSAIC, ".png", "bayer_rggb8; png compressed ", id="bayer"),
        pytest.param(BLUE.astype(np.uint16) * 257, ".png", "bgr16; png compressed bgr16", id="16 bits"),
    ],
)
def test_compressed_images_of_a_bag_have_the_same_colours_as_in_the_node(
    tmp_path: Path, stored: np.ndarray, suffix: str, format: str
) -> None:
    data = cv2.imencode(suffix, stored)[1].ravel()
    bag = recordings.write_bag(
        tmp_path / "bag", {"/image": [replace(recordings.compressed_message(0), data=data, format=format)]}
    )
    (frame,) = open_source(bag)
    assert np.abs(frame.image_bgr[8:-8, 8:-8].astype(int) - BLUE[8:-8, 8:-8]).max() <= 4


def test_compressed_images_of_a_bag_are_not_rotated(tmp_path: Path) -> None:
    """The calibration of the camera and the poses refer to the pixels of the stored image."""
    data = np.frombuffer(add_orientation(cv2.imencode(".jpg", BLUE)[1].tobytes()), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (64, 48, 3)
    bag = recordings.write_bag(tmp_path / "bag", {"/image": [replace(recordings.compressed_message(0), data=data)]})
    (frame,) = open_source(bag)
    assert frame.image_bgr.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param({"encoding": "16UC1"}, "encoding: .* depth image: remap", id="depth"),
        pytest.param({"encoding": "32FC1"}, "encoding: .* depth image: remap", id="float depth"),
        pytest.param({"step": 0}, "step: expected at least 192, got bgr8 of 64 x 48, step 0", id="step 0"),
        pytest.param({"width": 0, "height": 0}, "size: expected width and height above 0", id="0 x 0"),
        pytest.param({"data": np.zeros(99, np.uint8)}, "data: expected 9216 bytes", id="cut off"),
    ],
)
def test_broken_raw_images_of_a_bag_are_reported(tmp_path: Path, message: dict[str, object], error: str) -> None:
    bag = recordings.write_bag(tmp_path / "bag", {"/image": [replace(recordings.image_message(0), **message)]})
    with pytest.raises(ValueError, match=f"bag .*bag, image 0 of /image: {error}"):
        list(open_source(bag))


@pytest.mark.parametrize(
    "format", ["16UC1; png compressed ", "16UC1; compressedDepth png", "32FC1; compressedDepth png"]
)
def test_compressed_depth_images_of_a_bag_are_rejected(tmp_path: Path, format: str) -> None:
    data = cv2.imencode(".png", np.full((48, 64), 1500, np.uint16))[1].ravel()
    bag = recordings.write_bag(
        tmp_path / "bag", {"/depth": [replace(recordings.compressed_message(0), data=data, format=format)]}
    )
    with pytest.raises(ValueError, match=r"bag .*, image 0 of /depth: format: .* depth image"):
        list(open_source(bag))


def test_a_bag_with_several_cameras_needs_a_topic(tmp_path: Path) -> None:
    image = [recordings.compressed_message(3)]
    bag = recordings.write_bag(tmp_path / "bag", {"/left": image, "/right": image, "/left/camera_info": image})
    with pytest.raises(ValueError, match=r"expected one image topic, got /left .*, /right .*; choose one with --topic"):
        open_source(bag)
    with pytest.raises(ValueError, match=r"expected the image topic up, got /left"):
        open_source(bag, topic="up")
    assert read_numbers(bag, topic="right") == [3]


def test_a_bag_without_images_lists_its_topics(tmp_path: Path) -> None:
    bag = recordings.write_bag(tmp_path / "bag", {"/camera_info": [recordings.camera_info(0)]})
    with pytest.raises(
        ValueError, match=r"bag .*bag: expected one image topic, got /camera_info \(sensor_msgs/msg/Cam"
    ):
        open_source(bag)


def test_stamps_can_be_read_and_replaced_in_serialised_messages(tmp_path: Path) -> None:
    path = recordings.write_bag(tmp_path / "bag", {"/image": [recordings.image_message(index) for index in range(3)]})
    bag = Bag(path)
    message = list(bag.messages(["/image"]))[2]
    assert (message.stamp_ns, message.frame_id) == (recordings.stamp_ns(2), "camera_optical")
    changed = bag.deserialise(message.with_stamp(5_000_000_007))
    assert (changed.header.stamp.sec, changed.header.stamp.nanosec) == (5, 7)
    assert np.array_equal(changed.data, bag.deserialise(message).data)
    assert message.with_stamp(message.stamp_ns).data == message.data


@pytest.mark.parametrize(
    ("image", "info"),
    [
        pytest.param("/camera/image_raw", "/camera/camera_info", id="same namespace"),
        pytest.param("/camera/image_raw/compressed", "/camera/camera_info", id="transport"),
        pytest.param("image", "camera_info", id="relative"),
        pytest.param("/image", "/camera_info", id="root"),
    ],
)
def test_the_calibration_topic_is_in_the_namespace_of_the_images(image: str, info: str) -> None:
    assert camera_info_topic(image) == info


def test_the_calibration_of_a_bag(tmp_path: Path) -> None:
    topics = {recordings.IMAGE_TOPIC: [recordings.image_message(0)], "/camera/camera_info": [recordings.camera_info(0)]}
    assert Bag(recordings.write_bag(tmp_path / "with", topics)).camera_info_topic == "/camera/camera_info"
    topics = {recordings.IMAGE_TOPIC: [recordings.image_message(0)], "/other/camera_info": [recordings.camera_info(0)]}
    assert Bag(recordings.write_bag(tmp_path / "without", topics)).camera_info_topic is None


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.avi, which does not exist"):
        open_source(tmp_path / "missing.avi")


@pytest.mark.usefixtures("video_library")
@pytest.mark.parametrize("name", ["x.mp4", "x.avi", "x.webm"])
@pytest.mark.parametrize("data", [b"", b"no video at all " * 100], ids=["empty", "text"])
def test_an_unreadable_video_is_reported_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"(video|source) .*{name}: expected a video"):
        list(open_source(path))


@pytest.mark.usefixtures("video_library")
@pytest.mark.parametrize("name", ["2024-05-01T12:30:00.avi", "file:x.avi", "%03d.avi", "a#b?c.avi"])
def test_names_of_videos_are_no_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    recordings.write_video(tmp_path / "walk.avi").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_numbers(Path(name)) == NUMBERS
    with VideoFile(Path(f"new {name}"), 10) as video:
        video.write(recordings.frame_image(4))
    assert read_numbers(Path(f"new {name}")) == [4]


def test_a_source_is_identified_by_its_content(tmp_path: Path) -> None:
    recordings.write_video(tmp_path / "walk.avi").rename(tmp_path / "walk.jpg")
    (tmp_path / "photo.mp4").write_bytes(cv2.imencode(".jpg", recordings.frame_image(3))[1].tobytes())
    (tmp_path / "photo").write_bytes(cv2.imencode(".png", recordings.frame_image(4))[1].tobytes())
    assert read_numbers(tmp_path / "walk.jpg") == NUMBERS
    assert read_numbers(tmp_path / "photo.mp4") == [3]
    assert read_numbers(tmp_path / "photo") == [4]
    with pytest.raises(ValueError, match=r"image .*walk.jpg: expected a complete image, got [0-9]+ bytes, a video"):
        read_image(tmp_path / "walk.jpg")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"#ROSBAG V2.0\n" + bytes(90), "a ROS 1 bag; convert it: .*rosbags-convert", id="ROS 1"),
        pytest.param(b"<!DOCTYPE html><html>", "a web page", id="web page"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; .*git lfs pull", id="LFS"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", "a text file", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile walk.avi\n", "a text file", id="list of files"),
        pytest.param(b"\xff\xfea\0b\0c\0", "a text file", id="UTF-16"),
        pytest.param(b"%PDF-1.7", "a PDF document", id="PDF"),
        pytest.param(b"PK\x03\x04" + bytes(30), "an archive; unpack it", id="zip"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image; convert it", id="HEIC"),
    ],
)
@pytest.mark.parametrize("name", ["x.mp4", "x.jpg", "x"])
def test_a_file_that_is_no_source_is_named(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"source .*{name}: expected a video, image, folder or bag, got {expected}"):
        open_source(tmp_path / name)


def test_images_of_a_folder(tmp_path: Path) -> None:
    jpeg, png = (cv2.imencode(suffix, recordings.frame_image(4))[1].tobytes() for suffix in (".jpg", ".png"))
    names = {"a.JFIF": jpeg, "b": png, "c.png": jpeg, "d.jpg": png}
    is_refused = tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 12)  # JPEG 2000 before OpenCV 4.12
    for suffix in (".avif", ".gif") if is_refused else (".jp2", ".avif", ".gif"):
        if cv2.haveImageWriter(f"x{suffix}"):
            names[f"e{suffix}"] = cv2.imencode(suffix, recordings.frame_image(4))[1].tobytes()
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "README").write_text("text")
    (tmp_path / "folder.jpg").mkdir()
    assert [frame.name for frame in open_source(tmp_path)] == sorted(names, key=str.lower)
    assert set(read_numbers(tmp_path)) == {4}


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64)])
def test_tiff_images_of_floats(tmp_path: Path, white: float, kind: type, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape) * white
    values.flat[0] = white
    lzw = (cv2.IMWRITE_TIFF_COMPRESSION, 5)  # OpenCV before 4.12 would choose LogLuv, which is refused
    assert cv2.imwrite(str(tmp_path / "x.tiff"), values.astype(kind), lzw)
    image = read_image(tmp_path / "x.tiff")
    expected = values if values.ndim == 3 else values[..., None]
    assert image.dtype == np.uint8 and image.shape == (48, 64, 3)
    assert np.abs(image - 255 / white * expected).max() <= 1


@pytest.mark.parametrize("value", [-1.0, 1e6, np.nan, np.inf])
def test_tiff_images_of_other_values_are_rejected(tmp_path: Path, value: float) -> None:
    assert cv2.imwrite(str(tmp_path / "x.tiff"), np.full((4, 4), value, np.float32))
    with pytest.raises(ValueError, match=r"image .*x.tiff: expected values from 0 to 1, 255 or 65535, got"):
        read_image(tmp_path / "x.tiff")


@pytest.mark.usefixtures("video_library")
def test_a_video_without_a_number_of_frames(tmp_path: Path) -> None:
    recordings.write_video(tmp_path / "walk.mkv", code="mp4v")
    data = (tmp_path / "walk.mkv").read_bytes()
    duration = data.index(b"\x44\x89\x88")
    (tmp_path / "walk.mkv").write_bytes(data[:duration] + b"\xec\x89\0" + data[duration + 3 :])  # now a void element
    assert open_source(tmp_path / "walk.mkv").count is None
    assert read_numbers(tmp_path / "walk.mkv") == NUMBERS


@pytest.mark.parametrize(
    ("times_s", "rate_hz", "expected"),
    [
        pytest.param([0, 0.1, 0.2, 0.3], 10, 10, id="even"),
        pytest.param([0, 0.09, 0.21, 0.3, 0.39], 10, 10, id="jitter"),
        pytest.param([*np.arange(10) * 0.1, 2, 4, 6], 2, 10, id="uneven"),
        pytest.param([0, 1e-9, 2e-9, 3e-9, 1], 4, 120, id="too fast"),
        pytest.param([0, 0, 0], 7, 7, id="one time"),
        pytest.param([], 7, 7, id="unknown"),
    ],
)
def test_an_even_rate_has_a_place_for_each_frame(times_s: list[float], rate_hz: float, expected: float) -> None:
    assert find_even_rate(times_s, rate_hz) == pytest.approx(expected)


@pytest.mark.usefixtures("video_library")
def test_the_even_rate_of_a_video_with_uneven_times(shared: Path) -> None:
    source = open_source(shared / "cases" / "vfr_annotated" / "vfr.mp4")
    assert source.rate_hz == pytest.approx(4.17, abs=0.01) and source.even_rate_hz() == pytest.approx(10)


@pytest.mark.usefixtures("video_library")
def test_a_truncated_video_is_read_as_far_as_possible(tmp_path: Path) -> None:
    path = recordings.write_video(tmp_path / "walk.avi")
    data = path.read_bytes()
    eighth = [i for i in range(len(data)) if data[i : i + 4] == b"00dc"][8]
    path.write_bytes(data[: eighth + 20])
    assert read_numbers(path)[:7] == NUMBERS[:7]
    assert len(read_numbers(path)) < open_source(path).count == 12


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95], ids=str)
def test_a_truncated_image_in_a_folder_is_reported_by_name(tmp_path: Path, suffix: str, share: float) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png", f"2{suffix}"])
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    (folder / f"2{suffix}").write_bytes(data[: int(share * len(data))])
    frames = iter(open_source(folder))
    assert recordings.frame_number(next(frames).image_bgr) == 0
    with pytest.raises(ValueError, match=rf"image .*2{suffix}: expected a complete image"):
        next(frames)


def test_a_jpeg_with_a_thumbnail_and_a_trailer_is_complete(tmp_path: Path) -> None:
    data = cv2.imencode(".jpg", recordings.frame_image(5))[1].tobytes()
    segment = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    whole = data[:2] + segment + data[2:] + b"trailer \xff\xda"
    path = tmp_path / "photo.jpg"
    path.write_bytes(whole)
    assert read_numbers(path) == [5]
    path.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(ValueError, match="expected a complete image"):
        read_numbers(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder .*: expected images \(.png, .*, got none"):
        open_source(tmp_path)


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9], ids=str)
def test_a_truncated_bag_is_reported_by_name(tmp_path: Path, storage: str, share: float) -> None:
    messages = [recordings.image_message(index) for index in NUMBERS]
    bag = recordings.write_bag(tmp_path / "bag", {"/image": messages}, storage)
    (file,) = (path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"bag .*bag: expected a readable rosbag2, got"):
        list(Bag(bag).messages(["/image"]))


def open_files(folder: Path) -> list[str]:
    """List the files of a folder that this process has open."""
    links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return [name for name in links if name.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files")
@pytest.mark.parametrize("storage", recordings.STORAGES)
def test_reading_a_part_of_a_bag_closes_it(tmp_path: Path, storage: str) -> None:
    messages = [recordings.compressed_message(index) for index in NUMBERS]
    bag = recordings.write_bag(tmp_path / "bag", {"/image": messages}, storage)
    frames = iter(open_source(bag))
    next(frames)
    assert open_files(bag)
    frames.close()
    assert not open_files(bag)


class Capture:
    """Replacement of ``cv2.VideoCapture`` with chosen properties. Its frames have the given times, ms."""

    def __init__(self, times_ms: list[float], rate_hz: float = 10.0, count: int = 5) -> None:
        self.values = {cv2.CAP_PROP_FRAME_COUNT: count, cv2.CAP_PROP_FPS: rate_hz}
        self.times_ms, self.names = list(times_ms), []

    def __call__(self, name: object) -> Capture:
        self.names.append(name)
        self.left_ms = list(self.times_ms)
        return self

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        return self.values.get(name, 0.0)

    def set(self, name: int, value: float) -> bool:
        self.values[name] = value
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        if not self.left_ms:
            return False, None
        self.values[cv2.CAP_PROP_POS_MSEC] = self.left_ms.pop(0)
        return True, recordings.frame_image(1)

    def release(self) -> None: ...


@pytest.mark.usefixtures("without_av")
@pytest.mark.parametrize(
    ("times_ms", "expected_ms"),
    [
        pytest.param([500, 600, 700], [0, 100, 200], id="starts late"),
        pytest.param([0, 0, 0, 0], [0, 100, 200, 300], id="no times"),
        pytest.param([0, 100, 100, 50, 400], [0, 100, 200, 300, 400], id="do not rise"),
    ],
)
def test_times_of_a_video_start_at_zero_and_rise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times_ms: list[float], expected_ms: list[float]
) -> None:
    (path := tmp_path / "x.avi").write_bytes(recordings.write_video(tmp_path / "y.avi", 1).read_bytes())
    monkeypatch.setattr(cv2, "VideoCapture", Capture(times_ms))
    assert [frame.stamp_ns / 1e6 for frame in open_source(path)] == expected_ms


@pytest.mark.usefixtures("without_av")
@pytest.mark.parametrize(("rate_hz", "expected"), [(1000.0, 1000), (90000.0, 30), (0.0, 30), (np.nan, 30)], ids=str)
def test_an_impossible_rate_of_a_video_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rate_hz: float, expected: float
) -> None:
    path = recordings.write_video(tmp_path / "x.avi", 1)
    monkeypatch.setattr(cv2, "VideoCapture", Capture([], rate_hz))
    assert open_source(path).rate_hz == expected


def test_a_missing_camera_is_explained(video_library: str) -> None:
    with pytest.raises(ConnectionError, match=r"camera 63: expected a stream.*; plug the camera in, .*/dev/video"):
        open_source("63")


@pytest.mark.usefixtures("without_av")
def test_a_number_is_a_camera_unless_it_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    capture = Capture([0.0])
    with monkeypatch.context() as patch:
        patch.setattr(cv2, "VideoCapture", capture)
        camera = open_source("7")
    assert capture.names == [7] and camera.count is None and camera.name == "camera 7"
    recordings.write_images(tmp_path / "7", ["1.png"])
    assert read_numbers(Path("7")) == [0]


@pytest.mark.usefixtures("without_av")
def test_a_video_without_frames_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = recordings.write_video(tmp_path / "x.avi", 1)
    monkeypatch.setattr(cv2, "VideoCapture", Capture([]))
    with pytest.raises(ValueError, match=r"video .*x.avi: expected frames, got none that can be decoded"):
        list(open_source(path))


def test_a_name_without_a_number_comes_before_a_zero(tmp_path: Path) -> None:
    names = ["a", "a0", "a1"]
    assert [path.name for path in sorted([tmp_path / name for name in names[::-1]], key=natural_key)] == names
