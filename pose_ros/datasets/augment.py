"""Augment training samples: mosaics of several images, one affine map per image, then changes of colour.

The scale of an image follows from a random target size of one of its people. The logarithm of the target size is
uniformly distributed. Training thus sees all sizes equally often, whatever the sizes in the data set.

References:
    Cao et al., OpenPose, arXiv:1812.08008, sec. 5 (scale by person size, rotation, flip).
    Bochkovskiy et al., YOLOv4, arXiv:2004.10934, sec. 3.3 (mosaic of four images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image
from pose_ros.datasets import colour
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.labels import has_position
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.warp import GREY, Matrix, affine, warp
from pose_ros.settings import CheckedSettings, setting
from pose_ros.skeleton import Skeleton

Tile = tuple[int, int, int, int]
"""x, y, width and height of the area of the result that one image fills, px."""


@dataclass(frozen=True)
class AugmentConfig(CheckedSettings):
    """Settings of the augmentation. Probabilities are per sample, sizes are in pixels of the result."""

    two_pictures: float = setting(0.35, "Probability of a mosaic of two images.", low=0.0, high=1.0)
    four_pictures: float = setting(0.30, "Probability of a 2 x 2 mosaic of four images.", low=0.0, high=1.0)
    person_low_px: float = setting(
        90.0,
        "Smallest size of a person (longer side of the box); a mosaic scales it with the tile.",
        unit="px",
        low=4.0,
        high=4096.0,
    )
    person_high_px: float = setting(
        330.0,
        "Largest size of a person (longer side of the box); a mosaic scales it with the tile.",
        unit="px",
        low=4.0,
        high=4096.0,
    )
    most_zoom: float = setting(4.0, "Largest scale of an image.", low=0.1, high=100.0)
    least_fill: float = setting(
        0.6, "Smallest scale of an image, as a fraction of the scale that fits its tile.", low=0.0, high=1.0
    )
    least_person_px: float = setting(
        12.0, "Smallest visible size of a person; smaller people are ignored.", unit="px", low=0.0, high=4096.0
    )
    rotation_deg: float = setting(20.0, "Standard deviation of the rotation.", unit="degrees", low=0.0, high=180.0)
    shift: float = setting(
        0.25,
        "Largest offset of a person's centre from the centre of the tile, as a fraction of the tile.",
        low=0.0,
        high=1.0,
    )
    flip: float = setting(0.5, "Probability of mirroring.", low=0.0, high=1.0)
    colour: float = setting(0.8, "Probability of a change of colours.", low=0.0, high=1.0)
    brightness: float = setting(0.15, "Largest change of brightness, as a fraction of white.", low=0.0, high=1.0)
    contrast: float = setting(0.3, "Largest change of contrast, as a fraction.", low=0.0, high=1.0)
    saturation: float = setting(0.4, "Largest change of saturation, as a fraction.", low=0.0, high=1.0)
    hue_deg: float = setting(12.0, "Largest rotation of the hue.", unit="degrees", low=0.0, high=180.0)
    gamma: float = setting(0.3, "Largest natural logarithm of the gamma exponent.", low=0.0, high=2.0)
    grey: float = setting(0.05, "Probability of an image without colour.", low=0.0, high=1.0)
    blur: float = setting(0.10, "Probability of blur.", low=0.0, high=1.0)
    blur_px: float = setting(1.8, "Largest standard deviation of the blur.", unit="px", low=0.1, high=20.0)
    motion_blur: float = setting(0.10, "Probability of motion blur.", low=0.0, high=1.0)
    motion_px: float = setting(10.0, "Largest length of the motion blur.", unit="px", low=1.0, high=100.0)
    noise: float = setting(0.25, "Probability of noise.", low=0.0, high=1.0)
    noise_levels: float = setting(
        12.0, "Largest standard deviation of the noise, in grey levels (0 to 255).", low=0.0, high=100.0
    )
    jpeg: float = setting(0.10, "Probability of JPEG artefacts.", low=0.0, high=1.0)
    jpeg_quality: int = setting(25, "Lowest JPEG quality.", low=1, high=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.two_pictures + self.four_pictures > 1:
            total = self.two_pictures + self.four_pictures
            raise ValueError(f"two_pictures, four_pictures: expected a sum of at most 1, got {total:g}")
        if self.person_low_px > self.person_high_px:
            raise ValueError(
                f"person_low_px: expected at most {self.person_high_px} (person_high_px), got {self.person_low_px}"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation of 1, 2 or 4 samples to one sample.

    All random numbers come from the generator that the caller passes.

    Attributes:
        config: Settings of the augmentation.
        skeleton: Skeleton of the samples.
    """

    config: AugmentConfig
    skeleton: Skeleton

    def draw_count(self, rng: np.random.Generator) -> int:
        """Draw the number of images of the next sample: 1, 2 or 4."""
        value = rng.random()
        if value < self.config.four_pictures:
            return 4
        return 2 if value < self.config.four_pictures + self.config.two_pictures else 1

    def __call__(self, samples: Sequence[Sample], size_wh: tuple[int, int], rng: np.random.Generator) -> Sample:
        """Arrange 1, 2 or 4 samples in one image, and change its colours.

        Raises:
            ValueError: If the number of samples is not 1, 2 or 4.
        """
        canvas = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
        tiles = _draw_tiles(len(samples), size_wh, rng)
        placed = [self._place_sample(sample, tile, canvas, rng) for sample, tile in zip(samples, tiles, strict=True)]
        joined = placed[0] if len(placed) == 1 else _join(placed, tiles, canvas)
        image = change_colours(joined.image_bgr, self.config, rng)
        return Sample(image, joined.keypoints, joined.states, joined.boxes, joined.ignored, joined.people_map)

    def _place_sample(self, sample: Sample, tile: Tile, canvas: Image, rng: np.random.Generator) -> Sample:
        x, y, width, height = tile
        tile_scale = np.sqrt(width * height / (canvas.shape[0] * canvas.shape[1]))
        scale, from_xy = self._draw_framing(sample, tile_scale, (width, height), rng)
        to_xy = (np.array([width, height]) - 1) / 2 + self.config.shift * rng.uniform(-1, 1, 2) * (width, height)
        degrees, mirrored = rng.normal() * self.config.rotation_deg, bool(rng.random() < self.config.flip)
        matrix = _cover_tile(affine(scale, degrees, mirrored, from_xy, to_xy), sample.size_wh, (width, height))
        out = canvas[y : y + height, x : x + width]
        order = self.skeleton.flip_order
        return warp(sample, matrix, (width, height), order, min_size_px=self.config.least_person_px, out=out)

    def _draw_framing(
        self, sample: Sample, tile_scale: float, size_wh: tuple[int, int], rng: np.random.Generator
    ) -> tuple[float, DoubleArray]:
        """Draw the scale, and the point of the sample that moves to the centre of the tile.

        The point is the centre of a person, or any point of an image without people. A person is chosen in proportion
        to the number of keypoints with a position.
        """
        config, counts = self.config, has_position(sample.states).sum(axis=1)
        target_px = tile_scale * np.exp(rng.uniform(np.log(config.person_low_px), np.log(config.person_high_px)))
        fit_scale = min(size_wh[0] / sample.size_wh[0], size_wh[1] / sample.size_wh[1])
        if counts.sum() == 0:
            return min(fit_scale * np.exp(rng.uniform(0, 1)), config.most_zoom), rng.random(2) * sample.size_wh
        box = sample.boxes[rng.choice(len(counts), p=counts / counts.sum())].astype(np.float64)
        scale = target_px / max((box[2:] - box[:2]).max(), 1.0)
        return float(np.clip(scale, config.least_fill * fit_scale, config.most_zoom)), (box[:2] + box[2:]) / 2


