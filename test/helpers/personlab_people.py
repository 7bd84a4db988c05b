"""Make, decode and compare chains of three keypoints in ideal PersonLab fields."""

import numpy as np
import scene_personlab
from scene_personlab import POSENET_17

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

SPEC = ModelSpec("test", POSENET_17, stride=16, origin=1.5)
CHAIN = Skeleton("chain", ("a", "b", "c"), ((0, 1), (1, 2)))
CHAIN_SPEC = ModelSpec("chain", CHAIN, stride=8)
FIELD_NAMES = ("heatmaps", "short_offsets", "mid_offsets")


def decode(fields: Fields, spec: ModelSpec = SPEC, **config: object) -> People:
    return make_decoder(spec, "personlab", DecoderConfig(**config))(fields)


def ideal_chains(keypoints: list, shape_hw: tuple[int, int] = (40, 60), visible: list | None = None) -> Fields:
    """Make the ideal fields of chains a-b-c."""
    is_visible = None if visible is None else np.array(visible, bool)
    return scene_personlab.ideal_fields(np.array(keypoints, np.float32), CHAIN.limbs, shape_hw, 8, is_visible)


def chains(*rows: float) -> list:
    """Make horizontal chains, one in each row."""
    return [[[10, row], [25, row], [40, row]] for row in rows]


def mean_distances(people: People, truth: np.ndarray) -> np.ndarray:
    """Mean keypoint distance, px, of each true person to the nearest decoded person. No two may share one."""
    distances = np.linalg.norm(people.keypoints[:, None] - truth[None], axis=3)
    mean = np.where(people.visible[:, None], distances, 0).sum(axis=2) / people.visible.sum(axis=1)[:, None]
    assert len(set(mean.argmin(axis=0))) == len(truth)
    return mean.min(axis=0)
