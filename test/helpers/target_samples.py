"""Make small samples for the tests of targets."""

from dataclasses import replace

import numpy as np

from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.fields import HeadSpec, ModelSpec
from pose_ros.skeleton import Skeleton

SPEC = ModelSpec(
    "test",
    Skeleton("triple", ("a", "b", "c"), ((0, 1), (1, 2))),
    stride=8,
    origin=3.5,
    heads=tuple(HeadSpec(name, name) for name in ("heatmaps", "pafs", "tags")),
)
PERSONLAB = ("heatmaps", "short_offsets", "mid_offsets", "long_offsets", "segmentation")
CENTERNET = ("heatmaps", "centres", "centre_offsets", "sizes", "keypoint_offsets", "heatmap_offsets")
BOX = (20.0, 20.0, 100.0, 90.0)


def make_sample(*people: list, states: list | None = None, box: tuple = BOX, **more: object) -> Sample:
    """Make a sample with an image of 128 x 96 px and three keypoints per person, px."""
    xy = np.array(people, np.float32).reshape(-1, 3, 2)
    state = np.full(xy.shape[:2], LABELLED) if states is None else np.array(states).reshape(xy.shape[:2])
    boxes = np.tile(np.float32(box), (len(xy), 1))
    return Sample(np.zeros((96, 128, 3), np.uint8), xy, state.astype(np.uint8), boxes, **more)


def spec_with_heads(*names: str) -> ModelSpec:
    """Copy ``SPEC`` with other heads."""
    return replace(SPEC, heads=tuple(HeadSpec(name, name) for name in names))


def channels_at(field: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the channels of a field at the cell nearest to a pixel."""
    return field[:, int((y - 3.5) / 8 + 0.5), int((x - 3.5) / 8 + 0.5)]