@dataclass(frozen=True)
class TrainingStream:
    """Endless stream of augmented samples. Seed, epoch and index determine a sample completely.

    Can be pickled and sent to worker processes.

    Attributes:
        data: Data sets that images are drawn from.
        augmentation: Augmentation of the images.
        size_wh: Width and height of the samples, px.
        seed: Seed of all random numbers.
    """

    data: Mixture
    augmentation: Augmentation
    size_wh: tuple[int, int]
    seed: int = 0

    def sample(self, epoch: int, index: int) -> Sample:
        """Make the sample with an index in an epoch."""
        rng = np.random.default_rng([self.seed, epoch, index])
        samples = [self.data.draw(rng) for _ in range(self.augmentation.draw_count(rng))]
        return self.augmentation(samples, self.size_wh, rng)


def fit_sample(sample: Sample, size_wh: tuple[int, int], skeleton: Skeleton) -> Sample:
    """Scale the whole image to fit the result, and centre it. Used for validation."""
    size = np.array(sample.size_wh)
    scale = float((np.array(size_wh) / size).min())
    matrix = affine(scale, 0.0, False, (size - 1) / 2, (np.array(size_wh) - 1) / 2)
    return warp(sample, matrix, size_wh, skeleton.flip_order)


def change_colours(image_bgr: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Change colours, sharpness and noise at random, within the limits of the configuration."""
    is_grey = rng.random() < config.grey
    if rng.random() < config.colour or is_grey:
        brightness, contrast, saturation, hue, gamma = rng.uniform(-1, 1, 5)
        vividness = 0.0 if is_grey else 1 + config.saturation * saturation
        matrix = colour.colour_matrix(
            config.brightness * brightness, 1 + config.contrast * contrast, vividness, config.hue_deg * hue
        )
        image_bgr = colour.apply_gamma(colour.recolour(image_bgr, matrix), float(np.exp(config.gamma * gamma)))
    if rng.random() < config.blur:
        image_bgr = colour.blur(image_bgr, rng.uniform(0.1, config.blur_px))
    if rng.random() < config.motion_blur:
        image_bgr = colour.motion_blur(image_bgr, rng.uniform(1, config.motion_px), rng.uniform(0, 180))
    if rng.random() < config.noise:
        image_bgr = colour.add_noise(image_bgr, rng.uniform(0, config.noise_levels), rng)
    if rng.random() < config.jpeg:
        image_bgr = colour.compress_jpeg(image_bgr, int(rng.integers(config.jpeg_quality, 101)))
    return image_bgr


def _cover_tile(matrix: Matrix, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> Matrix:
    """Move the image so that it covers its tile, or lies inside the tile if the image is smaller."""
    size, tile_size = np.array(from_wh), np.array(to_wh)
    centre, extent = matrix @ [*(size - 1) / 2, 1], np.sqrt(matrix[:, :2] ** 2 @ size**2)
    slack = np.abs(tile_size - extent) / 2
    moved: Matrix = matrix.copy()
    moved[:, 2] += np.clip(centre, (tile_size - 1) / 2 - slack, (tile_size - 1) / 2 + slack) - centre
    return moved


def _draw_tiles(count: int, size_wh: tuple[int, int], rng: np.random.Generator) -> list[Tile]:
    width, height = size_wh
    x, y = (round(size * rng.uniform(0.4, 0.6)) for size in size_wh)
    if count == 1:
        return [(0, 0, width, height)]
    if count == 2 and rng.random() < 0.5:
        return [(0, 0, x, height), (x, 0, width - x, height)]
    if count == 2:
        return [(0, 0, width, y), (0, y, width, height - y)]
    if count == 4:
        return [(0, 0, x, y), (x, 0, width - x, y), (0, y, x, height - y), (x, y, width - x, height - y)]
    raise ValueError(f"samples: expected 1, 2 or 4, got {count}")


def _join(samples: Sequence[Sample], tiles: Sequence[Tile], canvas: Image) -> Sample:
    """Join the labels of samples whose images are already in the canvas."""
    corners = [np.array(tile[:2], np.float32) for tile in tiles]
    keypoints = [
        np.where(has_position(sample.states)[..., None], sample.keypoints + corner, 0)
        for sample, corner in zip(samples, corners, strict=True)
    ]
    boxes = [sample.boxes + np.tile(corner, 2) for sample, corner in zip(samples, corners, strict=True)]
    return Sample(
        canvas,
        np.concatenate(keypoints).astype(np.float32),
        np.concatenate([sample.states for sample in samples]),
        np.concatenate(boxes).astype(np.float32),
        _join_ignored(samples, tiles, canvas.shape[:2]),
        _join_people_maps(samples, tiles, canvas.shape[:2]),
    )


def _join_ignored(samples: Sequence[Sample], tiles: Sequence[Tile], shape_hw: tuple[int, ...]) -> BoolArray | None:
    if all(sample.ignored is None for sample in samples):
        return None
    ignored = np.zeros(shape_hw, bool)
    for sample, (x, y, width, height) in zip(samples, tiles, strict=True):
        if sample.ignored is not None:
            ignored[y : y + height, x : x + width] = sample.ignored
    return ignored


def _join_people_maps(samples: Sequence[Sample], tiles: Sequence[Tile], shape_hw: tuple[int, ...]) -> Image | None:
    """Join the people maps. None if a sample with people has no map, or if there are more than 255 people."""
    if (
        any(sample.people_map is None and len(sample.boxes) for sample in samples)
        or sum(len(p.boxes) for p in samples) > 255
    ):
        return None
    people_map, count = np.zeros(shape_hw, np.uint8), 0
    for sample, (x, y, width, height) in zip(samples, tiles, strict=True):
        if sample.people_map is not None:
            shifted = sample.people_map + np.uint8(count)
            people_map[y : y + height, x : x + width] = np.where(sample.people_map > 0, shifted, 0)
        count += len(sample.boxes)
    return people_map
