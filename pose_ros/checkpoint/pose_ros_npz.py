"""Import the first network of this project, a NumPy archive with a folded backbone.

Archives of only a backbone are read by ``backbone``.
"""

from __future__ import annotations

import re

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network import multi_head
from pose_ros.network.zoo import Builder

_KEY_RULES = (
    (r"^bb\.l\.(\d+)\.c\.", r"backbone.layers.\1.conv."),
    (r"^l8\.", "neck.fine."),
    (r"^l16\.", "neck.coarse."),
    (r"^bn\.", "neck.norm."),
    (r"^s2\.inp\.", "stages.1.enter."),
    (r"^s1\.b\.", "stages.0.blocks."),
    (r"^s2\.b\.", "stages.1.blocks."),
    (r"^s1\.o\.", "stages.0.leave."),
    (r"^s2\.o\.", "stages.1.leave."),
)


def _network(shapes: Shapes) -> Builder | None:
    return multi_head.mobilenet_v1 if "bb.l.0.c.weight" in shapes else None


def _convert(state: State) -> State:
    return {_rename_key(key): value for key, value in state.items()}


def _rename_key(key: str) -> str:
    for pattern, replacement in _KEY_RULES:
        key, count = re.subn(pattern, replacement, key)
        if count:
            break
    return key


PUBLISHER = Publisher("pose_ros, first network", _network, _convert)
