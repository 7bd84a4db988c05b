"""Test bags that are not whole, have no metadata.yaml, or were not recorded by ROS 2."""

from __future__ import annotations

import base64
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import recordings
from mcap_writer import Channel, fixed32, protobuf_fields, write_mcap

from pose_ros.media.bag import Bag
from pose_ros.media.sources import open_source
from pose_ros.media.unpack import zstd_module

NUMBERS = list(range(12))
IMAGE = recordings.frame_image(7)
JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()
HEIGHT, WIDTH = IMAGE.shape[:2]
ALIASES = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 30)
)
"""YAML of a kilobyte that stands for more values than fit into any memory."""


def read_numbers(path: Path, errors: list[str] | None = None) -> list[int]:
    def note(error: Exception) -> None:
        assert errors is not None, error
        errors.append(str(error))

    return [recordings.frame_number(frame.image_bgr) for frame in open_source(path, on_broken=note)]


def storage_file(bag: Path) -> Path:
    (file,) = (path for path in bag.iterdir() if path.name != "metadata.yaml")
    return file


def write_bag(folder: Path, storage: str) -> Path:
    messages = [recordings.image_message(index) for index in NUMBERS]
    return recordings.write_bag(folder, {"/image": messages}, storage)


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("metadata", [None, b"", b"rosbag2_bagfile_information: [", b"version: 5", ALIASES])
def test_a_bag_without_usable_metadata_is_read(tmp_path: Path, storage: str, metadata: bytes | None) -> None:
    bag = write_bag(tmp_path / "bag", storage)
    (bag / "metadata.yaml").unlink()
    if metadata is not None:
        (bag / "metadata.yaml").write_bytes(metadata)
    assert read_numbers(bag) == NUMBERS
    assert open_source(bag).count == len(NUMBERS)


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("read", ["folder", "file", "metadata"])
def test_latched_topics_are_identified(tmp_path: Path, storage: str, version: Any, read: str) -> None:
    topics = {name: [recordings.image_message(0)] for name in ("/image", "/map", "/tf_static")}
    bag = recordings.write_bag(tmp_path / "bag", topics, storage, latched=["/map"], version=version)
    if read == "metadata":  # the only place that has the QoS
        other = recordings.write_bag(tmp_path / "other", topics, storage)
        storage_file(bag).write_bytes(storage_file(other).read_bytes())
    found = Bag(storage_file(bag) if read == "file" else bag, "/image")
    assert found.latched_topics == {"/map", "/tf_static"}  # the second by its name


def test_files_of_a_bag_without_metadata_are_read_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for index in (0, 2, 10):
        bag = recordings.write_bag(tmp_path / str(index), {"/image": [recordings.image_message(index)]}, "mcap")
        storage_file(bag).rename(folder / f"split_{index}.mcap")
    assert read_numbers(folder) == [0, 2, 10]


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("name", ["walk.mp4", "walk.jpg", "walk", "12:30.bag", "a b#?%20.db3"])
def test_a_bag_is_identified_by_its_content(tmp_path: Path, storage: str, name: str) -> None:
    file = storage_file(write_bag(tmp_path / "bag", storage)).rename(tmp_path / name)
    assert read_numbers(file) == NUMBERS


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9], ids=str)
@pytest.mark.parametrize("with_metadata", [True, False])
def test_the_whole_messages_of_a_cut_mcap_are_read(tmp_path: Path, share: float, with_metadata: bool) -> None:
    bag = write_bag(tmp_path / "bag", "mcap")
    file = storage_file(bag)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    errors: list[str] = []
    found = read_numbers(bag if with_metadata else file, errors)
    assert found == NUMBERS[: len(found)]
    assert len(found) >= int(12 * share) - 1
    assert len(errors) == 1
    assert (
        "bag: expected a readable rosbag2, got: a file that is cut off" in errors[0]
        or "bag.mcap: expected" in errors[0]
    )


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_a_cut_chunk_is_read_as_far_as_possible(tmp_path: Path, compression: str) -> None:
    random = np.random.default_rng(0)
    noise = (random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(40))
    images = (replace(recordings.compressed_message(0), data=cv2.imencode(".png", image)[1].ravel()) for image in noise)
    data = [bytes(recordings.TYPES.serialize_cdr(image, image.__msgtype__)) for image in images]
    channel = Channel("/image", "sensor_msgs/msg/CompressedImage", "ros2msg", "cdr")
    path = write_mcap(tmp_path / "x.mcap", [channel], [(0, i, data[i]) for i in range(40)], 40, compression)
    assert Bag(path).count == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    errors: list[str] = []
    assert 15 <= len(read_numbers(path, errors)) < 40
    assert "cut off" in errors[0]


