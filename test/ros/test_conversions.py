"""Tests of the conversion of image messages to arrays, and of people to messages."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from pose_ros.msg import Keypoint
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pose_ros.media.encodings import ENCODINGS
from pose_ros.media.image_messages import CONVERTER_FIRST, to_bgr
from pose_ros.people import People, TrackState
from pose_ros.ros.messages.columns import make_messages
from pose_ros.ros.messages.conversions import (
    image_from_message,
    image_to_message,
    latency_ms,
    people_to_message,
)
from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge, find_cv_bridge

Array = np.ndarray
HEIGHT, WIDTH = 16, 24
BGR_TOLERANCE = 3  # of 255, because BT.601 in 8 bits rounds twice
GREYS = ("mono8", "8UC1", "mono16")


def colour_image() -> Array:
    """Make an image of four plain colours. Subsampled encodings keep the middle of each area."""
    bgr = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    bgr[:8, :12], bgr[:8, 12:] = (200, 60, 30), (20, 180, 90)
    bgr[8:, :12], bgr[8:, 12:] = (40, 70, 210), (128, 128, 128)
    return bgr


def middles(image: Array) -> Array:
    """Return the middle of each area of ``colour_image``."""
    return np.stack([image[y : y + 4, x : x + 6] for y in (2, 10) for x in (3, 15)])


def grey_image() -> Array:
    """Make a grey ramp."""
    return np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH).astype(np.uint8)


def to_yuv(bgr: Array) -> tuple[Array, Array, Array]:
    """Convert to BT.601, limited range, by the formula and not with OpenCV."""
    b, g, r = (bgr[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return y.round().astype(np.uint8), u.round().astype(np.uint8), v.round().astype(np.uint8)


def pack(bgr: Array, order: str) -> Array:
    """Encode as 4:2:2, with the samples of two pixels in this order, e.g. ``"UyVY"``."""
    y, u, v = to_yuv(bgr)
    samples = {"y": y[:, ::2], "Y": y[:, 1::2], "U": u[:, ::2], "V": v[:, ::2]}
    return np.stack([samples[letter] for letter in order], axis=-1).reshape(HEIGHT, -1)


def to_semi_planar(bgr: Array, order: str) -> Array:
    """Encode as 4:2:0: the rows of y, then the rows of interleaved colours."""
    y, u, v = to_yuv(bgr)
    colours = {"U": u[::2, ::2], "V": v[::2, ::2]}
    return np.vstack([y, np.stack([colours[letter] for letter in order], axis=-1).reshape(HEIGHT // 2, -1)])


def make_mosaic(bgr: Array, pattern: str) -> Array:
    """Encode as the mosaic of a sensor with this pattern of 2 × 2 pixels."""
    raw = np.zeros(bgr.shape[:2], np.uint8)
    for index, colour in enumerate(pattern):
        row, column = divmod(index, 2)
        raw[row::2, column::2] = bgr[row::2, column::2, "bgr".index(colour)]
    return raw


def with_alpha(bgr: Array) -> Array:
    """Add a fourth channel, which is ignored."""
    return np.dstack([bgr, np.full(bgr.shape[:2], 77, np.uint8)])


def to_16_bits(array8: Array) -> Array:
    """Convert to 16 bits. The lower byte is another shade, so that swapped bytes are noticed."""
    wide = array8.astype(np.uint16)
    return 256 * wide + np.where(wide < 128, wide + 100, wide - 100).astype(np.uint16)


RECORD: dict[str, Callable[[Array], Array]] = {
    "bgr8": lambda bgr: bgr,
    "8UC3": lambda bgr: bgr,
    "rgb8": lambda bgr: bgr[..., ::-1],
    "mono8": lambda _: grey_image(),
    "8UC1": lambda _: grey_image(),
    "mono16": lambda _: to_16_bits(grey_image()),
    "bgr16": to_16_bits,
    "rgb16": lambda bgr: to_16_bits(bgr[..., ::-1]),
    "bgra8": with_alpha,
    "8UC4": with_alpha,
    "rgba8": lambda bgr: with_alpha(bgr[..., ::-1]),
    "uyvy": lambda bgr: pack(bgr, "UyVY"),
    "yuv422": lambda bgr: pack(bgr, "UyVY"),
    "yuyv": lambda bgr: pack(bgr, "yUYV"),
    "yuv422_yuy2": lambda bgr: pack(bgr, "yUYV"),
    "nv12": lambda bgr: to_semi_planar(bgr, "UV"),
    "nv21": lambda bgr: to_semi_planar(bgr, "VU"),
    **{f"bayer_{p}8": lambda bgr, p=p: make_mosaic(bgr, p) for p in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{p}16": lambda bgr, p=p: to_16_bits(make_mosaic(bgr, p)) for p in ("rggb", "bggr", "gbrg", "grbg")},
}


def make_message(encoding: str, padding: int = 0, is_bigendian: bool = False) -> Image:
    """Make an image message of ``colour_image`` in this encoding."""
    raw = RECORD[encoding](colour_image())
    raw = np.ascontiguousarray(raw, raw.dtype.newbyteorder(">" if is_bigendian else "<"))
    rows = raw.reshape(len(raw), -1).view(np.uint8)
    rows = np.hstack([rows, np.full((len(rows), padding), 0xAA, np.uint8)])
    message = Image(height=HEIGHT, width=WIDTH, encoding=encoding, is_bigendian=int(is_bigendian), step=rows.shape[1])
    message.data = array.array("B", rows.tobytes())
    return message


def test_every_encoding_is_tested() -> None:
    assert set(RECORD) == set(ENCODINGS)


@pytest.mark.parametrize("is_bigendian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 5, 8], ids=lambda padding: f"pad{padding}")
@pytest.mark.parametrize("encoding", RECORD)
def test_every_encoding_gives_the_image(encoding: str, padding: int, is_bigendian: bool) -> None:
    found, colour = image_from_message(make_message(encoding, padding, is_bigendian))
    assert found.dtype == np.uint8
    if encoding in GREYS:
        np.testing.assert_array_equal(found, grey_image())
    else:
        assert found.shape == (HEIGHT, WIDTH, 3)
        difference = middles(to_bgr(found, colour)).astype(int) - middles(colour_image())
        assert np.abs(difference).max() <= BGR_TOLERANCE


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "8UC3", "mono8", "8UC1"])
def test_plain_encodings_are_views(encoding: str, padding: int) -> None:
    message = make_message(encoding, padding)
    found, _ = image_from_message(message)
    assert np.shares_memory(found, np.frombuffer(message.data, np.uint8))


def test_any_object_with_the_fields_of_an_image_is_accepted() -> None:
    message = SimpleNamespace(height=1, width=2, encoding="rgb8", step=6, is_bigendian=0, data=bytes(range(6)))
    found, colour = image_from_message(message)
    assert (found.tolist(), colour) == ([[[0, 1, 2], [3, 4, 5]]], "rgb")


@pytest.mark.skipif(find_cv_bridge() is None, reason="cv_bridge is not installed or does not work")
@pytest.mark.parametrize("encoding", sorted(CONVERTER_FIRST))
def test_cv_bridge_gives_the_same_image(encoding: str) -> None:
    message = make_message(encoding)
    expected = convert_with_cv_bridge(message)
    if expected is None:
        pytest.skip(f"this cv_bridge does not know {encoding}")
    spec = ENCODINGS[encoding]
    image8 = spec.to_image(message.data, (WIDTH, HEIGHT), message.step, False)
    assert np.abs(to_bgr(image8, spec.colour).astype(int) - expected).max() <= 1


BROKEN = {
    "unknown encoding": ({"encoding": "jpeg"}, "encoding: expected one of bgr8, .*, got 'jpeg'"),
    "no encoding": ({"encoding": ""}, "encoding: expected one of"),
    "depth": ({"encoding": "16UC1"}, "this is a depth image: remap 'image' to the colour image"),
    "zero width": ({"width": 0}, "size: expected width and height above 0"),
    "zero height": ({"height": 0}, "size: expected width and height above 0"),
    "zero step": ({"step": 0}, "step: expected at least 72, got bgr8 of 24 x 16, step 0"),
    "step below a row": ({"step": 71}, "step: expected at least 72"),
    "no data": ({"data": array.array("B")}, "data: expected 1152 bytes, got bgr8 of 24 x 16, step 72, 0 bytes"),
    "one byte short": ({"data": array.array("B", bytes(1151))}, "data: expected 1152 bytes"),
    "more rows than data": ({"height": 17}, "data: expected 1224 bytes"),
    "giant": ({"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1}, "step: expected at least 12884901885"),
    "giant height": ({"height": 2**32 - 1}, "data: expected"),
    "odd width of 4:2:2": ({"encoding": "uyvy", "width": 23}, r"multiples of \(2, 1\)"),
    "odd height of 4:2:0": ({"encoding": "nv12", "height": 15}, r"multiples of \(2, 2\)"),
    "4:2:0 without colours": ({"encoding": "nv12", "step": 72}, "data: expected 1728 bytes"),
}


def make_broken_message(changes: dict[str, Any]) -> Image:
    """Make a valid message, then change these fields."""
    message = make_message("bgr8")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(("changes", "error"), BROKEN.values(), ids=BROKEN)
def test_a_broken_message_raises_with_the_reason(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        image_from_message(make_broken_message(changes))


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)], ids=["bgr8", "mono8"])
def test_an_image_survives_the_round_trip_to_a_message(shape: tuple[int, ...]) -> None:
    image = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    header = Header(frame_id="camera")
    message = image_to_message(image, header)
    assert message.header == header
    np.testing.assert_array_equal(image_from_message(message)[0], image)
    strided = np.repeat(image, 2, axis=0)[::2]
    assert image_to_message(strided, header) == message


def test_people_become_a_message() -> None:
    keypoints = [[[1.5, 2.0], [0.0, 0.0], [7.0, 8.0]], [[0.0, 0.0]] * 3]
    people = People(
        np.float32(keypoints), np.float32([[0.5, 0, 1], [0, 0, 0]]), np.float32([0.75, 0.25]), np.int32([4, -1])
    )
    header = Header(frame_id="camera")
    message = people_to_message(people, ("a", "b", "c"), header, (640, 480), "toy-1")
    assert (message.image_width, message.image_height, message.model) == (640, 480, "toy-1")
    assert (message.header, list(message.keypoint_names)) == (header, ["a", "b", "c"])
    first, second = message.people
    assert [(p.id, p.score, len(p.keypoints)) for p in (first, second)] == [(4, 0.75, 3), (-1, 0.25, 3)]
    assert list(first.box) == [1.5, 2.0, 7.0, 8.0]
    assert (first.keypoints[0].x, first.keypoints[0].y, first.keypoints[0].score) == (1.5, 2.0, 0.5)
    assert math.isnan(first.keypoints[1].x) and math.isnan(first.keypoints[1].y)
    assert first.keypoints[1].score == 0
    assert np.isnan(second.box).all()
    assert list(first.keypoints_3d) == []


def _make_crowd(count: int, is_3d: bool) -> People:
    """Make people with different values in every field."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.uniform(0.1, 0.9, (count, *shape)).astype(np.float32)

    optional = {
        "velocities": draw(2),
        "keypoints_3d": draw(3, 3),
        "deviations_3d": draw(3),
        "positions_3d": draw(3),
        "position_deviations_3d": draw(),
        "velocities_3d": draw(3),
        "refined": np.arange(count) % 2 == 1,
    }
    ids, states = np.arange(count, dtype=np.int32), np.full(count, TrackState.TRACKED)
    return People(draw(3, 2), draw(3), draw(), ids, states=states, **(optional if is_3d else {}))


