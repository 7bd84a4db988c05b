"""Trunks trained elsewhere, as a start for training: the weights of a network's ``backbone`` alone."""

from __future__ import annotations

import re

from pose_ros.checkpoint.publisher import State
from pose_ros.network.model import PoseNetwork

_FOLDED = re.compile(r"^(\d+)_(conv|dw|depthwise|pointwise)\w*\.(weight|bias)$")


def fill_backbone(network: PoseNetwork, state: State, source: str) -> int:
    """Fill a network's backbone with weights that hold more than it.

    Args:
        network: Its ``backbone`` is filled in place.
        state: Of a torchvision checkpoint, or of a NumPy archive of folded convolutions (``00_conv.weight``, …, in the
            order in which the network runs them). Entries beyond the backbone, such as a classifier, are left out.
        source: Names it in errors.

    Returns:
        How many entries were taken.

    Raises:
        ValueError: If it does not hold the whole backbone in its shapes; the network is then unchanged.
    """
    own = network.backbone.state_dict()
    state = {_current(key): value for key, value in state.items()}
    found = _in_order(state, list(own)) if any(map(_FOLDED.match, state)) else state
    for key, value in own.items():
        got = tuple(found[key].shape) if key in found else "nothing"
        if got != tuple(value.shape) and not key.endswith("num_batches_tracked"):
            raise ValueError(f"checkpoint {source}: expected {key} {tuple(value.shape)} of the backbone, got {got}")
    taken = {key: value for key, value in found.items() if key in own}
    network.backbone.load_state_dict(taken, strict=False)
    return len(taken)


def _current(key: str) -> str:
    """A key as torchvision's code has it; its files of DenseNet are older, ``norm.1`` for ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


def _in_order(state: State, names: list[str]) -> State:
    """Folded convolutions under the names of a backbone's, one after the other."""
    folded = sorted((int(match[1]), key) for key in state if (match := _FOLDED.match(key)) and match[3] == "weight")
    ours = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    found: State = {}
    for (_, theirs), own in zip(folded, ours, strict=False):
        for part in ("weight", "bias"):
            key = theirs.removesuffix("weight") + part
            found |= {f"{own}.{part}": state[key]} if key in state else {}
    return found
