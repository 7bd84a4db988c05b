"""Make and decode small tag fields with known people."""

import itertools

import numpy as np

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton
from pose_ros.training.targets.make import confidence_maps

SPEC = ModelSpec("test", COCO_17, stride=4, origin=1.5)
TRIPLE = Skeleton("triple", ("a", "b", "c"), ((0, 1), (1, 2)))
TRIPLE_SPEC = ModelSpec("triple", TRIPLE, stride=1)
SHAPE = (40, 60)
EIGHT = np.zeros((3, 8, 8))


def decode(fields: Fields, spec: ModelSpec = SPEC, **config: object) -> People:
    return make_decoder(spec, "tag", DecoderConfig(**config))(fields)


def ideal_tags(keypoints: list, tags: list, visible: list | None = None, far: float = 50.0) -> Fields:
    """Make the fields of people with keypoints a, b, c.

    The heatmaps have a sigma of 1 cell. Cells within 4 cells of a keypoint have its tag, all others the value ``far``.

    Args:
        keypoints: Keypoints (N, 3, 2), cells.
        tags: One number per person, one number per keypoint, or one vector per keypoint.
        visible: Visible keypoints (N, 3). None = all. Invisible keypoints have no peak.
        far: Tag of all other cells.
    """
    xy = np.array(keypoints, np.float32)
    n, k, _ = xy.shape
    is_visible = np.ones((n, k), bool) if visible is None else np.array(visible, bool)
    values = np.array(tags, np.float32)
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    values = np.broadcast_to(values, (n, k, values.shape[2]))
    field = np.full((k, values.shape[2], *SHAPE), far, np.float32)
    for person, keypoint in itertools.product(range(n), range(k)):
        x, y = np.round(xy[person, keypoint]).astype(int)
        field[keypoint, :, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = values[person, keypoint][:, None, None]
    return Fields(heatmaps=confidence_maps(xy, is_visible, SHAPE, 1.0), tags=field.reshape(-1, *SHAPE))


def row(y: float, x: float = 10) -> list:
    """Return the keypoints of a person in row y, 15 cells apart."""
    return [[x, y], [x + 15, y], [x + 30, y]]
