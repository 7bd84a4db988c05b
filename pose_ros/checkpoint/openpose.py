"""Import OpenPose's checkpoints, COCO and BODY_25, by the names of the Caffe layers, with or without a port's prefixes.

The keys of a Caffe model are ``<layer>.weight`` and ``<layer>.bias``. Torch ports add a prefix such as ``model0.``.
Both networks call their branches L1 and L2. L1 means part affinity fields in COCO, and heatmaps in BODY_25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.openpose import openpose
from pose_ros.network.openpose_body25 import openpose_body25
from pose_ros.network.zoo import Builder

_BACKBONE = re.compile(r"(conv\d|prelu4)_\d(_CPM)?")
_COCO_FIRST = re.compile(r"conv5_(\d)_CPM_L(\d)")
_LATER = re.compile(r"M(conv|prelu)(\d)_stage(\d)_L(\d)")
_DENSE = re.compile(r"M(conv|prelu)(\d)_stage(\d)_L(\d)_(\d)")
_COCO_FIELDS = {"1": "pafs", "2": "heatmaps"}
_BODY_25_FIELDS = {"1": "heatmaps", "2": "pafs"}


def _network(shapes: Shapes) -> Builder | None:
    if _is_body_25(shapes):
        return openpose_body25
    return openpose if any(_LATER.fullmatch(_split_key(key)[0]) for key in shapes) else None


def _is_body_25(keys: Iterable[str]) -> bool:
    return any(_DENSE.fullmatch(_split_key(key)[0]) for key in keys)


def _split_key(key: str) -> tuple[str, str]:
    """Split a key into the name of the layer, without prefixes, and the name of the array."""
    prefixed, _, array = key.rpartition(".")
    return prefixed.rpartition(".")[2], array


def _convert(state: State) -> State:
    rename, converted = _rename_body_25_layer if _is_body_25(state) else _rename_coco_layer, {}
    for key, value in state.items():
        layer, array = _split_key(key)
        renamed = f"backbone.{layer}" if _BACKBONE.fullmatch(layer) else rename(layer)
        converted[f"{renamed}.{array}" if renamed else key] = value
    return converted


def _rename_coco_layer(layer: str) -> str | None:
    if first := _COCO_FIRST.fullmatch(layer):
        return f"stages.0.{_COCO_FIELDS[first[2]]}.conv{first[1]}"
    if later := _LATER.fullmatch(layer):
        return f"stages.{int(later[3]) - 1}.{_COCO_FIELDS[later[4]]}.conv{later[2]}"
    return None


def _rename_body_25_layer(layer: str) -> str | None:
    if dense := _DENSE.fullmatch(layer):
        kind, block, stage, branch, index = dense.groups()
        return f"{_BODY_25_FIELDS[branch]}.{stage}.blocks.{int(block) - 1}.{index}.{kind}"
    if last := _LATER.fullmatch(layer):
        kind, number, stage, branch = last.groups()
        return f"{_BODY_25_FIELDS[branch]}.{stage}.leave.{kind}{number}"
    return None


PUBLISHER = Publisher("OpenPose", _network, _convert)
