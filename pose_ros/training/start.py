"""What a run begins with: a network, with the weights of a file where one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from pose_ros.checkpoint.backbone import fill_backbone
from pose_ros.checkpoint.loading import from_content
from pose_ros.checkpoint.own import is_own
from pose_ros.checkpoint.reading import read_file, state_of
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.network import zoo
from pose_ros.network.model import PoseNetwork
from pose_ros.training.config import TrainingConfig

DEFAULT = "default"
"""The name of this package's own model in place of a file."""
DEFAULT_WEIGHTS = DEFAULT_MODEL.with_suffix(".pt")
"""The weights of the default model. Its ONNX file cannot be trained on: normalisations are folded into convolutions."""


def starting_network(config: TrainingConfig) -> tuple[PoseNetwork, str]:
    """Build the network of a run.

    Returns:
        The network, and what it was given in words.

    Raises:
        FileNotFoundError: If there is no such file of weights.
        ValueError: If there is no such network, or the weights do not fit.
    """
    torch.manual_seed(config.seed)
    network = zoo.build(config.network, config.skeleton)
    network.spec = replace(
        network.spec, name=config.name or network.spec.name, licence=config.licence or network.spec.licence
    )
    given, count = [], len(network.state_dict())
    if config.init.file is not None:
        file = weights_file(config.init.file)
        given.append(f"{_filled(network, file, config.init.parts)} of {count} entries from {file}")
    if config.init.backbone is not None:
        file = config.init.backbone
        given.append(f"{_filled(network, file, 'backbone')} of {count} entries from {file}")
    return network, f"began with {', then '.join(given) or 'random weights'}"


def weights_file(file: Path) -> Path:
    """The file to begin with: the one that is named or, for the name ``default``, the weights of the default model.

    Raises:
        FileNotFoundError: If this installation lacks the weights of the default model.
        ValueError: If it is an exported model.
    """
    if file.suffix.lower() == ".onnx":
        raise ValueError(
            f"init.file: expected a checkpoint, got {file}: a model in ONNX has its normalisations folded into its "
            f"convolutions; take model.pt of its training run, or for the model of this package {DEFAULT}"
        )
    if file.name != DEFAULT or file.is_file():
        return file
    if not DEFAULT_WEIGHTS.is_file():
        raise FileNotFoundError(f"init.file: expected the weights of the default model, got no {DEFAULT_WEIGHTS}")
    return DEFAULT_WEIGHTS


def _filled(network: PoseNetwork, file: Path, parts: str) -> str:
    content = read_file(file)
    if parts == "backbone" and not is_own(content):
        return f"{fill_backbone(network, state_of(content, file), str(file))} (backbone)"
    own, given = network.state_dict(), from_content(content, file).state_dict()
    if parts == "backbone":
        own = {key: value for key, value in own.items() if key.startswith("backbone.")}
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    left = [key for key in own if key not in fitting]
    if parts != "fitting" and left:
        raise ValueError(
            f"init: expected {len(own)} entries in {file}, got none that fit for {len(left)}, first "
            f"{', '.join(left[:3])}; parts: fitting takes what fits"
        )
    if not fitting:
        raise ValueError(f"init: expected entries that fit this network in {file}, got none")
    network.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} ({parts}{', not ' * bool(left)}{', '.join(left[:4])}{', …' * (len(left) > 4)})"
