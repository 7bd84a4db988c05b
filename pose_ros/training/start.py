"""What a run begins with: a network, with the weights of a file where one is named."""

from __future__ import annotations

from dataclasses import replace

import torch

from pose_ros.checkpoint import load_checkpoint
from pose_ros.checkpoint.own import is_own
from pose_ros.checkpoint.reading import read_file
from pose_ros.checkpoint.trunk import load_trunk
from pose_ros.network import zoo
from pose_ros.network.model import PoseNetwork
from pose_ros.training.config import InitConfig, TrainingConfig


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
    if config.init.file is None:
        return network, "began with random weights"
    taken = _filled(network, config.init)
    total = len(network.state_dict())
    return network, f"began with {taken} of {total} entries from {config.init.file}"


def _filled(network: PoseNetwork, config: InitConfig) -> str:
    if config.file is None:
        return "0"
    if config.parts == "backbone" and not is_own(read_file(config.file)):
        return f"{load_trunk(network, config.file)} (backbone)"
    own, given = network.state_dict(), load_checkpoint(config.file).state_dict()
    if config.parts == "backbone":
        own = {key: value for key, value in own.items() if key.startswith("backbone.")}
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    left = [key for key in own if key not in fitting]
    if config.parts != "fitting" and left:
        raise ValueError(
            f"init: expected {len(own)} entries in {config.file}, got none that fit for {len(left)}, first "
            f"{', '.join(left[:3])}; parts: fitting takes what fits"
        )
    if not fitting:
        raise ValueError(f"init: expected entries that fit this network in {config.file}, got none")
    network.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} ({config.parts}{', not ' * bool(left)}{', '.join(left[:4])}{', …' * (len(left) > 4)})"
