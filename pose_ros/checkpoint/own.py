"""Save and restore checkpoints of this package: the name of a network, its description and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pose_ros.checkpoint.exported import FORMAT
from pose_ros.checkpoint.fill import fill
from pose_ros.checkpoint.reading import state_of
from pose_ros.fields import ModelSpec
from pose_ros.files import atomic_write
from pose_ros.network import zoo
from pose_ros.network.model import PoseNetwork


def save_checkpoint(network: PoseNetwork, name: str, path: str | Path, **more: Any) -> None:
    """Write a network to a file that ``load_checkpoint`` and ``pose_ros export`` read.

    The file appears complete or not at all.

    Args:
        network: Network to save.
        name: Name of the network, a key of ``zoo.networks()``.
        path: File to write.
        **more: Additional tensors and plain data to save, such as the state of the optimizer.
    """
    path = Path(path)
    content = {
        **more,
        "format": FORMAT,
        "network": name,
        "spec": network.spec.to_dict(),
        "state_dict": network.state_dict(),
    }
    with atomic_write(path) as unfinished, unfinished.open("wb") as file:
        torch.save(content, file)


def is_own(content: Any) -> bool:
    """Return whether a file's content was written by ``save_checkpoint``."""
    return isinstance(content, Mapping) and str(content.get("format", "")).startswith("pose_ros checkpoint")


def restore(content: Mapping[str, Any], path: Path) -> PoseNetwork:
    """Restore the network from the content of such a file, in evaluation mode.

    Raises:
        ValueError: If the file has another version, or does not fit its network.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"checkpoint {path}: expected {FORMAT!r}, got {content['format']!r}; update this package")
    try:
        spec, name, state = ModelSpec.from_dict(content["spec"]), str(content["network"]), content["state_dict"]
    except (KeyError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: expected network, spec and state_dict, got a fault in {error}") from error
    network = zoo.build(name, spec.skeleton)
    fill(network, state_of(state, path), f"{path} (pose_ros, {name})")
    network.spec = spec
    return network
