"""The trainer: a configuration becomes a network.

A run may be killed at any moment. Started again, it goes on from its newest whole checkpoint; on a CPU with a fixed
number of threads it then gives the same numbers, bit by bit, as if it had never stopped.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from pose_ros.config_file import to_plain, write_config
from pose_ros.media.results import write_image
from pose_ros.training.checkpoints import STATE, Checkpoints
from pose_ros.training.config import TrainingConfig
from pose_ros.training.contact_sheet import contact_sheet
from pose_ros.training.finish import finish
from pose_ros.training.learner import Learner, StepResult
from pose_ros.training.loader import Batch, Positions, make_loader
from pose_ros.training.log import Files, RunStatus, Throughput, Watcher
from pose_ros.training.losses.fields import FieldsLoss
from pose_ros.training.optimisation import rate_factor
from pose_ros.training.parallel import World, joined
from pose_ros.training.run_inputs import RunInputs, examples, open_run_inputs
from pose_ros.training.validation import validated

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Trainer:
    """Trains a network.

    Args:
        config: Everything that the run is told.
        materials: Network and samples of one's own; by default those that the configuration names.
        watchers: Who is told how it goes, beside the log files.
        fresh: Whether to begin anew where the output folder has checkpoints; what it holds is then set aside.
    """

    def __init__(
        self,
        config: TrainingConfig,
        materials: RunInputs | None = None,
        watchers: Sequence[Watcher] = (),
        fresh: bool = False,
    ) -> None:
        self.config, self.materials, self.watchers, self.fresh = config, materials, watchers, fresh

    def run(self) -> Path:
        """Train to the end, from wherever an earlier run of the same output folder stopped.

        SIGINT and SIGTERM end it after the current step, with a checkpoint; they then have their usual effect.

        Returns:
            The final checkpoint, ``model.pt`` in the output folder; ``model.onnx`` and a model card lie beside it.

        Raises:
            ValueError: If something does not fit, or the loss stays without a finite value.
        """
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        torch.backends.cudnn.benchmark = True
        with joined(self.config.device) as world, StopSignal() as stopping:
            materials = self.materials or open_run_inputs(self.config)
            with _Run(self.config, materials, world, list(self.watchers)) as run:
                run.begin(self.fresh)
                number = run.train(stopping)
                if not number and world.first:
                    run.end()
        if number:
            signal.raise_signal(number)
        return self.config.output / "model.pt"


class _Run(ExitStack):
    """One process of a run, while it lasts. Use it in a ``with``."""

    def __init__(self, config: TrainingConfig, materials: RunInputs, world: World, watchers: list[Watcher]) -> None:
        super().__init__()
        self.config, self.materials, self.world = config, materials, world
        self.steps = config.steps or math.ceil(config.epochs * materials.epoch / config.batch)
        self.loss = FieldsLoss(config.loss)
        self.learner = Learner(materials.network, self.loss, config, self.steps, world)
        self.checkpoints = Checkpoints(config.output / "checkpoints", config.checkpoint)
        self.watchers = watchers if world.first else []
        self.step = self.skipped = self.in_a_row = 0

    def begin(self, fresh: bool) -> None:
        """Open the log, and go on from the newest checkpoint."""
        found = None
        if self.world.first:
            if fresh:
                set_aside(self.config.output)
            found = self.checkpoints.newest(self.say)
        found = self.world.shared(found)
        if found is not None:
            self._restore(found)
        if self.world.first:
            self.watchers.append(self.enter_context(closing(Files(self.config.output, self.step))))
            write_config(self.config, self.config.output / "config.yaml")
        for note in self.materials.notes:
            self.say(note)

    def train(self, stopping: StopSignal) -> int:
        """Take all steps that are left; returns the signal that ended it before, or 0."""
        self.meter = Throughput(self.step)
        batches = self.meter.timed(self._batches())
        number = self.world.largest(stopping.number)
        while self.step < self.steps and not number:
            try:
                result = self.learner.step(self.step, batches)
            except RuntimeError:  # the signal may have reached the loader's processes, too
                if not stopping.number:
                    raise
                number = stopping.number
                break
            self._count(result)
            number = self.world.largest(stopping.number)
            if self.world.first:
                self._tell(result)
        if number and self.world.first:
            self.say(f"stopped after step {self.step}, {self._save()}")
        return number

    def end(self) -> None:
        """Write what is to last."""
        self._validate()
        for note in finish(self.learner.average.network, self.config, self.materials, self.step, self.skipped):
            self.say(note)

    def say(self, text: str) -> None:
        """Tell the watchers."""
        for watcher in self.watchers:
            watcher.say(text)

    def _restore(self, content: dict[str, Any]) -> None:
        state = content[STATE]
        self.learner.restore(state, content["state_dict"])
        self.step, self.skipped, self.in_a_row = state["step"], state["skipped"], state["in_a_row"]
        self.say(f"goes on after step {self.step}")
        before, now = state["config"], to_plain(self.config)
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            self.say(f"changed since then: {', '.join(changed)}")

    def _batches(self) -> Iterator[Batch]:
        config, world = self.config, self.world
        positions = Positions(self.step, self.steps, config.batch, config.accumulation, world.rank, world.size)
        taught = examples(self.materials.stream, self.materials.epoch, self.materials.network.spec, config.targets)
        return iter(make_loader(taught, positions, config.loader, world.device.type == "cuda"))

    def _count(self, result: StepResult) -> None:
        self.step += 1
        self.in_a_row = 0 if result.taken else self.in_a_row + 1
        self.skipped += not result.taken
        if self.in_a_row >= self.config.most_skipped:
            raise ValueError(
                f"loss: expected finite numbers, got NaN or infinity in the last {self.in_a_row} steps, to step "
                f"{self.step}; lower optimiser.rate, or look for bad labels; checkpoints of before are kept"
            )

    def _tell(self, result: StepResult) -> None:
        """Log, validate and save where it is time to; the last step is left to ``end``."""
        config, step = self.config, self.step
        if step % config.log_steps == 0 or step == self.steps:
            self._report(result)
        if config.validation.steps and step % config.validation.steps == 0 and step < self.steps:
            self._validate()
        if self.checkpoints.due(step) or step == self.steps:
            self._save()

    def _report(self, result: StepResult) -> None:
        speed, share = self.meter.read(self.step, self.config.batch)
        rate = rate_factor(self.step - 1, self.steps, self.config.schedule)
        progress = RunStatus(self.step, self.steps, result.losses, rate, result.gradient, self.skipped, speed, share)
        for watcher in self.watchers:
            watcher.progress(progress)

    def _validate(self) -> None:
        network, samples = self.learner.average.network, self.materials.validation
        if len(samples):
            scores = validated(network, samples, self.loss, self.config)
            for watcher in self.watchers:
                watcher.scores(self.step, scores)
        if self.config.validation.pictures:
            write_image(self.config.output / "pictures" / f"step_{self.step:08d}.jpg", self._sheet())

    def _sheet(self) -> Any:
        materials, count = self.materials, self.config.validation.pictures
        shown = [materials.validation[i] for i in range(min(count, len(materials.validation)))]
        shown = shown or [materials.stream.sample(0, i) for i in range(min(count, materials.epoch))]
        return contact_sheet(self.learner.average.network, shown)

    def _save(self) -> Path:
        state = {
            **self.learner.state(),
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "config": to_plain(self.config),
        }
        return self.checkpoints.save(self.learner.average.network, self.config.network, self.step, state)


class StopSignal:
    """Waits for a signal, for the time of a ``with``; only the main thread can. Ignored ones stay ignored.

    Attributes:
        number: The signal that came; 0 before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            noted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._note) for number in noted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def set_aside(folder: Path) -> None:
    """Give what a folder holds another name, so that nothing is lost."""
    if folder.is_dir():
        number = next(n for n in range(1, 1_000_000) if not folder.with_name(f"{folder.name}.{n}").exists())
        folder.rename(folder.with_name(f"{folder.name}.{number}"))
