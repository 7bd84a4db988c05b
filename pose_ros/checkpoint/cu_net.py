"""Import CU-Net's checkpoints of MPII: any number of U-Nets, any order of the coupling.

The publisher groups the layers by block, then by U-Net. Ours are grouped by U-Net.
"""

from __future__ import annotations

import re
from functools import partial

from pose_ros.checkpoint.hrnet import output_channels
from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.cu_net import LEVELS, cu_net
from pose_ros.network.zoo import Builder
from pose_ros.skeleton import MPII_16

_LINEAR = re.compile(r"linears\.(\d+)\.conv\.weight")
_FIRST_LAYERS = re.compile(r"hg\.down_blocks\.0\.layers\.\d+\.conv1\.weight")
_STEM = {"conv0": 0, "norm0": 1}
_LAYERS = {"norm": 0, "conv": 2}
_PARTS = {"adapters_ahead": "outputs", "adapters_skip": "skips"}


def _network(shapes: Shapes) -> Builder | None:
    """Identify the number of U-Nets, and the order from the input channels of the blocks.

    The U-Nets after the first read 1, 2, … and at last K previous ones, so that there are K + 1 numbers of channels.
    """
    units = [int(match[1]) for key in shapes if (match := _LINEAR.fullmatch(key))]
    inputs = sorted({shapes[key][1] for key in shapes if _FIRST_LAYERS.fullmatch(key)})
    if not units or not inputs:
        return None
    keypoints = output_channels(shapes, "linears.0.conv", len(MPII_16))
    if keypoints != len(MPII_16):
        raise ValueError(f"expected the {len(MPII_16)} keypoints of {MPII_16.name}, got {keypoints}")
    return partial(cu_net, units=max(units) + 1, order=max(len(inputs) - 1, 1))


def _convert(state: State) -> State:
    return {_rename(key): value for key, value in state.items()}


def _rename(key: str) -> str:
    if match := re.fullmatch(r"features\.(conv0|norm0)\.(\w+)", key):
        return f"stem.{_STEM[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"linears\.(\d+)\.(norm|conv)\.(\w+)", key):
        return f"predictions.{match[1]}.{_LAYERS[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"intermedia\.adapters\.(\d+)\.adapter_(norm|conv)\.(\w+)", key):
        return f"inputs.{match[1]}.{_LAYERS[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"hg\.(\w+?)_blocks?(?:\.(\d+))?\.layers\.(\d+)\.(norm|conv)([12])\.(\w+)", key):
        path, level, unit, layer, number, entry = match.groups()
        block = f"units.{unit}.blocks.{_position(path, level)}"
        return f"{block}.layers.{int(number) - 1}.{_LAYERS[layer]}.{entry}"
    if match := re.fullmatch(r"hg\.(\w+?)_blocks?(?:\.(\d+))?\.(adapters_\w+)\.(\d+)\.adapter_(norm|conv)\.(\w+)", key):
        path, level, part, unit, layer, entry = match.groups()
        return f"units.{unit}.{_PARTS[part]}.{_position(path, level)}.{_LAYERS[layer]}.{entry}"
    return key


def _position(path: str, level: str | None) -> int:
    """Return our position of a block. Its level counts from the finest resolution."""
    if path == "neck":
        return LEVELS
    return int(level or 0) if path == "down" else 2 * LEVELS - int(level or 0)


PUBLISHER = Publisher("CU-Net", _network, _convert)
