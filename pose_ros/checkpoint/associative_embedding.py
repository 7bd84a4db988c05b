"""Import checkpoints of Associative Embedding (pose-ae-train).

Each stack predicts 68 channels: 17 heatmaps, 17 tags and 34 without a target. ``merge_preds`` passes all 68 to the next
stack, so no weight is dropped. The network itself omits the 34 from its outputs.
"""

from __future__ import annotations

import re
from functools import partial

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.associative_embedding import AssociativeEmbedding
from pose_ros.network.zoo import Builder
from pose_ros.skeleton import COCO_17

_MODULES = {
    "pre": "stem",
    "features": "towers",
    "outs": "predictions",
    "merge_features": "merge_features",
    "merge_preds": "merge_predictions",
}
_HOURGLASS = {"up1": "around", "low1": "down", "low2": "inner", "low3": "up"}


def _network(shapes: Shapes) -> Builder | None:
    """Identify the network. The number of stacks is the number of hourglasses."""
    stacks = {match[1] for key in shapes if (match := re.match(r"features\.(\d+)\.0\.(?:up1|low\d)\.", key))}
    return partial(AssociativeEmbedding, COCO_17, len(stacks)) if stacks else None


def _convert(state: State) -> State:
    return {_rename_key(key): value for key, value in state.items()}


def _rename_key(key: str) -> str:
    """Rename a key. A convolution is the first module of a pair with ReLU, except in predictions and merges."""
    module, *path, part = key.split(".")
    if module not in _MODULES:
        return key
    inner = [_HOURGLASS.get(name, name) for name in path if name != "conv"]
    paired = ["0"] if module in ("pre", "features") else []
    return ".".join(["stack", _MODULES[module], *inner, *paired, part])


PUBLISHER = Publisher("pose-ae-train", _network, _convert)
