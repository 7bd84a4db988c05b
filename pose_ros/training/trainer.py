"""Train a network from a configuration.

A run may be killed at any time. The next start resumes it from its newest complete checkpoint. On a CPU with a fixed
number of threads, a resumed run gives bit-identical numbers to a run without interruption.
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
from pose_ros.cores import default_threads
from pose_ros.media.results import write_image
from pose_ros.training.checkpoints import STATE, Checkpoints
from pose_ros.training.config import TrainingConfig
from pose_ros.training.contact_sheet import draw_contact_sheet
from pose_ros.training.finish import finish
from pose_ros.training.learner import Learner, StepResult
from pose_ros.training.loader import Batch, Positions, make_loader
from pose_ros.training.log import LogFiles, RunStatus, Throughput, Watcher
from pose_ros.training.losses.fields import FieldsLoss
from pose_ros.training.optimisation import rate_factor
from pose_ros.training.parallel import World, join_processes
from pose_ros.training.run_inputs import RunInputs, make_examples, open_run_inputs
from pose_ros.training.validation import validate

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Trainer:
    """Training run of a network, from a configuration to the final weights.

    Args:
        config: Settings of the run.
        inputs: Network and samples. Default: those that the configuration names.
        watchers: Receivers of the status and scores, in addition to the log files.
        fresh: Whether to start from the beginning if the output folder has checkpoints. The folder is then renamed.
    """

    def __init__(
        self,
        config: TrainingConfig,
        inputs: RunInputs | None = None,
        watchers: Sequence[Watcher] = (),
        fresh: bool = False,
    ) -> None:
        self.config, self.inputs, self.watchers, self.fresh = config, inputs, watchers, fresh

    def run(self) -> Path:
        """Train to the end. Resume if an earlier run with the same output folder stopped before.

        SIGINT and SIGTERM stop the run after the current step and write a checkpoint. The signal is then raised again.

        Returns:
            The final checkpoint, ``model.pt`` in the output folder, next to ``model.onnx`` and the model card.

        Raises:
            ValueError: If the settings do not match the network or the data, or if the loss stays non-finite.
        """
        free = default_threads(taken=self.config.loader.workers)
        torch.set_num_threads(self.config.threads or min(torch.get_num_threads(), free))
        torch.backends.cudnn.benchmark = True
        with join_processes(self.config.device) as world, StopSignal() as stop:
            inputs = self.inputs or open_run_inputs(self.config)
            with _Run(self.config, inputs, world, list(self.watchers)) as run:
                run.begin(self.fresh)
                number = run.train(stop)
                if not number and world.first:
                    run.end()
        if number:
            signal.raise_signal(number)
        return self.config.output / "model.pt"


class _Run(ExitStack):
    """One process of a run. Use it in a ``with`` block."""

    def __init__(self, config: TrainingConfig, inputs: RunInputs, world: World, watchers: list[Watcher]) -> None:
        super().__init__()
        self.config, self.inputs, self.world = config, inputs, world
        self.steps = config.steps or math.ceil(config.epochs * inputs.epoch / config.batch)
        self.loss = FieldsLoss(config.loss)
        self.learner = Learner(inputs.network, self.loss, config, self.steps, world)
        self.checkpoints = Checkpoints(config.output / "checkpoints", config.checkpoint)
        self.watchers = watchers if world.first else []
        self.step = self.skipped = self.in_a_row = 0

    def begin(self, fresh: bool) -> None:
        """Resume from the newest checkpoint if there is one, and open the log files."""
        checkpoint = None
        if self.world.first:
            if fresh:
                set_aside(self.config.output)
            checkpoint = self.checkpoints.load_newest(self.notify)
        checkpoint = self.world.broadcast(checkpoint)
        if checkpoint is not None:
            self._restore(checkpoint)
        if self.world.first:
            self.watchers.append(self.enter_context(closing(LogFiles(self.config.output, self.step))))
            write_config(self.config, self.config.output / "config.yaml")
        for note in dict.fromkeys(self.inputs.notes):  # training and validation may read one file
            self.notify(note)

    def train(self, stop: StopSignal) -> int:
        """Run the remaining steps. Return the signal that stopped the run, or 0 if it is complete."""
        self.throughput = Throughput(self.step)
        batches = self.throughput.time_items(self._make_loader())
        number = self.world.maximum(stop.number)
        while self.step < self.steps and not number:
            try:
                result = self.learner.step(self.step, batches)
            except RuntimeError:  # the signal may have stopped the loader workers too
                if not stop.number:
                    raise
                number = stop.number
                break
            self._count(result)
            number = self.world.maximum(stop.number)
            if self.world.first:
                self._log_step(result)
        if number and self.world.first:
            self.notify(f"stopped after step {self.step}, checkpoint: {self._save()}")
        return number

    def end(self) -> None:
        """Validate, and write the results of the run."""
        self._validate()
        for note in finish(self.learner.average.network, self.config, self.inputs, self.step, self.skipped):
            self.notify(note)

    def notify(self, text: str) -> None:
        """Send one line of text to the watchers."""
        for watcher in self.watchers:
            watcher.notify(text)

    def _restore(self, content: dict[str, Any]) -> None:
        state = content[STATE]
        self.learner.restore(state, content["state_dict"])
        self.step, self.skipped, self.in_a_row = state["step"], state["skipped"], state["in_a_row"]
        self.notify(f"resumed after step {self.step}")
        before, now = state["config"], to_plain(self.config)
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            self.notify(f"settings changed since the checkpoint: {', '.join(changed)}")

    def _make_loader(self) -> Iterator[Batch]:
        config, world = self.config, self.world
        positions = Positions(self.step, self.steps, config.batch, config.accumulation, world.rank, world.size)
        examples = make_examples(self.inputs.stream, self.inputs.epoch, self.inputs.network.spec, config.targets)
        return make_loader(examples, positions, config.loader, world.device.type == "cuda")

    def _count(self, result: StepResult) -> None:
        self.step += 1
        self.in_a_row = 0 if result.taken else self.in_a_row + 1
        self.skipped += not result.taken
        if self.in_a_row >= self.config.most_skipped:
            raise ValueError(
                f"loss: expected finite numbers, got NaN or infinity in the last {self.in_a_row} steps up to step "
                f"{self.step}; lower optimiser.rate or check the labels (earlier checkpoints are kept)"
            )

    def _log_step(self, result: StepResult) -> None:
        """Log, validate and save when due. The last validation is done in ``end``."""
        config, step = self.config, self.step
        if step % config.log_steps == 0 or step == self.steps:
            self._report_status(result)
        if config.validation.steps and step % config.validation.steps == 0 and step < self.steps:
            self._validate()
        if self.checkpoints.is_due(step) or step == self.steps:
            self._save()

    def _report_status(self, result: StepResult) -> None:
        speed, share = self.throughput.read(self.step, self.config.batch)
        rate = rate_factor(self.step - 1, self.steps, self.config.schedule)
        status = RunStatus(self.step, self.steps, result.losses, rate, result.gradient, self.skipped, speed, share)
        for watcher in self.watchers:
            watcher.progress(status)

    def _validate(self) -> None:
        network, samples = self.learner.average.network, self.inputs.validation
        if len(samples):
            scores = validate(network, samples, self.loss, self.config)
            for watcher in self.watchers:
                watcher.scores(self.step, scores)
        if self.config.validation.pictures:
            write_image(self.config.output / "pictures" / f"step_{self.step:08d}.jpg", self._draw_sheet())

    def _draw_sheet(self) -> Any:
        inputs, count = self.inputs, self.config.validation.pictures
        samples = [inputs.validation[i] for i in range(min(count, len(inputs.validation)))]
        samples = samples or [inputs.stream.sample(0, i) for i in range(min(count, inputs.epoch))]
        return draw_contact_sheet(self.learner.average.network, samples)

    def _save(self) -> Path:
        state = {
            **self.learner.state(),
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "config": to_plain(self.config),
        }
        return self.checkpoints.save(self.learner.average.network, self.config.network, self.step, state)


class StopSignal:
    """SIGINT or SIGTERM received inside a ``with`` block, in the main thread only. Ignored signals stay ignored.

    A second signal has the effect that it would have outside of the block.

    Attributes:
        number: Number of the received signal. 0 = none yet.
    """

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._note) for number in caught}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            self._restore()
            signal.raise_signal(number)
        self.number = number

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def set_aside(folder: Path) -> None:
    """Rename a folder with a number suffix, so that its content is kept."""
    if folder.is_dir():
        number = next(n for n in range(1, 1_000_000) if not folder.with_name(f"{folder.name}.{n}").exists())
        folder.rename(folder.with_name(f"{folder.name}.{number}"))
