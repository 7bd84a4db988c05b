"""Augmentation: several pictures side by side, each turned, scaled and moved by one affine map; then colours.

A scale is drawn by the size that a person is to have, evenly in its logarithm: every size is then seen as often,
whatever the sizes of the set.

References:
    Cao et al., OpenPose, arXiv:1812.08008, sec. 5 (scale by person size, rotation, flip).
    Bochkovskiy et al., YOLOv4, arXiv:2004.10934, sec. 3.3 (mosaic of four pictures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image
from pose_ros.config import check_settings, setting
from pose_ros.datasets import colour
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.labels import has_place
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.warp import GREY, Matrix, affine, warp
from pose_ros.skeleton import Skeleton

Tile = tuple[int, int, int, int]
"""x, y, width, height of the part of the result that one picture fills, px."""


@dataclass(frozen=True)
class AugmentConfig:
    """How pictures are changed. Probabilities are of one sample, sizes are in pixels of the result."""

    two_pictures: float = setting(0.35, "Probability of two pictures side by side.", low=0.0, high=1.0)
    four_pictures: float = setting(0.30, "Probability of a 2 x 2 mosaic.", low=0.0, high=1.0)
    person_low_px: float = setting(
        90.0, "Least size of a person; in a mosaic it shrinks with its part.", unit="px", low=4.0, high=4096.0
    )
    person_high_px: float = setting(330.0, "Largest size of a person, likewise.", unit="px", low=4.0, high=4096.0)
    most_zoom: float = setting(4.0, "Most that a picture is enlarged.", low=0.1, high=100.0)
    least_fill: float = setting(
        0.6, "Least size of a whole picture, as a fraction of what would fit its part.", low=0.0, high=1.0
    )
    least_person_px: float = setting(
        12.0, "People of whom less is in the picture are ignored.", unit="px", low=0.0, high=4096.0
    )
    rotation_deg: float = setting(20.0, "Standard deviation of the rotation.", unit="degrees", low=0.0, high=180.0)
    shift: float = setting(
        0.25, "Largest distance of a person's centre from the middle, as a fraction of the part.", low=0.0, high=1.0
    )
    flip: float = setting(0.5, "Probability of mirroring.", low=0.0, high=1.0)
    colour: float = setting(0.8, "Probability of a change of colours.", low=0.0, high=1.0)
    brightness: float = setting(0.15, "Largest change of brightness, as a fraction of white.", low=0.0, high=1.0)
    contrast: float = setting(0.3, "Largest change of contrast, as a fraction.", low=0.0, high=1.0)
    saturation: float = setting(0.4, "Largest change of saturation, as a fraction.", low=0.0, high=1.0)
    hue_deg: float = setting(12.0, "Largest turn of the colour circle.", unit="degrees", low=0.0, high=180.0)
    gamma: float = setting(0.3, "Largest natural logarithm of the gamma exponent.", low=0.0, high=2.0)
    grey: float = setting(0.05, "Probability of a picture without colour.", low=0.0, high=1.0)
    blur: float = setting(0.10, "Probability of blur.", low=0.0, high=1.0)
    blur_px: float = setting(1.8, "Largest standard deviation of the blur.", unit="px", low=0.1, high=20.0)
    motion_blur: float = setting(0.10, "Probability of motion blur.", low=0.0, high=1.0)
    motion_px: float = setting(10.0, "Greatest length of the motion.", unit="px", low=1.0, high=100.0)
    noise: float = setting(0.25, "Probability of noise.", low=0.0, high=1.0)
    noise_levels: float = setting(12.0, "Largest standard deviation of the noise, of 255.", low=0.0, high=100.0)
    jpeg: float = setting(0.10, "Probability of JPEG artefacts.", low=0.0, high=1.0)
    jpeg_quality: int = setting(25, "Lowest JPEG quality.", low=1, high=100)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.two_pictures + self.four_pictures > 1:
            raise ValueError("two_pictures, four_pictures: expected a sum of at most 1")
        if self.person_low_px > self.person_high_px:
            raise ValueError(f"person_low_px: expected at most {self.person_high_px}, got {self.person_low_px}")


@dataclass(frozen=True)
class Augmentation:
    """Makes one sample of one or several. Everything drawn comes from the generator that is handed in."""

    config: AugmentConfig
    skeleton: Skeleton

    def count(self, rng: np.random.Generator) -> int:
        """How many pictures the next sample is made of: 1, 2 or 4."""
        draw = rng.random()
        if draw < self.config.four_pictures:
            return 4
        return 2 if draw < self.config.four_pictures + self.config.two_pictures else 1

    def __call__(self, samples: Sequence[Sample], size_wh: tuple[int, int], rng: np.random.Generator) -> Sample:
        """Arrange 1, 2 or 4 samples, and change the colours of the whole.

        Raises:
            ValueError: If there is another number of samples.
        """
        canvas = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
        tiles = _tiles(len(samples), size_wh, rng)
        parts = [self._placed(sample, tile, canvas, rng) for sample, tile in zip(samples, tiles, strict=True)]
        joined = parts[0] if len(parts) == 1 else _joined(parts, tiles, canvas)
        image = recoloured(joined.image_bgr, self.config, rng)
        return Sample(image, joined.keypoints, joined.states, joined.boxes, joined.ignored, joined.people_map)

    def _placed(self, sample: Sample, tile: Tile, canvas: Image, rng: np.random.Generator) -> Sample:
        x, y, width, height = tile
        share = np.sqrt(width * height / (canvas.shape[0] * canvas.shape[1]))
        scale, from_xy = self._framing(sample, share, (width, height), rng)
        to_xy = (np.array([width, height]) - 1) / 2 + self.config.shift * rng.uniform(-1, 1, 2) * (width, height)
        degrees, mirrored = rng.normal() * self.config.rotation_deg, bool(rng.random() < self.config.flip)
        matrix = _covering(affine(scale, degrees, mirrored, from_xy, to_xy), sample.size_wh, (width, height))
        part = canvas[y : y + height, x : x + width]
        order = self.skeleton.flip_order
        return warp(sample, matrix, (width, height), order, least_px=self.config.least_person_px, onto=part)

    def _framing(
        self, sample: Sample, share: float, size_wh: tuple[int, int], rng: np.random.Generator
    ) -> tuple[float, DoubleArray]:
        """Scale, and the point of the sample that comes to the middle: a person's, or any of an empty picture."""
        config, known = self.config, has_place(sample.states).sum(axis=1)
        wanted_px = share * np.exp(rng.uniform(np.log(config.person_low_px), np.log(config.person_high_px)))
        fits = min(size_wh[0] / sample.size_wh[0], size_wh[1] / sample.size_wh[1])
        if known.sum() == 0:
            return min(fits * np.exp(rng.uniform(0, 1)), config.most_zoom), rng.random(2) * sample.size_wh
        box = sample.boxes[rng.choice(len(known), p=known / known.sum())].astype(np.float64)
        scale = wanted_px / max((box[2:] - box[:2]).max(), 1.0)
        return float(np.clip(scale, config.least_fill * fits, config.most_zoom)), (box[:2] + box[2:]) / 2


