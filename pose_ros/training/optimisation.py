"""How weights move: learning rates and decay by part of the network, the schedule, and the moving average.

References:
    Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101 (AdamW).
    Loshchilov and Hutter, SGDR, arXiv:1608.03983, eq. 5 (cosine).
    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992 (the average of the weights).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from pose_ros.training.config import OptimiserConfig, ScheduleConfig

_OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def make_optimiser(network: nn.Module, config: OptimiserConfig) -> Any:
    """An optimiser with a group per part, backbone and rest, each with and without decay; frozen weights are in none.

    Each group has its highest rate under ``"highest"``.

    Raises:
        ValueError: If everything is frozen.
    """
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            groups.setdefault((name.startswith("backbone."), weight.ndim > 1), []).append(weight)
    if not groups:
        raise ValueError(f"optimiser.freeze: expected weights that are left to train, got none from {config.freeze}")
    rates = {True: config.backbone_rate, False: config.rate}
    decays = {True: config.backbone_weight_decay, False: config.weight_decay}
    rows = [
        {"params": weights, "highest": rates[trunk], "lr": 0.0, "weight_decay": decays[trunk] if decayed else 0.0}
        for (trunk, decayed), weights in groups.items()
    ]
    on_gpu = next(network.parameters()).is_cuda
    return _OPTIMISERS[config.name](rows, fused=True) if on_gpu else _OPTIMISERS[config.name](rows)


def set_rates(optimiser: Any, factor: float) -> None:
    """Set every rate to a share of its highest."""
    for group in optimiser.param_groups:
        group["lr"] = group["highest"] * factor


def restore_optimiser(optimiser: Any, saved: dict[str, Any]) -> None:
    """Take over the moments of a saved optimiser; rates and decay stay as they are configured now."""
    optimiser.load_state_dict({"state": saved["state"], "param_groups": optimiser.state_dict()["param_groups"]})


def rate_factor(step: int, steps: int, config: ScheduleConfig) -> float:
    """The learning rate of a step, relative to the highest.

    Args:
        step: Steps done before it.
        steps: Of the whole run.
        config: Warm-up and fall.
    """
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    progress = min(1.0, (step - config.warm_up) / max(1, steps - config.warm_up))
    if config.shape == "cosine":
        return config.final + (1 - config.final) * (1 + math.cos(math.pi * progress)) / 2  # SGDR, eq. 5
    if config.shape == "steps":
        return float(config.factor ** sum(step >= share * steps for share in config.milestones))
    return 1.0


def freeze(network: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Take weights out of training.

    Args:
        network: The network.
        patterns: Names of modules or weights, with ``*`` for any.

    Returns:
        The modules that stay in evaluation, so that the statistics of their normalisations stay as they are.

    Raises:
        ValueError: If a pattern names nothing.
    """
    frozen = []
    for pattern in patterns:
        modules = [module for name, module in network.named_modules() if name and fnmatchcase(name, pattern)]
        weights = [weight for name, weight in network.named_parameters() if fnmatchcase(name, pattern)]
        if not modules and not weights:
            names = [name for name, _ in network.named_children()]
            raise ValueError(f"optimiser.freeze: expected names of modules, as {', '.join(names)}, got {pattern!r}")
        for weight in [*weights, *(weight for module in modules for weight in module.parameters())]:
            weight.requires_grad_(False)
        frozen += modules
    return frozen


class MovingAverage:
    """A second network whose weights and statistics are the exponential average of those of the first.

    At the start it follows faster: its decay is the lower of its own and (1 + step) / (10 + step).

    Args:
        network: The first network.
        decay: Of each step; 0 makes it the first network itself.

    Attributes:
        network: The second.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval() if decay else network
        self._means, self._values = floats(self.network), floats(network)

    def update(self, step: int) -> None:
        """Take the weights of the step into the mean."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._means, self._values, 1 - decay)


def floats(network: nn.Module) -> list[Tensor]:
    """All weights and statistics, the tensors themselves."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
