"""``pose_ros train``: a configuration becomes a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pose_ros.training.log import RunStatus


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the run, such as configs/default.yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; by default the configuration's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps of the run; by default the configuration's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as optimiser.rate=0.001; repeatable."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; what the output folder holds gets another name.")
    ] = False,
) -> None:
    """Train a network. Started again with the same output folder, it goes on where it stopped.

    pose_ros train configs/default.yaml -o runs/first

    torchrun --nproc-per-node 8 --no-python pose_ros train configs/default.yaml
    """
    from pose_ros.training.config import load_config
    from pose_ros.training.trainer import Trainer

    assignments = list(settings or ())
    if output is not None:
        assignments.append(f"output={output.resolve()}")
    if steps is not None:
        assignments += [f"steps={steps}", "epochs=0"]
    with Display() as display:
        Trainer(load_config(config, assignments), watchers=[display], fresh=fresh).run()


class Display:
    """Shows how a run goes: a bar in a terminal, plain lines elsewhere. Use it in a ``with``."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True)
        times = TimeElapsedColumn(), TimeRemainingColumn()
        columns = BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.description}")
        self._bar = Bar(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task: Any = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def progress(self, progress: RunStatus) -> None:
        """Move the bar, or write a line."""
        text = (
            f"loss {progress.losses['loss']:.4g}  {progress.images_per_s:.0f} images/s  "
            f"waiting {progress.wait_share:.0%}{f'  skipped {progress.skipped}' * bool(progress.skipped)}"
        )
        if self._bar.disable:
            return self.say(f"step {progress.step} of {progress.steps}  {text}")
        if self._task is None:
            self._bar.start()  # only now: of several processes, one is told
            self._task = self._bar.add_task(text, total=progress.steps)
        return self._bar.update(self._task, completed=progress.step, description=text)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Write a line."""
        self.say(f"validation, step {step}: " + "  ".join(f"{name} {value:.4g}" for name, value in scores.items()))

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
