"""Define an importer, which identifies a publisher's checkpoints by their keys and converts them to ours."""

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
    """Importer of one publisher's checkpoints.

    Attributes:
        name: Name of the publisher.
        network: Function from the shapes of a checkpoint to the builder of its network. None = another publisher. It
            reads few keys, so that an incomplete file is still identified and its missing keys are reported.
        convert: Function from the publisher's state dict to ours: renames keys, reorders channels, drops unused
            entries. It keeps unknown entries, and does not fail if entries are missing.
    """

    name: str
    network: Callable[[Shapes], Callable[[], PoseNetwork] | None]
    convert: Callable[[State], State]


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each entry."""
    return {key: tuple(value.shape) for key, value in state.items()}
