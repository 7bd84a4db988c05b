"""Build the network of a run, and load its initial weights from a file if configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from pose_ros.checkpoint.backbone import fill_backbone
from pose_ros.checkpoint.loading import load_content
from pose_ros.checkpoint.own import is_own
from pose_ros.checkpoint.reading import read_file, state_of
from pose_ros.fields import InputSpec
from pose_ros.models.model_file import DEFAULT, DEFAULT_MODEL
from pose_ros.network import zoo
from pose_ros.network.model import PoseNetwork
from pose_ros.training.config import TrainingConfig


def build_initial_network(config: TrainingConfig) -> tuple[PoseNetwork, str]:
    """Build the network of a run.

    Returns:
        The network, and a line of text about its initial weights.

    Raises:
        FileNotFoundError: If the weights file does not exist.
        ValueError: If the network is unknown, or the weights do not match it.
    """
    torch.manual_seed(config.seed)
    network = zoo.build(config.network, config.skeleton)
    network.spec = replace(
        network.spec, name=config.name or network.spec.name, licence=config.licence or network.spec.licence
    )
    if config.short_side:
        network.spec = replace(network.spec, input=_set_short_side(network.spec.input, config.short_side))
    loaded, count = [], len(network.state_dict())
    if config.init.file is not None:
        file = weights_file(config.init.file)
        loaded.append(f"{_fill_weights(network, file, config.init.parts)} of {count} entries from {file}")
    if config.init.backbone is not None:
        file = config.init.backbone
        loaded.append(f"{_fill_weights(network, file, 'backbone')} of {count} entries from {file}")
    return network, f"initial weights: {', then '.join(loaded) or 'random'}"


def weights_file(file: Path) -> Path:
    """Return the file of the initial weights. ``default`` is the default model, also as an absolute path."""
    return DEFAULT_MODEL if file.name == DEFAULT and not file.is_file() else file


def _set_short_side(input: InputSpec, short_side: int) -> InputSpec:
    if input.size_wh is not None:
        raise ValueError(f"short_side: expected 0 for a network of fixed size {input.size_wh}, got {short_side}")
    return replace(input, short_side=short_side)


def _fill_weights(network: PoseNetwork, file: Path, parts: str) -> str:
    content = read_file(file)
    if parts == "backbone" and not is_own(content):
        return f"{fill_backbone(network, state_of(content, file), str(file))} (backbone)"
    own, state = network.state_dict(), load_content(content, file).state_dict()
    if parts == "backbone":
        own = {key: value for key, value in own.items() if key.startswith("backbone.")}
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    missing = [key for key in own if key not in fitting]
    if parts != "fitting" and missing:
        raise ValueError(
            f"init: expected {len(own)} matching entries in {file}, got none for {len(missing)}, first "
            f"{', '.join(missing[:3])}; set init.parts: fitting to load only matching entries"
        )
    if not fitting:
        raise ValueError(f"init: expected entries that match this network in {file}, got none")
    network.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} ({parts}{', missing ' * bool(missing)}{', '.join(missing[:4])}{', …' * (len(missing) > 4)})"
