"""Import MoveNet's TensorFlow.js graphs: MultiPose Lightning, SinglePose Lightning and Thunder.

The graphs also contain the publisher's decoding, whose constants are dropped. Offsets and sizes have y before x.
"""

from __future__ import annotations

import re

from torch import Tensor

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.movenet import movenet_lightning, movenet_multipose, movenet_thunder
from pose_ros.network.zoo import Builder

HEADS = {
    "center": "centres",
    "box_scale": "sizes",
    "box_offset": "centre_offsets",
    "kpt_heatmap": "heatmaps",
    "kpt_regress": "keypoint_offsets",
    "kpt_offset": "heatmap_offsets",
}
"""Our name of each head."""
WIDTHS = {48: movenet_multipose, 32: movenet_lightning, 56: movenet_thunder}
"""Networks, by the channels of the first convolution."""

_ROOT = "StatefulPartitionedCall/"
_STEM = re.compile(rf"{_ROOT}.*/Conv1/Conv2D_weights")
_BACKBONE = re.compile(
    rf"{_ROOT}.*/(Conv1|Conv_1|expanded_conv|block_(\d+))(?:_(expand|depthwise|project))?/\w+?_(weights|bn_offset)"
)
_LATERAL = re.compile(rf"{_ROOT}center_net\w*/model_1/conv2d(?:_(\d))?/(Conv2D|BiasAdd)/ReadVariableOp")
_SMOOTH = re.compile(rf"{_ROOT}center_net\w*/model_1/separable_conv2d(?:_(\d))?/(?:separable_conv2d)?(.*)")
_HEAD = re.compile(rf"{_ROOT}(\w+)_0/(separable_conv2d|conv2d)_\d+/(.*)")
_WEIGHT_ENDS = ("_weights", "_bn_offset", "/ReadVariableOp", "/ReadVariableOp_1")
_LAST = 18


def _network(shapes: Shapes) -> Builder | None:
    stem = next((shape for key, shape in shapes.items() if _STEM.fullmatch(key)), None)
    is_movenet = any(key.startswith(f"{_ROOT}kpt_regress_0/") for key in shapes)
    return WIDTHS.get(stem[-1]) if stem and is_movenet else None


def _convert(state: State) -> State:
    converted: State = {}
    for key, value in state.items():
        name = _torch_name(key)
        if name in converted:
            raise ValueError(f"{key}: expected one weight for {name}, got two")
        if name:
            converted[name] = _torch_layout(name, value)
    return {name: _swap_xy(value) if _has_vectors(name) else value for name, value in converted.items()}


def _torch_name(key: str) -> str:
    """Return our name of a weight. Empty for a constant of the decoding."""
    if match := _BACKBONE.fullmatch(key):
        whole, number, layer, part = match.groups()
        return (
            f"backbone.features.{_backbone_layer(whole, number, layer)}.{'bias' if part == 'bn_offset' else 'weight'}"
        )
    if match := _LATERAL.fullmatch(key):
        number, kind = match.groups()
        layer = "coarsest" if number is None else f"laterals.{int(number) - 1}"
        return f"neck.{layer}.{'bias' if kind == 'BiasAdd' else 'weight'}"
    if match := _SMOOTH.fullmatch(key):
        number, part = match.groups()
        return f"neck.smooth.{number or 0}.{_separable_part(part)}"
    if match := _HEAD.fullmatch(key):
        head, kind, part = match.groups()
        layer = f"0.{_separable_part(part)}" if kind == "separable_conv2d" else f"1.{_conv_part(part)}"
        return f"heads.{HEADS.get(head, head)}.{layer}"
    return key if key.endswith(_WEIGHT_ENDS) or not key.startswith((_ROOT, "ConstantFolding/")) else ""


def _backbone_layer(whole: str, number: str | None, layer: str | None) -> str:
    if whole in ("Conv1", "Conv_1"):
        return "0.0" if whole == "Conv1" else f"{_LAST}.0"
    index = 1 if number is None else int(number) + 1
    place = {"expand": "0.0", "depthwise": "1.0", "project": "2"}[layer or "project"]
    if index == 1:  # the first block does not expand
        place = {"1.0": "0.0", "2": "1"}.get(place, place)
    return f"{index}.conv.{place}"


def _separable_part(part: str) -> str:
    if "bn_offset" in part or "BiasAdd" in part:
        return "pointwise.bias"
    is_pointwise = "_weights" in part or part.endswith("ReadVariableOp_1")
    return "pointwise.weight" if is_pointwise else "depthwise.weight"


def _conv_part(part: str) -> str:
    return "bias" if "BiasAdd" in part else "weight"


def _torch_layout(name: str, value: Tensor) -> Tensor:
    """Reorder TensorFlow's (rows, columns, I, O) to (O, I, rows, columns). Depthwise weights have O = 1."""
    if value.ndim != 4:
        return value
    is_depthwise = value.shape[3] == 1 and value.shape[:2] == (3, 3)
    return value.permute((2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1))


def _has_vectors(name: str) -> bool:
    return re.match(r"heads\.(sizes|\w+_offsets)\.1\.", name) is not None


def _swap_xy(rows: Tensor) -> Tensor:
    """Reorder alternating y and x to alternating x and y."""
    return rows.unflatten(0, (-1, 2)).flip(1).flatten(0, 1) if len(rows) % 2 == 0 else rows


PUBLISHER = Publisher("MoveNet", _network, _convert)
