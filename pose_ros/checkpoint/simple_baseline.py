"""Import Simple Baselines' checkpoints: ResNet 50, 101 and 152, of COCO and MPII."""

from __future__ import annotations

import re
from functools import partial

from pose_ros.checkpoint.hrnet import crop_size_wh, output_channels, rename_keys, skeleton_of
from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.model import PoseNetwork
from pose_ros.network.resnet import BLOCKS
from pose_ros.network.simple_baseline import simple_baseline
from pose_ros.network.zoo import Builder

_PREFIXES = {"final_layer.": "heads.heatmaps.", "deconv_layers.": "neck."}


def _network(shapes: Shapes) -> Builder | None:
    """Identify the depth from the highest block number in the third layer, with 6, 23 or 36 blocks."""
    numbers = [int(match[1]) for key in shapes if (match := re.match(r"layer3\.(\d+)\.", key))]
    if not numbers or not all(any(key.startswith(prefix) for key in shapes) for prefix in _PREFIXES):
        return None
    depth = next((depth for depth in (50, 101) if max(numbers) < BLOCKS[depth][2]), 152)
    return partial(_build, depth, output_channels(shapes, "final_layer"))


def _build(depth: int, keypoints: int) -> PoseNetwork:
    skeleton = skeleton_of(keypoints)
    return simple_baseline(skeleton, depth, crop_size_wh(skeleton))


def _convert(state: State) -> State:
    return rename_keys(state, _PREFIXES)


PUBLISHER = Publisher("Simple Baselines", _network, _convert)