def test_a_damaged_chunk_does_not_end_a_bag(tmp_path: Path) -> None:
    channel = Channel("/image", "foxglove.CompressedImage", "protobuf", "protobuf")
    path = write_mcap(tmp_path / "x.mcap", [channel], [(0, i, protobuf_image()) for i in range(9)], 3, "zstd")
    data = bytearray(path.read_bytes())
    second = [i for i in range(len(data)) if data[i : i + 4] == b"\x28\xb5\x2f\xfd"][1]
    data[second + 4 : second + 60] = bytes(56)
    path.write_bytes(data)
    errors: list[str] = []
    assert read_numbers(path, errors) == [7] * 6
    assert "is damaged: expected zstd data" in errors[0]


def test_a_chunk_cannot_fill_the_memory(tmp_path: Path) -> None:
    bomb = zstd_module().compress(bytes(2**26)) * 40  # 2.5 GB from 80 kB
    head = struct.pack("<QQQI", 0, 0, 40 * 2**26, 0) + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", len(bomb))
    record = struct.pack("<BQ", 6, len(head) + len(bomb)) + head + bomb
    channel = Channel("/image", "foxglove.CompressedImage", "protobuf", "protobuf")
    path = write_mcap(tmp_path / "x.mcap", [channel], [(0, 1, protobuf_image())])
    data = path.read_bytes()
    path.write_bytes(data[:-50] + record + data[-50:])
    errors: list[str] = []
    assert read_numbers(path, errors) == [7]
    assert "expected at most 536870912 bytes, got 2684354560" in errors[0]


def protobuf_image() -> bytes:
    stamp = protobuf_fields((1, 5), (2, 7))
    return protobuf_fields((1, stamp), (4, "camera"), (2, JPEG), (3, "jpeg"))


def protobuf_raw_image() -> bytes:
    stamp, sizes = protobuf_fields((1, 5), (2, 7)), [(2, fixed32(WIDTH)), (3, fixed32(HEIGHT)), (5, fixed32(3 * WIDTH))]
    return protobuf_fields((1, stamp), (7, "camera"), *sizes, (4, "bgr8"), (6, IMAGE.tobytes()))


def json_image() -> bytes:
    content = base64.b64encode(JPEG).decode()
    values = {"timestamp": {"sec": 5, "nsec": 7}, "frame_id": "camera", "data": content, "format": "jpeg"}
    return json.dumps(values).encode()


def json_raw_image() -> bytes:
    values = {"timestamp": {"sec": 5, "nsec": 7}, "frame_id": "camera", "width": WIDTH, "height": HEIGHT}
    values |= {"encoding": "bgr8", "step": 3 * WIDTH, "data": base64.b64encode(IMAGE.tobytes()).decode()}
    return json.dumps(values).encode()


def cdr_text(data: bytes, text: str) -> bytes:
    data += bytes(-len(data) % 4)
    return data + struct.pack("<I", len(text) + 1) + text.encode() + b"\0"


def cdr_image() -> bytes:
    data = cdr_text(b"\0\1\0\0" + struct.pack("<iI", 5, 7), "camera")
    data += bytes(-len(data) % 4)
    return cdr_text(data + struct.pack("<I", len(JPEG)) + JPEG, "jpeg")


def cdr_raw_image() -> bytes:
    data = cdr_text(b"\0\1\0\0" + struct.pack("<iI", 5, 7), "camera")
    data += bytes(-len(data) % 4)
    data = cdr_text(data + struct.pack("<II", WIDTH, HEIGHT), "bgr8")
    data += bytes(-len(data) % 4)
    return data + struct.pack("<II", 3 * WIDTH, 3 * WIDTH * HEIGHT) + IMAGE.tobytes()


