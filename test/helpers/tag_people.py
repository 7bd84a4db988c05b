"""Small fields of tags with known people, and what tests of tag decoding share."""

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


def ideal(keypoints: list, tags: list, visible: list | None = None, far: float = 50.0) -> Fields:
    """Fields of people a, b, c: heatmaps of sigma 1; within 4 cells of a keypoint its tag, else ``far``.

    Tags are one number per person, or per keypoint of each person, or a vector per keypoint of each person.
    """
    xy = np.array(keypoints, np.float32)
    n, k, _ = xy.shape
    seen = np.ones((n, k), bool) if visible is None else np.array(visible, bool)
    values = np.array(tags, np.float32)
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    values = np.broadcast_to(values, (n, k, values.shape[2]))
    field = np.full((k, values.shape[2], *SHAPE), far, np.float32)
    for person, keypoint in itertools.product(range(n), range(k)):
        x, y = np.round(xy[person, keypoint]).astype(int)
        field[keypoint, :, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = values[person, keypoint][:, None, None]
    return Fields(heatmaps=confidence_maps(xy, seen, SHAPE, 1.0), tags=field.reshape(-1, *SHAPE))


def row(y: float, x: float = 10) -> list:
    """Keypoints of a person who lies at height y."""
    return [[x, y], [x + 15, y], [x + 30, y]]
