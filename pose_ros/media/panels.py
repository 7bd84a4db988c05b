"""Draw the fields of a network and the result of a decoder: one panel each for fields, peaks and people."""

from __future__ import annotations

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, Image, SizeWH
from pose_ros.config import DecoderConfig, OverlayConfig
from pose_ros.decoder import complete_config
from pose_ros.decoder.peaks import find_keypoint_peaks
from pose_ros.fields import Fields, ModelSpec
from pose_ros.media.overlay import SIDE_COLOURS, draw
from pose_ros.media.sheet import BAR_PX, add_title
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform
from pose_ros.to_image import to_image

PANEL_HEIGHT = 480
_STRENGTH = 0.75


def draw_panels(
    fields: Fields, people: People, spec: ModelSpec, config: DecoderConfig, background: Image | None = None
) -> Image:
    """Draw the panels of ``make_panels`` side by side, (PANEL_HEIGHT, any, 3) BGR."""
    return np.hstack(make_panels(fields, people, spec, config, background))


def make_panels(
    fields: Fields,
    people: People,
    spec: ModelSpec,
    config: DecoderConfig,
    background: Image | None = None,
    height: int = PANEL_HEIGHT,
) -> list[Image]:
    """Draw one panel for each field, one for the peaks and one for the people.

    Args:
        fields: Fields of one image.
        people: People that a decoder found in the fields, in network-input pixels. Their masks have the grid
            of the fields.
        spec: Description of the model.
        config: Settings of the peak search.
        background: Network input, (H, W, 3) BGR. None = a dark image of the size of the input.
        height: Height of a panel with its title, pixels.

    Returns:
        The panels, (height, W, 3) BGR each, all of one width.
    """
    canvas = background
    if canvas is None:
        input_width, input_height = network_input_wh(fields, people, spec)
        canvas = np.full((input_height, input_width, 3), 40, np.uint8)
    images = {name: _field_image(name, array, fields) for name, array in vars(fields).items() if array is not None}
    named = {name: _blend(canvas, image, spec) for name, image in images.items() if image is not None}
    if fields.heatmaps is not None:
        named["peaks"] = _draw_peaks(canvas, fields, spec, config)
    placed = to_image(people, spec, ImageTransform.unchanged((canvas.shape[1], canvas.shape[0])))
    named["people"] = draw(canvas, placed, spec.skeleton, OverlayConfig(ids=True))
    return [_make_panel(name.replace("_", " "), panel, height) for name, panel in named.items()]


def network_input_wh(fields: Fields, people: People, spec: ModelSpec) -> SizeWH:
    """Return width and height of the network input, pixels, from the grid of the fields.

    Fields without a grid leave it open. Then it is the size in the description, or one that shows the people.
    """
    for array in vars(fields).values():
        if array is not None and np.ndim(array) == 3:
            rows, cols = np.shape(array)[1:]
            return round(cols * spec.stride), round(rows * spec.stride)
    if spec.input.size_wh is not None:
        return spec.input.size_wh
    short = spec.input.short_side
    width, height = people.keypoints.max(axis=(0, 1), initial=short - 1).clip(max=4 * short).astype(int) + 1
    return int(width), int(height)


def _field_image(name: str, array: AnyArray, fields: Fields) -> Image | None:
    """Make an image of one field, (H, W, 4) BGR and opacity. None for fields that are not useful to look at."""
    array = np.nan_to_num(np.asarray(array, np.float32), posinf=0, neginf=0)
    if name in ("heatmaps", "centres", "segmentation"):
        value = np.clip(array[:-1] if name == "heatmaps" and _has_background(array) else array, 0, 1).max(axis=0)
        colours = cv2.applyColorMap(np.uint8(255 * value), cv2.COLORMAP_INFERNO)
        return np.dstack([colours, np.uint8(255 * np.sqrt(value))])
    if name == "pafs":
        pairs = array.reshape(-1, 2, *array.shape[1:])
        strongest = np.linalg.norm(pairs, axis=1).argmax(axis=0)
        x, y = np.take_along_axis(pairs, strongest[None, None], axis=0)[0]
        return _direction_image(x, y, 1.0)
    if name == "tags" and fields.heatmaps is not None:
        return _tag_image(array, np.clip(np.asarray(fields.heatmaps, np.float32), 0, 1))
    return None


def _has_background(heatmaps: FloatArray) -> bool:
    """Whether the last channel is a background channel (1 - max), so high nearly everywhere."""
    return bool(np.median(heatmaps[-1]) > 0.5)


def _direction_image(x: AnyArray, y: AnyArray, full: float) -> Image:
    """Make an image of vectors: direction as hue, length as opacity."""
    length = np.minimum(np.hypot(x, y) / full, 1)
    hue = np.uint8((np.arctan2(y, x) / np.pi + 1) * 89.5)
    solid = np.full_like(hue, 255)
    colours = cv2.cvtColor(np.dstack([hue, solid, solid]), cv2.COLOR_HSV2BGR)
    return np.dstack([colours, np.uint8(255 * length)])


def _tag_image(tags: FloatArray, heatmaps: FloatArray) -> Image:
    """Make an image of tags: first tag of the most likely keypoint as colour, its confidence as opacity."""
    first = tags[:: max(1, len(tags) // len(heatmaps))][: len(heatmaps)]
    most_likely = heatmaps[: len(first)].argmax(axis=0)[None]
    tag = np.take_along_axis(first, most_likely, axis=0)[0]
    value = np.take_along_axis(heatmaps, most_likely, axis=0)[0]
    low, high = np.percentile(tag[value > 0.1], [2, 98]) if (value > 0.1).any() else (0, 1)
    scaled = np.clip((tag - low) / max(high - low, 1e-6), 0, 1)
    colours = cv2.applyColorMap(np.uint8(255 * scaled), cv2.COLORMAP_TURBO)
    return np.dstack([colours, np.uint8(255 * np.sqrt(value))])


def _blend(canvas: Image, field_image: Image, spec: ModelSpec) -> Image:
    """Blend a field image over the canvas. Each cell is drawn at the position that the model defines."""
    scale = np.array([[spec.stride, 0, spec.origin], [0, spec.stride, spec.origin]], np.float64)
    size_wh = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpAffine(field_image, scale, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    opacity = warped[..., 3:] / np.float32(255) * _STRENGTH
    blended = canvas * (1 - opacity) + warped[..., :3] * opacity
    return np.rint(blended).astype(np.uint8)


def _draw_peaks(canvas: Image, fields: Fields, spec: ModelSpec, config: DecoderConfig) -> Image:
    _, peaks = find_keypoint_peaks(fields, len(spec.skeleton), complete_config(spec, config))
    image = canvas.copy()
    for k, count in enumerate(peaks.counts):
        colour = SIDE_COLOURS[spec.skeleton.side(k)]
        for x, y in np.rint(peaks.xy[k, :count] * spec.stride + spec.origin).astype(int).tolist():
            cv2.circle(image, (x, y), max(2, canvas.shape[0] // 120), colour, -1, cv2.LINE_AA)
    return image


def _make_panel(title: str, image: Image, height: int) -> Image:
    width = max(1, round(image.shape[1] * (height - BAR_PX) / image.shape[0]))
    return add_title(cv2.resize(image, (width, height - BAR_PX), interpolation=cv2.INTER_AREA), title)