@pytest.mark.parametrize(
    ("schema", "encoding", "make"),
    [
        ("foxglove.CompressedImage", "protobuf", protobuf_image),
        ("foxglove.RawImage", "protobuf", protobuf_raw_image),
        ("foxglove.CompressedImage", "json", json_image),
        ("foxglove.RawImage", "json", json_raw_image),
        ("foxglove_msgs/msg/CompressedImage", "cdr", cdr_image),
        ("foxglove_msgs/msg/RawImage", "cdr", cdr_raw_image),
        ("foxglove::CompressedImage", "cdr", cdr_image),
    ],
)
@pytest.mark.parametrize(("per_chunk", "compression"), [(0, ""), (2, "zstd"), (2, "lz4")])
def test_foxglove_images(
    tmp_path: Path, schema: str, encoding: str, make: Callable[[], bytes], per_chunk: int, compression: str
) -> None:
    channels = [Channel("/other", "my.Type", "flatbuffer", "flatbuffer"), Channel("/image", schema, encoding, encoding)]
    messages = [(0, 0, b"x"), *((1, 100 * (i + 1), make()) for i in range(3))]
    path = write_mcap(tmp_path / "x.mcap", channels, messages, per_chunk, compression)
    frames = list(open_source(path))
    assert [recordings.frame_number(frame.image_bgr) for frame in frames] == [7, 7, 7]
    assert [(frame.stamp_ns, frame.frame_id) for frame in frames] == [(5_000_000_007, "camera")] * 3
    assert Bag(path).count == 3


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("protobuf", b"\xff\xff\xff"),
        ("json", b"{}"),
        ("json", b'{"data": "###"}'),
        ("json", b"[" * 100_000),
        ("cdr", b"\0\1\0\0abc"),
        ("cdr", b""),
    ],
)
def test_a_damaged_foxglove_image_is_skipped(tmp_path: Path, encoding: str, data: bytes) -> None:
    good = {"protobuf": protobuf_image, "json": json_image, "cdr": cdr_image}[encoding]()
    channel = Channel("/image", "foxglove.CompressedImage", encoding, encoding)
    path = write_mcap(tmp_path / "x.mcap", [channel], [(0, 0, good), (0, 1, data), (0, 2, good)])
    errors: list[str] = []
    assert read_numbers(path, errors) == [7, 7]
    assert len(errors) == 1
    assert "x.mcap, image 1 of /image: message: expected a Foxglove image" in errors[0]


def test_other_encodings_are_named(tmp_path: Path) -> None:
    channels = [
        Channel("/video", "foxglove.CompressedVideo", "protobuf", "protobuf"),
        Channel("/old", "sensor_msgs/Image", "ros1msg", "ros1"),
    ]
    path = write_mcap(tmp_path / "x.mcap", channels, [(0, 0, b""), (1, 0, b"")])
    expected = r"got /old \(sensor_msgs/Image in ros1 encoding\), /video \(foxglove.CompressedVideo in protobuf"
    with pytest.raises(ValueError, match=expected):
        open_source(path)


def test_messages_come_by_time_also_from_chunks_that_overlap(tmp_path: Path) -> None:
    channel = Channel("/image", "foxglove.CompressedImage", "protobuf", "protobuf")
    times = [0, 5, 1, 6, 3, 4, 2, 7]
    path = write_mcap(tmp_path / "x.mcap", [channel], [(0, time, protobuf_image()) for time in times], 2)
    assert [message.received_ns for message in Bag(path).messages(["/image"])] == sorted(times)


def test_a_compressed_storage_file(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", "sqlite3")
    file = storage_file(bag)
    file.with_name("bag.db3.zstd").write_bytes(zstd_module().compress(file.read_bytes()))
    file.unlink()
    assert read_numbers(bag) == NUMBERS
    assert read_numbers(bag / "bag.db3.zstd") == NUMBERS


def test_a_database_that_sqlite_refuses_is_reported_with_the_reason(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", "sqlite3")
    file = storage_file(bag)
    file.write_bytes(file.read_bytes()[:100] + bytes(4096))
    with pytest.raises(ValueError, match=r"\.db3: a database that cannot be opened: \w+"):
        open_source(bag)


def test_a_missing_storage_file_is_reported(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", "mcap")
    shutil.copy(bag / "metadata.yaml", tmp_path)
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("relative_file_paths:", "relative_file_paths:\n  - lost.mcap"))
    errors: list[str] = []
    assert read_numbers(bag, errors) == NUMBERS
    assert "lost.mcap" in errors[0]
