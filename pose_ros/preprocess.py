"""Convert images to the input of a network, and convert positions exactly in both directions.

The image keeps its aspect ratio. It is scaled to fit, placed at the top left, and padded at the right and bottom.
Scaling follows the pixel-centre convention: pixel x of the image lies at (x + 0.5) s - 0.5 of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, ByteArray, DoubleArray, Image, SizeWH
from pose_ros.config import LARGEST_SIDE, PreprocessConfig
from pose_ros.fields import InputSpec
from pose_ros.once import Once

PADDING = 128
"""Grey level of the padding. It is near the mean of every network, so the border makes no edge."""
FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
"""Short sides of ``auto``, relative to the preferred one of the model."""


@dataclass(frozen=True)
class ImageTransform:
    """Mapping between the pixels of an image and the pixels of a network input.

    Attributes:
        image_wh: Width and height of the image, pixels.
        scaled_wh: Width and height of the scaled image inside the network input, pixels.
        input_wh: Width and height of the network input including padding, pixels.
    """

    image_wh: SizeWH
    scaled_wh: SizeWH
    input_wh: SizeWH

    @classmethod
    def unchanged(cls, size_wh: SizeWH) -> ImageTransform:
        """Make the mapping of an image that already has the size of the network input."""
        return cls(size_wh, size_wh, size_wh)

    @property
    def scale_xy(self) -> DoubleArray:
        """(2,) input pixels per image pixel, in x and y."""
        return np.divide(self.scaled_wh, self.image_wh)

    def to_input(self, xy: npt.ArrayLike) -> DoubleArray:
        """Convert image pixels (..., 2) to network-input pixels."""
        return (np.asarray(xy) + 0.5) * self.scale_xy - 0.5

    def to_image(self, xy: npt.ArrayLike) -> DoubleArray:
        """Convert network-input pixels (..., 2) to image pixels."""
        return (np.asarray(xy) + 0.5) / self.scale_xy - 0.5


def _round_up(value: float, multiple: int) -> int:
    return max(multiple, -int(-value // multiple) * multiple)


def fit(image_wh: SizeWH, spec: InputSpec, config: PreprocessConfig) -> ImageTransform:
    """Choose the input size for an image size.

    For a network of fixed size, the scaled image is as large as its aspect ratio allows. For other networks, the
    shorter side is the configured one, or less if the longer side would exceed its limit. The sides are then rounded up
    to the multiple of the network.

    Args:
        image_wh: Width and height of the image, pixels.
        spec: Input of the network.
        config: Sizes of the network input.
    """
    width, height = image_wh
    if spec.size_wh is not None:
        scale = min(spec.size_wh[0] / width, spec.size_wh[1] / height)
    else:
        short = config.short_side or spec.short_side
        scale = min(short / min(image_wh), config.long_side / max(image_wh))
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    padded = (_round_up(scaled[0], spec.multiple), _round_up(scaled[1], spec.multiple))
    return ImageTransform(image_wh, scaled, spec.size_wh or padded)


def describe_cut(image_wh: SizeWH, spec: InputSpec, config: PreprocessConfig) -> str:
    """Describe in one line how the limit of the long side cuts the short side of an image. Empty = it does not.

    Args:
        image_wh: Width and height of the image, pixels.
        spec: Input of the network.
        config: Sizes of the network input.
    """
    wanted, most = config.short_side or spec.short_side, config.long_side
    possible = round(most * min(image_wh) / max(image_wh))
    if spec.size_wh is not None or possible >= wanted:
        return ""
    fix = "raise max_long_side" if config.max_long_side else "set short_side, or raise max_long_side"
    return (
        f"preprocess.max_long_side: {most} px cuts the short side of an image of {image_wh[0]} x {image_wh[1]} px from "
        f"{wanted} to {possible} px; {'use parts of the image' if most == LARGEST_SIDE else fix}"
    )


def check_image(image: AnyArray) -> None:
    """Check that an array is an image that this library accepts.

    Raises:
        TypeError: If the image is not an array.
        ValueError: If the image is not uint8 of shape (H, W, 3) or (H, W), or is empty.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image: expected a NumPy array, got {type(image).__name__} (an unreadable file gives None)")
    if image.dtype != np.uint8:
        raise ValueError(f"image: expected uint8, got {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise ValueError(f"image: expected shape (H, W, 3) or (H, W), not empty, got {image.shape}")


class Preprocessor:
    """Converter from images to the input tensor of one network. Every image is converted alike."""

    def __init__(self, spec: InputSpec, config: PreprocessConfig, notify: Once | None = None) -> None:
        """Prepare the conversion.

        Args:
            spec: Input of the network.
            config: Sizes of the network input.
            notify: Receives one line of text if the limit of the long side cuts the short side. None = no texts.
        """
        self.spec = spec
        self.config = config
        self._notify = notify
        pixels = np.repeat(np.arange(256, dtype=np.float32)[:, None], spec.channels, axis=1)
        self._table = np.ascontiguousarray(_normalise(pixels, spec).T)  # (C, 256), value of each pixel

    def __call__(
        self, image: Image, colour: str = "bgr", pose: AnyArray | None = None
    ) -> tuple[AnyArray, ImageTransform]:
        """Scale and pad one image.

        Args:
            image: (H, W, 3) uint8, or (H, W) grey. Not modified.
            colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
            pose: (K, 3) x and y of a known pose in pixels of the image, and whether each keypoint is present. None =
                no keypoint. Only used for a network with ``pose_channels``.

        Returns:
            The tensor with its batch axis, (1, h, w, C) or (1, C, h, w), and the transform.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If the image is not uint8 of that shape, or is empty.
        """
        check_image(image)
        image_wh = image.shape[1], image.shape[0]
        transform = fit(image_wh, self.spec, self.config)
        if self._notify is not None and (cut := describe_cut(image_wh, self.spec, self.config)):
            self._notify(cut, "max_long_side")
        canvas = np.empty((transform.input_wh[1], transform.input_wh[0], 3), np.uint8)
        width, height = transform.scaled_wh
        canvas[height:], canvas[:height, width:] = PADDING, PADDING
        _resize(image, canvas[:height, :width], is_swapped=colour != self.spec.colour)
        if pose is not None:
            pose = np.column_stack([transform.to_input(pose[:, :2]), pose[:, 2]])
        return self._to_tensor(add_pose(canvas, pose, self.spec)), transform

    def _to_tensor(self, canvas: ByteArray) -> AnyArray:
        """Convert the values and the layout. A table replaces the arithmetic: a pixel has only 256 values."""
        is_colour, is_float = canvas.shape[2] == 3, self.spec.dtype == "float32"
        if self.spec.layout == "NHWC":
            if is_float and is_colour:
                return cv2.LUT(canvas, self._table.T[:, None].copy())[None]
            values = canvas.astype(self.spec.dtype, copy=False)
            return (_normalise(values, self.spec) if is_float else values)[None]
        tensor = np.empty((1, canvas.shape[2], *canvas.shape[:2]), self.spec.dtype)
        planes = cv2.split(canvas) if is_colour else canvas.transpose(2, 0, 1)  # OpenCV limits the number of channels
        for channel, plane in enumerate(planes):
            if is_float:
                cv2.LUT(plane, self._table[channel], dst=tensor[0, channel])
            else:
                tensor[0, channel] = plane
        return tensor


def _normalise(values: AnyArray, spec: InputSpec) -> AnyArray:
    """Subtract the mean and divide by the std, (..., C) float32, in place."""
    values -= np.array(spec.channel_mean, np.float32)
    values /= np.array(spec.channel_std, np.float32)
    return values


def add_pose(image: ByteArray, pose: AnyArray | None, spec: InputSpec) -> ByteArray:
    """Append the heatmaps of a known pose to an image, if the network takes them.

    Args:
        image: (H, W, 3) uint8.
        pose: (K, 3) x, y in pixels, and whether each keypoint is present. None = no keypoint.
        spec: Input of the network.

    Returns:
        (H, W, C) uint8. The image itself if the network takes the image alone.
    """
    if not spec.pose_channels:
        return image
    height, width = image.shape[:2]
    joined = np.zeros((height, width, spec.channels), np.uint8)
    joined[..., :3] = image
    if pose is not None:
        scale = -0.5 / spec.pose_sigma**2
        along_x = np.exp(scale * (np.arange(width)[:, None] - pose[:, 0]) ** 2)
        along_y = np.exp(scale * (np.arange(height)[:, None] - pose[:, 1]) ** 2) * (255 * (pose[:, 2] > 0))
        joined[..., 3:] = np.rint(along_y[:, None].astype(np.float32) * along_x.astype(np.float32))
    return joined


def _resize(image: AnyArray, target: ByteArray, is_swapped: bool) -> None:
    """Scale into the target without aliasing, at low cost: halve by averaging while possible, then interpolate.

    Args:
        image: (H, W, 3) or grey (H, W) uint8.
        target: (h, w, 3) uint8, written.
        is_swapped: Whether the channels of the target have the opposite order.
    """
    size_wh = target.shape[1], target.shape[0]
    while image.shape[1] >= 2 * size_wh[0] and image.shape[0] >= 2 * size_wh[1]:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if image.ndim == 3 and not is_swapped:
        cv2.resize(image, size_wh, dst=target, interpolation=cv2.INTER_LINEAR)
        return
    if image.shape[1::-1] != size_wh:
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_BGR2RGB, dst=target)


def make_preprocessors(spec: InputSpec, config: PreprocessConfig, notify: Once | None = None) -> list[Preprocessor]:
    """Make the converter of each input size: one, or one for each of ``scales``, or of ``short_side: auto``.

    Args:
        spec: Input of the network.
        config: Sizes of the network input.
        notify: Receives one line of text if the limit of the long side cuts the short side. None = no texts.

    Raises:
        ValueError: If there are several scales, but the network has only one input size.
    """
    if spec.size_wh is None:
        return [Preprocessor(spec, view, notify) for view in config.views(ladder(spec))]
    if config.scales != (0,):
        width, height = spec.size_wh
        raise ValueError(
            f"preprocess.scales: expected [0] for a network with the only input size {height} x {width} px, got "
            f"{list(config.scales)}; export it with --dynamic"
        )
    return [Preprocessor(spec, config.views()[0], notify)]


def ladder(spec: InputSpec) -> tuple[int, ...]:
    """Return the short sides that ``short_side: auto`` chooses from, px: few, because a runtime prepares each shape."""
    sides = {max(1, round(factor * spec.short_side / spec.multiple)) * spec.multiple for factor in FACTORS}
    return tuple(sorted(sides))
