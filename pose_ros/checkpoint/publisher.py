"""What an importer is: it knows a publisher's checkpoints by their keys and renames them to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pose_ros.network.model import PoseNetwork

State = dict[str, Tensor]
"""A state dict: key to tensor."""
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Publisher:
    """One publisher's way of naming weights.

    Attributes:
        name: Who.
        network: Shapes of a checkpoint to what builds its network, or None where it is not this publisher's. It looks
            at few keys, so that an incomplete file is still recognised and its gaps are named.
        convert: The publisher's state dict to ours: keys renamed, channels reordered, unused entries dropped. It
            passes on what it does not know, and does not fail on what is missing.
    """

    name: str
    network: Callable[[Shapes], Callable[[], PoseNetwork] | None]
    convert: Callable[[State], State]


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each entry."""
    return {key: tuple(value.shape) for key, value in state.items()}
