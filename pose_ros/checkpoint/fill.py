"""Load weights into a network, completely or not at all."""

from __future__ import annotations

import torch

from pose_ros.checkpoint.publisher import State, shapes_of
from pose_ros.network.model import PoseNetwork


def fill(model: PoseNetwork, state: State, source: str) -> None:
    """Load all weights into a network, and set it to evaluation mode.

    Args:
        model: Network to load into, in place.
        state: Weights, with the keys of the network.
        source: Name of the weights for errors.

    Raises:
        ValueError: If any key is missing, unexpected, of another shape or not finite. The network is then unchanged.
    """
    expected, got = shapes_of(model.state_dict()), shapes_of(state)
    faulty_keys = {
        "missing": [key for key in expected if key not in got and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in got if key not in expected],
        "mis-shaped": [
            f"{key} (expected {expected[key]}, got {got[key]})"
            for key in expected
            if key in got and got[key] != expected[key]
        ],
    }
    faults = [f"{len(keys)} {kind}, first {', '.join(keys[:3])}" for kind, keys in faulty_keys.items() if keys]
    if faults:
        raise ValueError(
            f"checkpoint {source}: expected the {len(expected)} entries of this network, got {'; '.join(faults)}"
        )
    not_finite = [key for key in expected if key in state and not torch.isfinite(state[key]).all()]
    if not_finite:
        raise ValueError(f"checkpoint {source}: expected finite weights, got NaN or infinity in {not_finite[0]}")
    model.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)
    model.eval()
