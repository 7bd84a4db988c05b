"""Test preprocessing: aspect ratio, multiples, exact inverse, colours."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_ros.config import PreprocessConfig
from pose_ros.fields import InputSpec
from pose_ros.preprocess import PADDING, Preprocessor, fit

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.sampled_from([1, 8, 16, 32]), st.integers(32, 640))
def test_sizes_are_multiples_and_keep_the_aspect(width: int, height: int, multiple: int, short: int) -> None:
    spec = InputSpec(multiple=multiple, short_side=short)
    transform = fit((width, height), spec, PreprocessConfig())
    for padded, scaled in zip(transform.input_wh, transform.scaled_wh, strict=True):
        assert padded % multiple == 0 and 0 <= padded - scaled < multiple
    scale = min(short / min(width, height), 1312 / max(width, height))
    wanted = np.maximum(1, (width * scale, height * scale))
    assert np.abs(wanted - transform.scaled_wh).max() <= 0.5


@given(SIDES, SIDES, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_fixed_size_is_filled_in_one_direction(width: int, height: int, size_wh: tuple[int, int]) -> None:
    transform = fit((width, height), InputSpec(size_wh=size_wh), PreprocessConfig(short_side=100))
    assert transform.input_wh == size_wh
    assert all(s <= i for s, i in zip(transform.scaled_wh, size_wh, strict=True))
    assert any(s == i for s, i in zip(transform.scaled_wh, size_wh, strict=True))


@given(SIDES, SIDES, st.lists(st.tuples(st.floats(-100, 6000), st.floats(-100, 6000)), min_size=1, max_size=20))
def test_the_inverse_is_exact(width: int, height: int, points: list[tuple[float, float]]) -> None:
    transform = fit((width, height), InputSpec(), PreprocessConfig())
    converted = transform.to_image(transform.to_input(points))
    np.testing.assert_allclose(converted, points, rtol=1e-9, atol=1e-6)


@given(SIDES, SIDES)
def test_image_borders_map_to_the_borders_of_the_scaled_image(width: int, height: int) -> None:
    transform = fit((width, height), InputSpec(), PreprocessConfig())
    corners = transform.to_input([(-0.5, -0.5), (width - 0.5, height - 0.5)])
    expected = [(-0.5, -0.5), (transform.scaled_wh[0] - 0.5, transform.scaled_wh[1] - 0.5)]
    np.testing.assert_allclose(corners, expected, atol=1e-6)


@pytest.mark.parametrize("size_wh", [(640, 480), (1280, 720), (1921, 1081), (300, 900), (97, 61)], ids=str)
def test_resampling_agrees_with_the_transform(size_wh: tuple[int, int]) -> None:
    """The resampled image and the transform agree to a tenth of a pixel: enlarged, shrunk and halved."""
    width, height = size_wh
    spot = np.array([0.37 * width, 0.61 * height])
    sigma = max(6.0, max(size_wh) / 60)
    y, x = np.mgrid[:height, :width]
    image = (255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * sigma**2))).astype(np.uint8)
    tensor, transform = Preprocessor(InputSpec(), PreprocessConfig())(image)
    weights = tensor[0, : transform.scaled_wh[1], : transform.scaled_wh[0], 0].astype(np.float64)
    rows, cols = np.mgrid[: weights.shape[0], : weights.shape[1]]
    found = np.array([(weights * cols).sum(), (weights * rows).sum()]) / weights.sum()
    np.testing.assert_allclose(found, transform.to_input(spot), atol=0.1)


def colour_image() -> np.ndarray:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:] = (10, 20, 30)
    return image


@pytest.mark.parametrize(
    ("colour", "wanted", "expected"),
    [
        ("bgr", "bgr", (10, 20, 30)),
        ("bgr", "rgb", (30, 20, 10)),
        ("rgb", "rgb", (10, 20, 30)),
        ("rgb", "bgr", (30, 20, 10)),
    ],
)
def test_colours_reach_the_network_in_its_order(colour: str, wanted: str, expected: tuple[int, ...]) -> None:
    tensor, _ = Preprocessor(InputSpec(colour=wanted), PreprocessConfig(short_side=96))(colour_image(), colour)
    assert tensor[0, 5, 5].tolist() == list(expected)


def test_grey_becomes_three_channels() -> None:
    tensor, _ = Preprocessor(InputSpec(), PreprocessConfig())(np.full((50, 60), 99, np.uint8))
    assert tensor[0, 0, 0].tolist() == [99, 99, 99]


def test_float_planes_are_normalised() -> None:
    spec = InputSpec(layout="NCHW", dtype="float32", colour="bgr", mean=(1, 2, 3), std=(2, 4, 8))
    tensor, transform = Preprocessor(spec, PreprocessConfig())(colour_image())
    assert tensor.shape == (1, 3, *transform.input_wh[::-1]) and tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor[0, :, 0, 0], [4.5, 4.5, 27 / 8])


NORMALISED = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("colour", ["bgr", "rgb", "grey"])
@pytest.mark.parametrize("spec", [{}, {"dtype": "int32"}, {"dtype": "float32", **NORMALISED}], ids=str)
@pytest.mark.parametrize("size_wh", [(640, 352), (626, 352), (1280, 720), (97, 61), (3, 700)], ids=str)
def test_every_input_holds_the_values_of_the_pixels_exactly(
    size_wh: tuple[int, int], spec: dict[str, Any], colour: str, layout: str
) -> None:
    """The order of the colours, the type and the layout change no value, with and without a change of the size."""
    image = np.random.default_rng(2).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    image, order = (image[..., 0], "bgr") if colour == "grey" else (image, colour)
    config = PreprocessConfig(short_side=352)
    pixels, _ = Preprocessor(InputSpec(colour="bgr"), config)(image, order)
    tensor, transform = Preprocessor(InputSpec(layout=layout, **spec), config)(image, order)
    expected = pixels[..., ::-1].astype(spec.get("dtype", "uint8"))
    if spec.get("mean"):
        expected = (expected - np.array(spec["mean"], np.float32)) / np.array(spec["std"], np.float32)
    np.testing.assert_array_equal(tensor, expected if layout == "NHWC" else expected.transpose(0, 3, 1, 2))
    assert tensor.dtype == expected.dtype and tensor.flags.c_contiguous and not np.shares_memory(tensor, image)
    if size_wh == transform.scaled_wh and colour != "grey":
        inner = pixels[0, : size_wh[1], : size_wh[0]]
        np.testing.assert_array_equal(inner, image if order == "bgr" else image[..., ::-1])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_known_pose_may_have_more_channels_than_an_image_of_opencv(layout: str) -> None:
    spec = InputSpec(layout=layout, dtype="float32", size_wh=(40, 30), pose_channels=600, **NORMALISED)
    tensor, _ = Preprocessor(spec, PreprocessConfig())(colour_image(), pose=np.full((600, 3), 20.0))
    expected = np.subtract((30, 20, 10), NORMALISED["mean"], dtype=np.float32) / np.array(NORMALISED["std"], np.float32)
    pixel = tensor[0, 5, 5] if layout == "NHWC" else tensor[0, :, 5, 5]
    np.testing.assert_allclose(pixel[:3], expected, rtol=1e-6)
    assert 0 < pixel[3:].min() <= pixel[3:].max() <= 1


def test_padding_is_grey_and_at_the_right_and_bottom() -> None:
    tensor, transform = Preprocessor(InputSpec(size_wh=(100, 100)), PreprocessConfig())(colour_image())
    assert transform.scaled_wh == (100, 75)
    assert PADDING == 128
    assert (tensor[0, 75:] == PADDING).all() and (tensor[0, :75] != PADDING).all()


def test_views_are_accepted_and_inputs_not_modified() -> None:
    image = np.random.default_rng(0).integers(0, 255, (480, 1280, 3), np.uint8)
    view, before = image[::2, ::2], image.copy()
    tensor, _ = Preprocessor(InputSpec(), PreprocessConfig())(view)
    again, _ = Preprocessor(InputSpec(), PreprocessConfig())(np.ascontiguousarray(view))
    assert np.array_equal(tensor, again) and np.array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (None, TypeError, "image: expected a NumPy array, got NoneType"),
        (np.zeros((4, 4, 3), np.float32), ValueError, "image: expected uint8, got float32"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "got \\(4, 4, 4\\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "not empty"),
        (np.zeros(4, np.uint8), ValueError, "got \\(4,\\)"),
    ],
)
def test_invalid_images_are_refused(image: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Preprocessor(InputSpec(), PreprocessConfig())(image)


def test_negative_strides_are_accepted() -> None:
    """A view with a negative stride (RGB view of BGR memory) gives the same result as a copy."""
    image = np.random.default_rng(1).integers(0, 255, (64, 80, 3), np.uint8)
    flipped, _ = Preprocessor(InputSpec(), PreprocessConfig())(image[..., ::-1], "rgb")
    straight, _ = Preprocessor(InputSpec(), PreprocessConfig())(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), "rgb")
    assert np.array_equal(flipped, straight)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_known_pose_follows_the_colours_as_gaussians(dtype: str) -> None:
    spec = InputSpec(dtype=dtype, size_wh=(80, 60), pose_channels=3, pose_sigma=4.0)
    image, pose = np.full((120, 160, 3), 77, np.uint8), np.array([[41, 21, 0.7], [100, 90, 0], [-500, 30, 1]])
    tensor, transform = Preprocessor(spec, PreprocessConfig())(image, pose=pose)
    alone, _ = Preprocessor(spec, PreprocessConfig())(image)
    assert tensor.shape == (1, 60, 80, 6) and tensor.dtype == dtype and not alone[..., 3:].any()
    np.testing.assert_array_equal(tensor[..., :3], alone[..., :3])
    assert not tensor[..., 4:].any(), "an absent keypoint, and one far outside"
    x, y = transform.to_input(pose[0, :2])
    expected = np.exp(-(((np.arange(80) - x) ** 2)[None] + ((np.arange(60) - y) ** 2)[:, None]) / (2 * 4.0**2))
    heatmap = tensor[0, :, :, 3] / (255 if dtype == "uint8" else 1)
    np.testing.assert_allclose(heatmap, expected, atol=0.51 / 255)


def test_a_network_without_pose_channels_ignores_a_pose() -> None:
    image = colour_image()
    prepare = Preprocessor(InputSpec(), PreprocessConfig())
    np.testing.assert_array_equal(prepare(image, pose=np.ones((17, 3)))[0], prepare(image)[0])


@pytest.mark.parametrize("shape", [(1, 5000, 3), (5000, 1, 3), (2, 8000)], ids=str)
def test_very_thin_images_keep_a_row_and_a_column(shape: tuple[int, ...]) -> None:
    tensor, transform = Preprocessor(InputSpec(), PreprocessConfig())(np.full(shape, 7, np.uint8))
    assert min(transform.scaled_wh) >= 1 and tensor[0, 0, 0].tolist() == [7, 7, 7]


def test_fine_stripes_become_grey_when_shrunk() -> None:
    """Stripes of 8 px, shrunk by 8: interpolation alone would show only the white part of each."""
    stripes = np.tile(np.repeat([0, 255, 0], [2, 4, 2]).astype(np.uint8), 64)
    tensor, _ = Preprocessor(InputSpec(), PreprocessConfig(short_side=32))(np.tile(stripes, (256, 1)))
    np.testing.assert_allclose(tensor[0, :32, :64].astype(int), 128, atol=2)
