"""OpenPose's checkpoints, COCO and BODY_25: by the names of the Caffe layers, bare or behind a port's prefixes.

A Caffe model is written as ``<layer>.weight`` and ``<layer>.bias``; torch ports put ``model0.`` or the like before
them. Both networks call their branches L1 and L2, but the first means part affinity fields in COCO and heatmaps in
BODY_25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.openpose import openpose
from pose_ros.network.openpose_body25 import openpose_body25
from pose_ros.network.zoo import Builder

_TRUNK = re.compile(r"(conv\d|prelu4)_\d(_CPM)?")
_COCO_FIRST = re.compile(r"conv5_(\d)_CPM_L(\d)")
_LATER = re.compile(r"M(conv|prelu)(\d)_stage(\d)_L(\d)")
_DENSE = re.compile(r"M(conv|prelu)(\d)_stage(\d)_L(\d)_(\d)")
_COCO_FIELDS = {"1": "pafs", "2": "heatmaps"}
_BODY_25_FIELDS = {"1": "heatmaps", "2": "pafs"}


def _network(shapes: Shapes) -> Builder | None:
    if _is_body_25(shapes):
        return openpose_body25
    return openpose if any(_LATER.fullmatch(_layer(key)[0]) for key in shapes) else None


def _is_body_25(keys: Iterable[str]) -> bool:
    return any(_DENSE.fullmatch(_layer(key)[0]) for key in keys)


def _layer(key: str) -> tuple[str, str]:
    """The layer's own name, and which of its arrays."""
    prefixed, _, array = key.rpartition(".")
    return prefixed.rpartition(".")[2], array


def _convert(state: State) -> State:
    ours, converted = _body_25 if _is_body_25(state) else _coco, {}
    for key, value in state.items():
        layer, array = _layer(key)
        renamed = f"backbone.{layer}" if _TRUNK.fullmatch(layer) else ours(layer)
        converted[f"{renamed}.{array}" if renamed else key] = value
    return converted


def _coco(layer: str) -> str | None:
    if first := _COCO_FIRST.fullmatch(layer):
        return f"stages.0.{_COCO_FIELDS[first[2]]}.conv{first[1]}"
    if later := _LATER.fullmatch(layer):
        return f"stages.{int(later[3]) - 1}.{_COCO_FIELDS[later[4]]}.conv{later[2]}"
    return None


def _body_25(layer: str) -> str | None:
    if dense := _DENSE.fullmatch(layer):
        kind, block, stage, branch, index = dense.groups()
        return f"{_BODY_25_FIELDS[branch]}.{stage}.blocks.{int(block) - 1}.{index}.{kind}"
    if last := _LATER.fullmatch(layer):
        kind, number, stage, branch = last.groups()
        return f"{_BODY_25_FIELDS[branch]}.{stage}.leave.{kind}{number}"
    return None


PUBLISHER = Publisher("OpenPose", _network, _convert)
