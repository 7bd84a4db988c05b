"""Import PoseNet: torch checkpoints of rwightman's posenet-pytorch, and Google Coral's quantised TensorFlow Lite files.

Both have the same layers. Their offsets are in blocks: all y, then all x. The two directions of the mid-range offsets
are separate heads.
"""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.fields import InputSpec
from pose_ros.network.posenet import STRIDE, posenet
from pose_ros.network.zoo import Builder

CORAL_INPUT = InputSpec("image", "NCHW", "float32", "rgb", (128.0, 128.0, 128.0), (128.0, 128.0, 128.0), STRIDE, 480)
WIDTHS = {16: 0.5, 24: 0.75, 32: 1.0}
"""Width of MobileNet, by the channels of the first convolution."""

_CORAL = re.compile(r"(?:.*/)?MobilenetV1/(?:Conv2d_(\d+)(?:_(depthwise|pointwise))?|(\w+?)_2)/(.*)")
_PAIR = re.compile(r"features\.conv(\d+)\.(conv|depthwise|pointwise)\.(weight|bias)")
_MID = ("displacement_fwd", "displacement_bwd")


def _network(shapes: Shapes) -> Builder | None:
    named = {_torch_name(key): shape for key, shape in shapes.items()}
    stem = named.get("features.conv0.conv.weight", (0,))[0]
    if stem not in WIDTHS:
        return None
    if any(map(_CORAL.fullmatch, shapes)):
        return partial(posenet, width=WIDTHS[stem], input_spec=CORAL_INPUT)
    return partial(posenet, width=WIDTHS[stem])


def _convert(state: State) -> State:
    state = {_torch_name(key): _torch_layout(key, value) for key, value in state.items()}
    for part in ("weight", "bias"):
        directions = [state.pop(f"{head}.{part}") for head in _MID if f"{head}.{part}" in state]
        if directions:
            state[f"heads.mid_offsets.{part}"] = torch.cat([_interleave_xy(direction) for direction in directions])
        if f"offset.{part}" in state:
            state[f"heads.short_offsets.{part}"] = _interleave_xy(state.pop(f"offset.{part}"))
        if f"heatmap.{part}" in state:
            state[f"heads.heatmaps.{part}"] = state.pop(f"heatmap.{part}")
    return {_PAIR.sub(_rename_pair, key): value for key, value in state.items()}


def _torch_name(key: str) -> str:
    """Rename a key of the TensorFlow Lite file to that of the torch checkpoint. Other keys stay unchanged."""
    match = _CORAL.fullmatch(key)
    if not match:
        return key
    number, kind, head, tail = match.groups()
    part = "bias" if "bias" in tail else "weight"
    return f"{head}.{part}" if head else f"features.conv{number}.{kind or 'conv'}.{part}"


def _torch_layout(key: str, value: Tensor) -> Tensor:
    """Reorder TensorFlow Lite's (O, rows, columns, I) to (O, I, rows, columns).

    Depthwise weights are stored with O = 1 and one entry of I per channel.
    """
    if value.ndim != 4 or not _CORAL.fullmatch(key):
        return value
    return value.permute((3, 0, 1, 2) if "depthwise" in key else (0, 3, 1, 2))


def _interleave_xy(rows: Tensor) -> Tensor:
    """Reorder rows from all y, then all x, to alternating x and y."""
    y, x = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    return torch.stack([x, y], dim=1).flatten(0, 1) if len(x) == len(y) else rows


def _rename_pair(match: re.Match[str]) -> str:
    """Rename a layer of one of the publisher's pairs, each of which is two of our layers."""
    number, kind, part = match.groups()
    return f"backbone.layers.{2 * int(number) - (kind == 'depthwise')}.conv.{part}"


PUBLISHER = Publisher("PoseNet", _network, _convert)