@dataclass(frozen=True)
class TrainingStream:
    """Endless augmented samples, each fixed by the seed, the epoch and its index; goes to worker processes as it is.

    Attributes:
        data: Where pictures are drawn from.
        augmentation: What is done to them.
        size_wh: Size of the samples.
        seed: Of everything.
    """

    data: Mixture
    augmentation: Augmentation
    size_wh: tuple[int, int]
    seed: int = 0

    def sample(self, epoch: int, index: int) -> Sample:
        """The sample of an index in an epoch."""
        rng = np.random.default_rng([self.seed, epoch, index])
        pictures = [self.data.draw(rng) for _ in range(self.augmentation.count(rng))]
        return self.augmentation(pictures, self.size_wh, rng)


def fitted(sample: Sample, size_wh: tuple[int, int], skeleton: Skeleton) -> Sample:
    """The whole picture in the middle of the result, as large as fits: for validation."""
    size = np.array(sample.size_wh)
    scale = float((np.array(size_wh) / size).min())
    matrix = affine(scale, 0.0, False, (size - 1) / 2, (np.array(size_wh) - 1) / 2)
    return warp(sample, matrix, size_wh, skeleton.flip_order)


def recoloured(image_bgr: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Change colours, sharpness and grain, as the configuration says."""
    is_grey = rng.random() < config.grey
    if rng.random() < config.colour or is_grey:
        brightness, contrast, saturation, hue, gamma = rng.uniform(-1, 1, 5)
        vividness = 0.0 if is_grey else 1 + config.saturation * saturation
        matrix = colour.colour_matrix(
            config.brightness * brightness, 1 + config.contrast * contrast, vividness, config.hue_deg * hue
        )
        image_bgr = colour.gamma(colour.recolour(image_bgr, matrix), float(np.exp(config.gamma * gamma)))
    if rng.random() < config.blur:
        image_bgr = colour.blur(image_bgr, rng.uniform(0.1, config.blur_px))
    if rng.random() < config.motion_blur:
        image_bgr = colour.motion_blur(image_bgr, rng.uniform(1, config.motion_px), rng.uniform(0, 180))
    if rng.random() < config.noise:
        image_bgr = colour.noise(image_bgr, rng.uniform(0, config.noise_levels), rng)
    if rng.random() < config.jpeg:
        image_bgr = colour.jpeg(image_bgr, int(rng.integers(config.jpeg_quality, 101)))
    return image_bgr


def _covering(matrix: Matrix, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> Matrix:
    """The map moved so far that the picture covers its part, or lies within it if it is smaller."""
    size, goal = np.array(from_wh), np.array(to_wh)
    centre, extent = matrix @ [*(size - 1) / 2, 1], np.sqrt(matrix[:, :2] ** 2 @ size**2)
    slack = np.abs(goal - extent) / 2
    moved: Matrix = matrix.copy()
    moved[:, 2] += np.clip(centre, (goal - 1) / 2 - slack, (goal - 1) / 2 + slack) - centre
    return moved


def _tiles(count: int, size_wh: tuple[int, int], rng: np.random.Generator) -> list[Tile]:
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


def _joined(parts: Sequence[Sample], tiles: Sequence[Tile], canvas: Image) -> Sample:
    """One sample of parts whose images are in the canvas already."""
    corners = [np.array(tile[:2], np.float32) for tile in tiles]
    keypoints = [
        np.where(has_place(part.states)[..., None], part.keypoints + corner, 0)
        for part, corner in zip(parts, corners, strict=True)
    ]
    boxes = [part.boxes + np.tile(corner, 2) for part, corner in zip(parts, corners, strict=True)]
    return Sample(
        canvas,
        np.concatenate(keypoints).astype(np.float32),
        np.concatenate([part.states for part in parts]),
        np.concatenate(boxes).astype(np.float32),
        _joined_ignored(parts, tiles, canvas.shape[:2]),
        _joined_people(parts, tiles, canvas.shape[:2]),
    )


def _joined_ignored(parts: Sequence[Sample], tiles: Sequence[Tile], shape_hw: tuple[int, ...]) -> BoolArray | None:
    if all(part.ignored is None for part in parts):
        return None
    ignored = np.zeros(shape_hw, bool)
    for part, (x, y, width, height) in zip(parts, tiles, strict=True):
        if part.ignored is not None:
            ignored[y : y + height, x : x + width] = part.ignored
    return ignored


def _joined_people(parts: Sequence[Sample], tiles: Sequence[Tile], shape_hw: tuple[int, ...]) -> Image | None:
    """None where the people of a part have no masks, or there are more than numbers."""
    if any(part.people_map is None and len(part.boxes) for part in parts) or sum(len(p.boxes) for p in parts) > 255:
        return None
    people_map, count = np.zeros(shape_hw, np.uint8), 0
    for part, (x, y, width, height) in zip(parts, tiles, strict=True):
        if part.people_map is not None:
            shifted = part.people_map + np.uint8(count)
            people_map[y : y + height, x : x + width] = np.where(part.people_map > 0, shifted, 0)
        count += len(part.boxes)
    return people_map
