"""Run training steps of a network, on one process or several, in full or mixed precision.

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
    """Result of a training step, the same on all processes.

    Attributes:
        losses: ``loss`` and its parts, means over the batch.
        gradient: Norm of the gradient before clipping.
        taken: Whether the weights were updated. False if the loss is not finite.
    """

    losses: dict[str, float]
    gradient: float
    taken: bool


class Learner:
    """Network with all state that changes during training.

    Args:
        network: Network to train, on any device.
        loss: Function of stages and targets that returns the loss and its parts.
        config: Settings of the optimiser, schedule and precision.
        steps: Number of steps of the whole run.
        world: This process and the number of processes.

    Attributes:
        network: Network in training.
        average: Moving average of its weights: the network to validate and save.
    """

    def __init__(self, network: PoseNetwork, loss: Loss, config: TrainingConfig, steps: int, world: World) -> None:
        self.network = network.to(world.device, memory_format=torch.channels_last)
        self.config, self.steps, self.world = config, steps, world
        self.average = MovingAverage(self.network, config.optimiser.ema)
        self._frozen = freeze(self.network, config.optimiser.freeze)
        self._optimiser = make_optimiser(self.network, config.optimiser)
        self._parallel = world.wrap(self.network)
        self._teacher = self._load_teacher()
        self._loss, self._normalise = loss, Normaliser(network.spec.input, world.device)
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=config.precision == "fp16")
        self._statistics = [value for value in self.network.buffers() if value.is_floating_point()]

    def step(self, step: int, batches: Iterator[Batch]) -> StepResult:
        """Run one step on ``config.accumulation`` batches.

        Args:
            step: Number of completed steps.
            batches: Batches of this process.
        """
        self._prepare_step(step)
        before = [value.clone() for value in self._statistics]
        losses = self._accumulate(batches)
        self._scaler.unscale_(self._optimiser)
        gradient = float(self._clip_gradient())
        # With fp16, the scaler lets gradients overflow on purpose and then skips the step itself.
        taken = math.isfinite(losses["loss"]) and (math.isfinite(gradient) or self._scaler.is_enabled())
        if taken:
            self._scaler.step(self._optimiser)
            self.average.update(step)
        elif before:
            torch._foreach_copy_(self._statistics, before)
        self._scaler.update()
        return StepResult(losses, gradient, taken)

    def state(self) -> dict[str, Any]:
        """Return the training state as plain data and tensors, without the averaged weights."""
        weights = self.network.state_dict() if self.average.decay else {}
        return {"weights": weights, "optimiser": self._optimiser.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any], averaged: Mapping[str, Tensor]) -> None:
        """Restore a saved state."""
        self.network.load_state_dict(state["weights"] or averaged)
        if self.average.decay:
            self.average.network.load_state_dict(averaged)
        restore_optimiser(self._optimiser, state["optimiser"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def _prepare_step(self, step: int) -> None:
        """Seed the random numbers from seed, step and process, so that no random state has to be saved."""
        seeds = np.random.SeedSequence((self.config.seed, step, self.world.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        self.network.train()
        for module in self._frozen:
            module.eval()
        set_rates(self._optimiser, rate_factor(step, self.steps, self.config.schedule))
        self._optimiser.zero_grad(set_to_none=True)

    def _accumulate(self, batches: Iterator[Batch]) -> dict[str, float]:
        """Accumulate the gradient of the mean loss over batches and processes, and return that loss and its parts."""
        count, sums = self.config.accumulation, None
        for index in range(count):
            batch = next(batches)
            with self._sync_context(index == count - 1):
                loss, parts = self._compute_losses(batch)
                self._scaler.scale(loss / count).backward()
            values = torch.stack([loss.detach().float(), *(part.float() for part in parts.values())]) / count
            sums = values if sums is None else sums + values
        means = self.world.mean(sums).tolist()
        return dict(zip(("loss", *parts), means, strict=True))

    def _compute_losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        device, precision = self.world.device, _PRECISIONS[self.config.precision]
        moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        pixels = moved.pop("image")
        images = self._normalise(pixels)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            stages = self._parallel(images)
            teacher_fields = {} if self._teacher is None else self._teacher(pixels, _grid_shape(stages))
        loss, parts = self._loss(stages, moved)
        if not teacher_fields:
            return loss, parts
        teacher_loss, share = distance(stages, teacher_fields), self.config.distillation.weight
        return (1 - share) * loss + share * teacher_loss, {**parts, "teacher": teacher_loss.detach()}

    def _load_teacher(self) -> FieldTeacher | None:
        file = self.config.distillation.file
        return None if file is None else load_teacher(file, self.network.spec, self.world.device)

    def _sync_context(self, last: bool) -> AbstractContextManager[Any]:
        """Return a context that averages gradients over the processes with the last batch of a step only."""
        return nullcontext() if last or self.world.size == 1 else self._parallel.no_sync()

    def _clip_gradient(self) -> Tensor:
        weights = [weight for group in self._optimiser.param_groups for weight in group["params"]]
        return torch.nn.utils.clip_grad_norm_(weights, self.config.optimiser.clip or math.inf)


def _grid_shape(stages: list[FieldTensors]) -> tuple[int, ...]:
    """Return rows and columns of the fields."""
    return tuple(next(iter(stages[-1].values())).shape[2:])
