"""Tests of compressed images: every format, damaged data and malicious data."""

from __future__ import annotations

import array
import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from pose_ros.media.image_messages import to_bgr
from pose_ros.ros.messages.conversions import image_from_message, image_to_compressed

RAMP = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
COLOURED = np.stack([RAMP, 255 - RAMP, np.full_like(RAMP, 40)], axis=2)  # red is the weakest channel, and constant
TOO_LARGE = 60_000


def message(data: bytes, format: str = "jpeg") -> CompressedImage:
    """Make a compressed image message."""
    return CompressedImage(format=format, data=array.array("B", data))


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """Encode an image."""
    return cv2.imencode(suffix, image)[1].tobytes()


def read_bgr(data: bytes, format: str) -> np.ndarray:
    """Decode compressed data like the node, and convert to BGR."""
    return to_bgr(*image_from_message(message(data, format)))


RGB = np.ascontiguousarray(COLOURED[..., ::-1])
WIDE = COLOURED.astype(np.uint16) * 257
WITH_ALPHA = np.dstack([COLOURED, RAMP])


@pytest.mark.parametrize(
    ("image", "suffix", "format", "expected"),
    [
        pytest.param(COLOURED, ".png", "png", COLOURED, id="png of a driver"),
        pytest.param(COLOURED, ".png", "rgb8; png compressed bgr8", COLOURED, id="png, converted to bgr"),
        pytest.param(COLOURED, ".png", "bgr8; png compressed bgr8", COLOURED, id="png, was bgr"),
        pytest.param(RGB, ".png", "rgb8; png compressed ", COLOURED, id="png of an old publisher, stored as rgb"),
        pytest.param(RGB, ".tiff", "rgb8; tiff compressed ", COLOURED, id="tiff keeps rgb"),
        pytest.param(COLOURED, ".tiff", "bgr8; tiff compressed ", COLOURED, id="tiff keeps bgr"),
        pytest.param(RGB, ".png", "bgr8; png compressed rgb8", COLOURED, id="stored as rgb"),
        pytest.param(RAMP, ".png", "mono8; png compressed ", RAMP, id="grey png"),
        pytest.param(RAMP, ".tiff", "mono8; tiff compressed ", RAMP, id="grey tiff"),
        pytest.param(WIDE, ".png", "rgb16; png compressed bgr16", COLOURED, id="16-bit png"),
        pytest.param(WIDE[..., 0], ".png", "mono16; png compressed ", RAMP, id="grey 16-bit png"),
        pytest.param(WIDE[..., 0], ".tiff", "mono16; tiff compressed ", RAMP, id="grey 16-bit tiff"),
        pytest.param(WITH_ALPHA, ".png", "bgra8; png compressed ", COLOURED, id="transparent png"),
        pytest.param(
            WITH_ALPHA[..., [2, 1, 0, 3]], ".tiff", "rgba8; tiff compressed ", COLOURED, id="transparent tiff"
        ),
        pytest.param(COLOURED, ".png", "jpeg", COLOURED, id="wrong format, correct data"),
        pytest.param(COLOURED, ".png", "", COLOURED, id="empty format"),
        pytest.param(COLOURED, ".png", ";;; compressed\n" * 99, COLOURED, id="invalid format"),
    ],
)
def test_lossless_images_are_decoded_exactly(image: np.ndarray, suffix: str, format: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(read_bgr(encode(image, suffix), format), expected)


@pytest.mark.parametrize(
    ("image", "format", "expected"),
    [
        pytest.param(COLOURED, "jpeg", COLOURED, id="of a driver"),
        pytest.param(COLOURED, "rgb8; jpeg compressed bgr8", COLOURED, id="converted to bgr"),
        pytest.param(RAMP, "mono8; jpeg compressed mono8", RAMP, id="grey"),
        pytest.param(RAMP, "bayer_rggb8; jpeg compressed mono8", RAMP, id="of a mosaic, converted to grey"),
        pytest.param(RGB, "rgb8; jpeg compressed ", COLOURED, id="of an old publisher, stored as rgb"),
    ],
)
def test_jpegs_are_decoded_approximately(image: np.ndarray, format: str, expected: np.ndarray) -> None:
    found = read_bgr(encode(image, ".jpg"), format)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("bits", [8, 16])
def test_a_stored_mosaic_becomes_a_colour_image(bits: int) -> None:
    mosaic = np.full((48, 64), 30, np.uint8)
    mosaic[::2, ::2] = 200  # red
    stored = mosaic if bits == 8 else mosaic.astype(np.uint16) * 257
    found = read_bgr(encode(stored), f"bayer_rggb{bits}; png compressed ")
    assert found[24, 32].tolist() == [30, 30, 200]


def test_an_orientation_tag_is_ignored() -> None:
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow to write the tag")
    file, image = io.BytesIO(), image_module.fromarray(RGB)
    tags = image.getexif()
    tags[0x0112] = 6  # rotate by 90 degrees
    image.save(file, "JPEG", exif=tags)
    assert read_bgr(file.getvalue(), "jpeg").shape == (48, 64, 3)


def test_a_progressive_jpeg_with_fill_bytes_is_read() -> None:
    data = cv2.imencode(".jpg", COLOURED, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert read_bgr(data[:2] + b"\xff" * 5 + data[2:] + b"\0" * 512, "jpeg").shape == (48, 64, 3)


PNG, JPEG, TIFF = (encode(COLOURED, suffix) for suffix in (".png", ".jpg", ".tiff"))


def png_of_size(width: int, height: int) -> bytes:
    """Make a png that is valid except for its size."""
    header = b"IHDR" + struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


def jpeg_of_size(width: int, height: int) -> bytes:
    """Make a jpeg that is valid except for its size."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def tiff_of_size(width: int, height: int, order: str = "<", kind: int = 4) -> bytes:
    """Make a tiff header that has only a size."""
    start = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, 2)
    value = f"{order}HHI" + ("I" if kind == 4 else "Hxx")
    return start + b"".join(struct.pack(value, tag, kind, 1, n) for tag, n in ((256, width), (257, height)))


BROKEN = {
    "nothing": (b"", "got 0 bytes"),
    "one byte": (b"\xff", "got 1 bytes that start with .* use jpeg, png or tiff"),
    "text": (b"hello, world", r"got 12 bytes that start with b'hello, w'"),
    "a video": (b"\0\0\0\1\x67\x42\0\x1f", "got 8 bytes that start with"),
    "the start of a jpeg": (JPEG[:3], "broken header"),
    "half the head of a jpeg": (JPEG[:40], "broken header"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], "broken header"),
    "jpeg without an end": (JPEG[:-2], "broken header: no end marker"),
    "jpeg of no height": (jpeg_of_size(64, 0), "got 64 x 0"),
    "jpeg of markers only": (b"\xff\xd8\xff" + b"\xff\x01" * 100_000, "broken header"),
    "jpeg with a segment of no length": (b"\xff\xd8\xff\xe0" + b"\0" * 1000, "broken header"),
    "the head of a png": (PNG[:12], "broken header"),
    "half a png": (PNG[: len(PNG) // 2], "damaged or truncated"),
    "damaged png": (PNG[:60] + b"damaged" + PNG[67:], "damaged"),
    "png of no width": (png_of_size(0, 48), "got 0 x 48"),
    "the head of a tiff": (TIFF[:6], "broken header"),
    "tiff that points beyond itself": (b"II*\0\xff\xff\xff\xff" + bytes(100), "broken header"),
    "tiff without a size": (b"II*\0\x08\0\0\0\0\0" + bytes(100), "got 0 x 0"),
    "half a tiff": (TIFF[: len(TIFF) // 2], "broken header|damaged"),
    "tiff of a size and no pixels": (tiff_of_size(64, 48), "damaged"),
    "giant png": (png_of_size(2**31 - 1, 2**31 - 1), "got 2147483647 x 2147483647"),
    "giant jpeg": (jpeg_of_size(65_000, 65_000), "65000 x 65000"),
    "giant tiff": (tiff_of_size(TOO_LARGE, TOO_LARGE), "60000 x 60000"),
    "giant tiff, other byte order": (tiff_of_size(TOO_LARGE, TOO_LARGE, ">"), "60000 x 60000"),
    "giant tiff, short numbers": (tiff_of_size(TOO_LARGE, TOO_LARGE, ">", 3), "60000 x 60000"),
    "png larger than its data": (png_of_size(8000, 8000), "where 8000 x 8000 px of png need"),
    "jpeg larger than its data": (jpeg_of_size(8000, 8000), "where 8000 x 8000 px of jpeg need"),
    "tiff larger than its data": (tiff_of_size(8000, 8000), "where 8000 x 8000 px of tiff need"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_image_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^data: expected .*({reason})"):
        image_from_message(message(data))


@pytest.mark.parametrize(
    "format",
    ["16UC1; compressedDepth png", "32FC1; compressedDepth rvl", "16UC1; png compressed ", "32FC1; tiff compressed "],
)
def test_a_depth_image_is_refused(format: str) -> None:
    with pytest.raises(ValueError, match="got a depth image; remap 'image' to the colour image"):
        image_from_message(message(PNG, format))


@pytest.mark.parametrize(
    ("stored", "format", "reason"),
    [
        pytest.param(RAMP.astype(np.float32), "tiff", "got float32", id="metres"),
        pytest.param(
            RAMP.astype(np.uint16), "bayer_rggb8; tiff compressed ", "expected 8 bits", id="mosaic of 16 bits"
        ),
    ],
)
def test_other_depths_than_8_or_16_bits_are_refused(stored: np.ndarray, format: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        image_from_message(message(encode(stored, ".tiff"), format))


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([PNG, JPEG, TIFF]), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=8), st.data()
)
def test_damaged_data_raises_only_value_errors(data: bytes, changes: list[tuple[int, int]], more: Any) -> None:
    damaged = bytearray(data[: more.draw(st.integers(len(data) // 2, len(data)))])
    for at, value in changes:
        damaged[at % min(len(damaged), 200)] = value  # damage the headers, where it matters most
    try:
        image, colour = image_from_message(message(bytes(damaged)))
    except ValueError as error:
        assert "expected" in str(error)
    else:
        assert image.dtype == np.uint8
        assert colour in ("bgr", "rgb")


def test_a_too_large_image_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the image was decoded"))
    for data in (png_of_size(30_000, 30_000), jpeg_of_size(60_000, 60_000), tiff_of_size(30_000, 30_000)):
        with pytest.raises(ValueError, match=r"px of [a-z]+ need at least"):
            image_from_message(message(data))


@pytest.mark.parametrize(
    ("image", "format"),
    [
        pytest.param(COLOURED, "bgr8; jpeg compressed bgr8", id="colour"),
        pytest.param(RAMP, "mono8; jpeg compressed mono8", id="grey"),
    ],
)
def test_an_encoded_image_can_be_decoded(image: np.ndarray, format: str) -> None:
    header = Header(frame_id="camera")
    written = image_to_compressed(image, header, 95)
    assert (written.header, written.format) == (header, format)
    found = to_bgr(*image_from_message(written))
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 2


def test_higher_quality_needs_more_bytes() -> None:
    small, large = (len(image_to_compressed(COLOURED, Header(), quality).data) for quality in (10, 95))
    assert small < large


@pytest.mark.parametrize("shape", [(0, 0, 3), (1, 70_000, 3)], ids=["empty", "too wide"])
def test_images_that_jpeg_cannot_store_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image: expected sides of 1 to 65535 px for JPEG"):
        image_to_compressed(np.zeros(shape, np.uint8), Header())


def test_a_compressed_image_arrives_in_a_graph(graph: Any) -> None:
    received = graph.collect(CompressedImage, "/image/compressed")
    publisher = graph.node.create_publisher(CompressedImage, "/image/compressed", 1)
    graph.until(publisher.get_subscription_count, "the subscriber is connected")
    publisher.publish(message(PNG, "bgr8; png compressed bgr8"))
    graph.until(lambda: received, "it arrives")
    np.testing.assert_array_equal(image_from_message(received[0])[0], COLOURED)
