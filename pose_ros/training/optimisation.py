"""Optimiser, learning rate schedule, frozen weights and moving average of the weights.

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
    """Make an optimiser with separate groups for the backbone and the rest, with and without weight decay.

    Frozen weights are in no group. Each group stores its highest rate under ``"highest"``.

    Raises:
        ValueError: If everything is frozen.
    """
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            groups.setdefault((name.startswith("backbone."), weight.ndim > 1), []).append(weight)
    if not groups:
        raise ValueError(f"optimiser.freeze: expected at least one weight to train, got none from {config.freeze}")
    rates = {True: config.backbone_rate, False: config.rate}
    decays = {True: config.backbone_weight_decay, False: config.weight_decay}
    rows = [
        {"params": weights, "highest": rates[backbone], "lr": 0.0, "weight_decay": decays[backbone] if decayed else 0.0}
        for (backbone, decayed), weights in groups.items()
    ]
    on_gpu = next(network.parameters()).is_cuda
    return _OPTIMISERS[config.name](rows, fused=True) if on_gpu else _OPTIMISERS[config.name](rows)


def set_rates(optimiser: Any, factor: float) -> None:
    """Set every learning rate to ``factor`` times its highest value."""
    for group in optimiser.param_groups:
        group["lr"] = group["highest"] * factor


def restore_optimiser(optimiser: Any, saved: dict[str, Any]) -> None:
    """Restore the moments of a saved optimiser. Rates and weight decay keep the values configured now."""
    optimiser.load_state_dict({"state": saved["state"], "param_groups": optimiser.state_dict()["param_groups"]})


def rate_factor(step: int, steps: int, config: ScheduleConfig) -> float:
    """Compute the learning rate of a step, relative to the highest.

    Args:
        step: Number of completed steps.
        steps: Number of steps of the whole run.
        config: Settings of the warm-up and the decay.
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
    """Exclude weights from training.

    Args:
        network: Network to change.
        patterns: Names of modules or weights. ``*`` matches any text.

    Returns:
        The frozen modules. Keep them in evaluation mode, so that their normalisation statistics do not change.

    Raises:
        ValueError: If a pattern matches no module and no weight.
    """
    frozen = []
    for pattern in patterns:
        modules = [module for name, module in network.named_modules() if name and fnmatchcase(name, pattern)]
        weights = [weight for name, weight in network.named_parameters() if fnmatchcase(name, pattern)]
        if not modules and not weights:
            names = [name for name, _ in network.named_children()]
            raise ValueError(f"optimiser.freeze: expected names of modules such as {', '.join(names)}, got {pattern!r}")
        for weight in [*weights, *(weight for module in modules for weight in module.parameters())]:
            weight.requires_grad_(False)
        frozen += modules
    return frozen


class MovingAverage:
    """Exponential moving average of the weights and statistics of a network, in a second network.

    The decay is min(decay, (1 + step) / (10 + step)), so that the average follows faster at the start.

    Args:
        network: Network in training.
        decay: Decay per step. 0 = off: the average is the network itself.

    Attributes:
        network: Network with the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval() if decay else network
        self._means, self._values = float_tensors(self.network), float_tensors(network)

    def update(self, step: int) -> None:
        """Update the average with the weights of the step."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._means, self._values, 1 - decay)


def float_tensors(network: nn.Module) -> list[Tensor]:
    """Return all weights and statistics as references to the tensors, not as copies."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
