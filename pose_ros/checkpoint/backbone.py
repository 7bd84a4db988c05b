"""Load only the weights of a network's ``backbone``, trained elsewhere, as a start for training."""

from __future__ import annotations

import re

from pose_ros.checkpoint.publisher import State
from pose_ros.network.model import PoseNetwork

OPTIONAL = ("num_batches_tracked", "pose_weight")
"""Ends of the keys that weights need not have. PoseFix adds the second to the first convolution."""
_FOLDED = re.compile(r"^(\d+)_(conv|dw|depthwise|pointwise)\w*\.(weight|bias)$")


def fill_backbone(network: PoseNetwork, state: State, source: str) -> int:
    """Load weights into a network's backbone. The weights may contain more than the backbone.

    Args:
        network: Network to load into. Its ``backbone`` is changed in place.
        state: Weights of a torchvision checkpoint, or of a NumPy archive of folded convolutions (``00_conv.weight``, …,
            in the order in which the network runs them). Other entries, such as a classifier, are ignored.
        source: Name of the weights for errors.

    Returns:
        Number of loaded entries.

    Raises:
        ValueError: If an entry of the backbone is missing or has another shape. The network is then unchanged.
    """
    own = network.backbone.state_dict()
    state = {_modernise_key(key): value for key, value in state.items()}
    available = _rename_folded(state, list(own)) if any(map(_FOLDED.match, state)) else state
    for key, value in own.items():
        got = tuple(available[key].shape) if key in available else "nothing"
        if got != tuple(value.shape) and not key.endswith(OPTIONAL):
            raise ValueError(f"checkpoint {source}: expected {key} {tuple(value.shape)} of the backbone, got {got}")
    used = {key: value for key, value in available.items() if key in own}
    network.backbone.load_state_dict(used, strict=False)
    return len(used)


def _modernise_key(key: str) -> str:
    """Rename a key to that of torchvision's current code. Its files of DenseNet are older: ``norm.1`` for ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


def _rename_folded(state: State, names: list[str]) -> State:
    """Rename folded convolutions to the names of the backbone's convolutions, in order."""
    folded = sorted((int(match[1]), key) for key in state if (match := _FOLDED.match(key)) and match[3] == "weight")
    own_names = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    renamed: State = {}
    for (_, source_key), own_name in zip(folded, own_names, strict=False):
        for part in ("weight", "bias"):
            key = source_key.removesuffix("weight") + part
            renamed |= {f"{own_name}.{part}": state[key]} if key in state else {}
    return renamed
