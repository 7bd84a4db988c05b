"""Test decoding depth images: unknown is NaN, units follow the encoding, damage is reported."""

from __future__ import annotations

import struct
import warnings
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pose_ros.media.depth_images import decode_depth
from pose_ros.media.rvl import decode_rvl

MM = np.array([[0, 1, 999], [1500, 8000, 65535]], np.uint16)
METRES = np.array([[np.nan, 0.001, 0.999], [1.5, 8.0, 65.535]], np.float32)
A, B = 100 * 101.0, 1 - 100 * 101 / 10.0  # depth_quantization 100, depth_max 10
HEADER = struct.pack("<iff", 0, A, B)


def raw(array, encoding, padding=0, order="<"):
    values = array.astype(array.dtype.newbyteorder(order))
    rows = b"".join(row.tobytes() + b"\x7f" * padding for row in values)
    height, width = array.shape
    step = width * array.itemsize + padding
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, data=rows, is_bigendian=int(order == ">")
    )


def compressed(data, text, header=HEADER):
    return SimpleNamespace(format=text, data=header + data)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def rvl(array):
    """Compress as the paper describes: nibbles of 3 bits, high bit set if more follow, 8 in a word."""
    nibbles = []

    def put(value):
        while value > 7:
            nibbles.append(value % 8 + 8)
            value //= 8
        nibbles.append(value)

    pixels, at, previous = array.ravel().tolist(), 0, 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        put(at - start)
        start = at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        put(at - start)
        for value in pixels[start:at]:
            change, previous = value - previous, value
            put(2 * change if change >= 0 else -2 * change - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{n:x}" for n in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return struct.pack(f"<II{len(words)}I", array.shape[1], array.shape[0], *words)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 4, 5])
def test_raw_images_become_metres(order, padding):
    np.testing.assert_allclose(decode_depth(raw(MM, "16UC1", padding, order)), METRES, rtol=1e-6)
    np.testing.assert_array_equal(decode_depth(raw(METRES, "32FC1", padding, order)), METRES)


def test_everything_without_a_distance_becomes_nan():
    image = np.array([[np.nan, np.inf, -np.inf], [0.0, -1.0, 2.5]], np.float32)
    message = raw(image, "32FC1")
    before = bytes(message.data)
    np.testing.assert_array_equal(decode_depth(message), [[np.nan] * 3, [np.nan, np.nan, 2.5]])
    assert message.data == before


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("16UC1; compressedDepth png", png(MM)),
        ("16UC1; compressedDepth", png(MM)),
        ("16UC1", png(MM)),
        ("16UC1; compressedDepth rvl", rvl(MM)),
    ],
    ids=["png", "png without its name", "png of old publishers", "rvl"],
)
def test_compressed_millimetres(text, data):
    np.testing.assert_allclose(decode_depth(compressed(data, text)), METRES, rtol=1e-6)


def test_png_of_compressed_image_transport_has_no_header():
    np.testing.assert_allclose(decode_depth(compressed(png(MM), "16UC1; png compressed ", b"")), METRES, rtol=1e-6)


@pytest.mark.parametrize(("codec", "encode"), [("png", png), ("rvl", rvl)])
def test_compressed_metres_are_quantised_by_inverse_depth(codec, encode):
    metres = np.array([[np.nan, 0.5, 1.0], [3.0, 6.0, 9.9]], np.float32)
    stored = np.where(np.isnan(metres), 0, A / metres + B).astype(np.uint16)
    decoded = decode_depth(compressed(encode(stored), f"32FC1; compressedDepth {codec}"))
    np.testing.assert_allclose(decoded, metres, atol=0.011)  # at 10 m, a step is 1 cm
    assert abs(decoded[0, 2] - 1) < 2e-4


@pytest.mark.parametrize(
    ("a", "b"), [(1.0, 7.0), (0.0, 7.0), (3e38, 6.999)], ids=["infinite", "undefined", "too large"]
)
def test_a_value_without_a_distance_is_unknown_and_no_warning(a, b):
    message = compressed(png(np.array([[7, 9]], np.uint16)), "32FC1; compressedDepth png", struct.pack("<iff", 0, a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(decode_depth(message)[0, 0])


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 7, 65535])))
def test_rvl_is_lossless(image):
    np.testing.assert_array_equal(decode_rvl(rvl(image)), image)


def test_every_truncated_rvl_is_reported():
    rng = np.random.default_rng(0)
    image = np.where(rng.random((8, 9)) < 0.3, 0, rng.integers(1, 60000, (8, 9))).astype(np.uint16)
    data = rvl(image)
    for length in range(len(data) - 3):
        with pytest.raises(ValueError, match=r"^data: expected an"):
            decode_rvl(data[:length])


@given(st.binary(max_size=200))
def test_random_rvl_is_decoded_or_reported(data):
    try:
        assert decode_rvl(struct.pack("<II", 6, 5) + data).shape == (5, 6)
    except ValueError as error:
        assert "damaged or truncated" in str(error)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (raw(MM, "mono16"), "encoding: expected a depth image in 16UC1 or 32FC1, got 'mono16'; remap"),
        (raw(MM, "bgr8"), "encoding: expected a depth image"),
        (compressed(png(MM), "bgr8; jpeg compressed bgr8"), "format: expected a depth image"),
        (compressed(b"", "16UC1; compressedDepth png", b""), "data: expected a header of 12 bytes"),
        (compressed(b"", "16UC1; compressedDepth png"), "data: expected a header of 12 bytes"),
        (compressed(png(MM)[:40], "16UC1; compressedDepth png"), "data: expected a complete image"),
        (compressed(png(MM.astype(np.uint8)), "16UC1; compressedDepth png"), "16 bits in one channel, got uint8"),
        (compressed(png(MM), "32FC1; png compressed", b""), "32FC1; use compressedDepth"),
        (
            compressed(png(MM), "32FC1; compressedDepth png", struct.pack("<iff", 0, np.nan, 0)),
            "finite parameters of the quantisation",
        ),
        (compressed(struct.pack("<II", 2**31, 2**31), "16UC1; compressedDepth rvl"), "expected an image of 1 to"),
        (compressed(struct.pack("<II", 0, 5), "16UC1; compressedDepth rvl"), "expected an image of 1 to"),
        (compressed(rvl(MM), "16UC1; compressedDepth png"), "expected a complete image, got .*; use jpeg, png or tiff"),
    ],
)
def test_other_messages_are_reported(message, error):
    with pytest.raises(ValueError, match=error):
        decode_depth(message)


def test_truncated_png_is_reported():
    image = np.random.default_rng(0).integers(1, 9000, (60, 80)).astype(np.uint16)
    for length in range(60, len(png(image)) - 12, 500):
        with pytest.raises(ValueError, match="data: expected a complete image"):
            decode_depth(compressed(png(image)[:length], "16UC1; compressedDepth png"))


@pytest.mark.parametrize(("name", "value"), [("step", 5), ("height", 3), ("width", 0), ("data", b"")])
def test_contradicting_sizes_are_reported(name, value):
    message = raw(MM, "16UC1")
    setattr(message, name, value)
    with pytest.raises(ValueError, match=r"^(step|data|size): expected"):
        decode_depth(message)
