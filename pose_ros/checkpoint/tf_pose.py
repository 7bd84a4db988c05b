"""Import tf-pose's frozen graph ``mobilenet_v2_small``: convert TensorFlow's names and layouts to torch's."""

from __future__ import annotations

import re

from torch import Tensor

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.tf_pose import tf_pose
from pose_ros.network.zoo import Builder

BRANCHES = {"1": "pafs", "2": "heatmaps"}
NORMS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "Const": "weight",  # the stages have no learned scale, only the constant 1
}

_FOLDED = re.compile(r"(/read)?(/_\d+__cf__\d+)?$")
_BACKBONE = re.compile(r"MobilenetV2/(Conv|expanded_conv(?:_(\d+))?/(\w+))/(?:BatchNorm/(\w+)|\w*weights)")
_STAGE = re.compile(r"Openpose/MConv_Stage(\d)_L(\d)_(\d)_(\w+)/(?:BatchNorm/(\w+)|\w*weights)")


def _network(shapes: Shapes) -> Builder | None:
    return tf_pose if any(key.startswith("Openpose/MConv_Stage1_L1_1") for key in shapes) else None


def _convert(state: State) -> State:
    converted = {}
    for key, value in state.items():
        if value.numel():  # statistics that are computed from the image have empty constants
            converted[_torch_name(_FOLDED.sub("", key))] = _torch_layout(key, value)
    return converted


def _torch_name(key: str) -> str:
    if match := _BACKBONE.fullmatch(key):
        whole, number, part, norm = match.groups()
        layer = "stem" if whole == "Conv" else f"blocks.{number or 0}.{part}"
        return f"backbone.{layer}." + (f"norm.{NORMS.get(norm, norm)}" if norm else "conv.weight")
    if match := _STAGE.fullmatch(key):
        stage, branch, number, part, norm = match.groups()
        layer = f"stages.{int(stage) - 1}.{BRANCHES.get(branch, branch)}.{int(number) - 1}"
        return f"{layer}." + (f"norm.{NORMS.get(norm, norm)}" if norm else f"{part}.weight")
    return key


def _torch_layout(key: str, value: Tensor) -> Tensor:
    """Reorder TensorFlow's (rows, columns, I, O) to (O, I, rows, columns).

    Depthwise weights are stored with O = 1 and one entry of I per channel.
    """
    if value.ndim != 4:
        return value
    return value.permute((2, 3, 0, 1) if "depthwise_weights" in key else (3, 2, 0, 1))


PUBLISHER = Publisher("tf-pose", _network, _convert)