@pytest.mark.parametrize("is_3d", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_a_message_equals_one_whose_fields_were_checked(count: int, is_3d: bool) -> None:
    """Every value has the type of its field, survives serialisation, and can be changed afterwards."""
    people = _make_crowd(count, is_3d)
    message = people_to_message(people, ("a", "b", "c"), Header(), (640, 480), "toy")
    for person, received in zip(message.people, _serialise_and_back(message).people, strict=True):
        for field in person.get_fields_and_field_types():
            setattr(person, field, getattr(person, field))
        kind = type(person)
        assert repr(kind(**{name: getattr(person, name) for name in person.get_fields_and_field_types()})) == repr(
            person
        )
        assert repr(received) == repr(person)
        assert isinstance(person.id, int) and isinstance(person.score, float) and isinstance(person.refined, bool)
    last = message.people[-1]
    assert (last.id, last.state, last.refined) == (count - 1, TrackState.TRACKED, is_3d and count % 2 == 0)
    np.testing.assert_array_equal([[p.x, p.y] for p in last.keypoints], people.keypoints[-1])
    np.testing.assert_array_equal([p.score for p in last.keypoints], people.scores[-1])
    if is_3d:
        np.testing.assert_array_equal([[p.x, p.y, p.z] for p in last.keypoints_3d], people.keypoints_3d[-1])
        np.testing.assert_array_equal(last.deviations_3d, people.deviations_3d[-1])
        position, velocity = last.position_3d, last.velocity_3d
        np.testing.assert_array_equal([position.x, position.y, position.z], people.positions_3d[-1])
        np.testing.assert_array_equal([velocity.x, velocity.y, velocity.z], people.velocities_3d[-1])
        np.testing.assert_array_equal(last.velocity, people.velocities[-1])


def _serialise_and_back(message: Any) -> Any:
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("fields", [{"x": [1.0]}, {"x": [1.0], "y": [1.0], "score": [1.0], "z": [1.0]}], ids=str)
def test_messages_need_a_value_of_every_field(fields: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="Keypoint: expected the fields"):
        make_messages(Keypoint, 1, fields)


def test_an_image_message_owns_its_pixels() -> None:
    image = np.full((4, 6, 3), 7, np.uint8)
    message = image_to_message(image[:, ::2], Header())
    image[:] = 0
    assert (message.width, message.step, set(message.data), len(message.data)) == (3, 9, {7}, 36)


def test_no_people_become_an_empty_message() -> None:
    message = people_to_message(People.empty(3), ("a", "b", "c"), Header(), (1, 1), "toy")
    assert (list(message.people), list(message.keypoint_names)) == ([], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("stamp", "now_ns", "expected"),
    [
        pytest.param((10, 500), 10_020_000_500, 20.0, id="20 ms ago"),
        pytest.param((10, 0), 10_000_000_000, 0.0, id="now"),
        pytest.param((0, 0), 10_000_000_000, math.nan, id="no stamp"),
        pytest.param((10, 1), 10_000_000_000, math.nan, id="stamp in the future"),
        pytest.param((10, 0), 0, math.nan, id="clock not running yet"),
    ],
)
def test_latency(stamp: tuple[int, int], now_ns: int, expected: float) -> None:
    header = Header()
    header.stamp.sec, header.stamp.nanosec = stamp
    assert latency_ms(header, now_ns) == pytest.approx(expected, nan_ok=True)
    assert struct.pack("f", latency_ms(header, now_ns))  # fits float32


def test_to_bgr_keeps_grey_and_bgr_as_they_are() -> None:
    bgr = colour_image()
    grey_picture = grey_image()
    assert to_bgr(bgr, "bgr") is bgr
    assert to_bgr(grey_picture, "rgb") is grey_picture
    np.testing.assert_array_equal(to_bgr(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), "rgb"), bgr)
