"""A network that learns: forward, loss, backward, step, on one process or several, in full or mixed precision.

References:
    Micikevicius et al., Mixed Precision Training, arXiv:1710.03740 (the scaling of fp16 gradients).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_ros.network.model import FieldTensors, PoseNetwork
from pose_ros.training.config import TrainingConfig
from pose_ros.training.distillation import FieldTeacher, distance, load_teacher
from pose_ros.training.loader import Batch, Normaliser
from pose_ros.training.optimisation import (
    MovingAverage,
    freeze,
    make_optimiser,
    rate_factor,
    restore_optimiser,
    set_rates,
)
from pose_ros.training.parallel import World

Loss = Callable[[list[FieldTensors], Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepResult:
    """What came of a step, the same on all processes.

    Attributes:
        losses: ``loss`` and its parts, means over the batch.
        gradient: Length of the gradient before it was clipped.
        taken: Whether the weights moved; not after a loss that is not finite.
    """

    losses: dict[str, float]
    gradient: float
    taken: bool


class Learner:
    """The network and all that changes while it learns.

    Args:
        network: The network, on any device.
        loss: Stages and targets to the loss and its parts.
        config: Optimiser, schedule, precision.
        steps: Of the whole run.
        world: This process among the others.

    Attributes:
        network: The network, as it is trained.
        average: The moving average of its weights, which is the better network.
    """

    def __init__(self, network: PoseNetwork, loss: Loss, config: TrainingConfig, steps: int, world: World) -> None:
        self.network = network.to(world.device, memory_format=torch.channels_last)
        self.config, self.steps, self.world = config, steps, world
        self.average = MovingAverage(self.network, config.optimiser.ema)
        self._frozen = freeze(self.network, config.optimiser.freeze)
        self._optimiser = make_optimiser(self.network, config.optimiser)
        self._wrapped = world.wrapped(self.network)
        self._teacher = self._load_teacher()
        self._loss, self._normalised = loss, Normaliser(network.spec.input, world.device)
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=config.precision == "fp16")
        self._statistics = [value for value in self.network.buffers() if value.is_floating_point()]

    def step(self, step: int, batches: Iterator[Batch]) -> StepResult:
        """Take one step, on as many batches as the configuration asks for.

        Args:
            step: Steps done before it.
            batches: Batches of this process.
        """
        self._begin(step)
        before = [value.clone() for value in self._statistics]
        losses = self._accumulated(batches)
        self._scaler.unscale_(self._optimiser)
        gradient = float(self._clipped())
        # fp16 scales its gradients until they overflow, on purpose: the scaler then leaves the step out by itself
        taken = math.isfinite(losses["loss"]) and (math.isfinite(gradient) or self._scaler.is_enabled())
        if taken:
            self._scaler.step(self._optimiser)
            self.average.update(step)
        elif before:
            torch._foreach_copy_(self._statistics, before)
        self._scaler.update()
        return StepResult(losses, gradient, taken)

    def state(self) -> dict[str, Any]:
        """Everything that changes, as plain data and tensors, besides the averaged weights."""
        weights = self.network.state_dict() if self.average.decay else {}
        return {"weights": weights, "optimiser": self._optimiser.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any], averaged: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["weights"] or averaged)
        if self.average.decay:
            self.average.network.load_state_dict(averaged)
        restore_optimiser(self._optimiser, state["optimiser"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def _begin(self, step: int) -> None:
        """Everything random is a function of seed, step and process: nothing of it needs to be saved."""
        seeds = np.random.SeedSequence((self.config.seed, step, self.world.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        self.network.train()
        for module in self._frozen:
            module.eval()
        set_rates(self._optimiser, rate_factor(step, self.steps, self.config.schedule))
        self._optimiser.zero_grad(set_to_none=True)

    def _accumulated(self, batches: Iterator[Batch]) -> dict[str, float]:
        """Leave the gradient of the mean loss over all batches and processes; return that loss and its parts."""
        count, sums = self.config.accumulation, None
        for index in range(count):
            batch = next(batches)
            with self._communicating(index == count - 1):
                loss, parts = self._losses(batch)
                self._scaler.scale(loss / count).backward()
            values = torch.stack([loss.detach().float(), *(part.float() for part in parts.values())]) / count
            sums = values if sums is None else sums + values
        means = self.world.mean(sums).tolist()
        return dict(zip(("loss", *parts), means, strict=True))

    def _losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        device, precision = self.world.device, _PRECISIONS[self.config.precision]
        moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        pixels = moved.pop("image")
        images = self._normalised(pixels)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            stages = self._wrapped(images)
            wanted = {} if self._teacher is None else self._teacher(pixels, _grid(stages))
        loss, parts = self._loss(stages, moved)
        if not wanted:
            return loss, parts
        taught, share = distance(stages, wanted), self.config.distillation.weight
        return (1 - share) * loss + share * taught, {**parts, "teacher": taught.detach()}

    def _load_teacher(self) -> FieldTeacher | None:
        file = self.config.distillation.file
        return None if file is None else load_teacher(file, self.network.spec, self.world.device)

    def _communicating(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are averaged over the processes once per step, with the last batch."""
        return nullcontext() if last or self.world.size == 1 else self._wrapped.no_sync()

    def _clipped(self) -> Tensor:
        weights = [weight for group in self._optimiser.param_groups for weight in group["params"]]
        return torch.nn.utils.clip_grad_norm_(weights, self.config.optimiser.clip or math.inf)


def _grid(stages: list[FieldTensors]) -> tuple[int, ...]:
    """Rows and columns of the fields."""
    return tuple(next(iter(stages[-1].values())).shape[2:])
