"""Import trt_pose's checkpoints: body and hand, any backbone, with or without attention.

Its part affinity fields have y before x. Ours have x before y, so the outputs of the last convolution are swapped.
"""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.densenet import VARIANTS
from pose_ros.network.model import PoseNetwork
from pose_ros.network.resnet import BLOCKS
from pose_ros.network.trt_pose import HAND_21, NETWORKS
from pose_ros.network.zoo import Builder
from pose_ros.skeleton import TRT_POSE_18

_FIELDS = {"cmap": "heatmaps", "paf": "pafs"}
_CLASSIFIERS = ("0.resnet.fc.", "0.densenet.classifier.")
_KEY_RULES = (
    (r"^0\.(?:resnet|densenet)\.", "backbone."),
    (r"^1\.(cmap|paf)_(?:up|conv\.0)\.", "heads.{}.up."),
    (r"^1\.(cmap|paf)_att\.", "heads.{}.gate."),
    (r"^1\.(cmap|paf)_conv\.(?:1\.)?", "heads.{}.conv."),
)


def _network(shapes: Shapes) -> Builder | None:
    backbone = _find_backbone(shapes)
    if backbone is None or not any(key.startswith("1.cmap_conv.") for key in shapes):
        return None
    attention = "_att" if any(key.startswith("1.cmap_att.") for key in shapes) else ""
    keypoints, links = _output_channels(shapes, "cmap"), _output_channels(shapes, "paf") // 2
    return partial(_build, f"trt_pose_{backbone}{attention}", keypoints, links)


def _build(name: str, keypoints: int, links: int) -> PoseNetwork:
    for skeleton in (TRT_POSE_18, HAND_21):
        if (len(skeleton), len(skeleton.limbs)) == (keypoints, links):
            return NETWORKS[name](skeleton)
    raise ValueError(
        f"trt_pose checkpoint: expected {len(TRT_POSE_18)} keypoints and {len(TRT_POSE_18.limbs)} links (body) or "
        f"{len(HAND_21)} and {len(HAND_21.limbs)} (hand), got {keypoints} and {links}: "
        "the file does not contain their names"
    )


def _find_backbone(shapes: Shapes) -> str | None:
    """Find the backbone with these numbers of blocks."""
    residual = _block_counts(shapes, r"^0\.resnet\.layer(\d)\.(\d+)\.", first=0)
    dense = _block_counts(shapes, r"^0\.densenet\.features\.denseblock(\d)\.denselayer(\d+)\.", first=1)
    narrow = not any(re.match(r"^0\.resnet\.layer\d\.\d+\.conv3\.", key) for key in shapes)
    for depth, counts in BLOCKS.items():
        if counts == residual and narrow == (depth < 50):
            return f"resnet{depth}"
    return next((f"densenet{depth}" for depth, (_, _, counts) in VARIANTS.items() if counts == dense), None)


def _block_counts(shapes: Shapes, pattern: str, first: int) -> tuple[int, ...]:
    """Return the number of blocks of each layer, from the highest block number."""
    highest: dict[int, int] = {}
    for match in (re.match(pattern, key) for key in shapes):
        if match:
            layer, block = int(match[1]), int(match[2])
            highest[layer] = max(highest.get(layer, 0), block + 1 - first)
    return tuple(highest[layer] for layer in sorted(highest))


def _output_channels(shapes: Shapes, field: str) -> int:
    """Return the output channels of a branch's last convolution. 0 if it is missing."""
    names = [f"1.{field}_conv.{part}" for part in ("bias", "weight", "1.bias", "1.weight")]
    return next((shapes[name][0] for name in names if name in shapes), 0)


def _convert(state: State) -> State:
    renamed = {_rename_key(key): value for key, value in state.items() if not key.startswith(_CLASSIFIERS)}
    return {key: _swap_xy(value) if key.startswith("heads.pafs.conv.") else value for key, value in renamed.items()}


def _rename_key(key: str) -> str:
    for pattern, replacement in _KEY_RULES:
        match = re.match(pattern, key)
        if match:
            return replacement.format(*(_FIELDS[field] for field in match.groups())) + key[match.end() :]
    return key


def _swap_xy(channels: Tensor) -> Tensor:
    """Swap the pairs of output channels, from y and x to x and y."""
    return torch.cat([pair.flip(0) for pair in channels.split(2)])


PUBLISHER = Publisher("trt_pose", _network, _convert)
