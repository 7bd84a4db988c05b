"""``pose_ros train``: train a network from a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli.options import refuse_twice

if TYPE_CHECKING:
    from pose_ros.training.log import RunStatus


def train(
    config: Annotated[Path, typer.Argument(help="Training configuration, e.g. configs/finetune.yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output folder.", show_default="as configured")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Number of steps.", show_default="as configured")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. optimiser.rate=0.001. Repeatable."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start from the beginning. An existing output folder is renamed.")
    ] = False,
) -> None:
    """Train a network, or continue a stopped run.

    A run continues if its output folder already holds checkpoints.

    pose_ros train configs/finetune.yaml -o output/my_camera

    torchrun --nproc-per-node 8 --no-python pose_ros train configs/coco.yaml
    """
    from pose_ros.training.config import load_config
    from pose_ros.training.trainer import Trainer

    refuse_twice(settings, {"output": output, "steps": steps})
    assignments = list(settings or ())
    if output is not None:
        assignments.append(f"output={output.resolve()}")
    if steps is not None:
        assignments += [f"steps={steps}", "epochs=0"]
    with Display() as display:
        Trainer(load_config(config, assignments), watchers=[display], fresh=fresh).run()


class Display:
    """Progress of a training run: a bar in a terminal, plain lines elsewhere. Use it in a ``with``."""

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

    def progress(self, status: RunStatus) -> None:
        """Update the bar, or print a line."""
        text = (
            f"loss {status.losses['loss']:.4g}  {status.images_per_s:.0f} images/s  "
            f"waiting {status.wait_share:.0%}{f'  skipped {status.skipped}' * bool(status.skipped)}"
        )
        if self._bar.disable:
            return self.notify(f"step {status.step} of {status.steps}  {text}")
        if self._task is None:
            self._bar.start()  # only now, because only one of several processes reports progress
            self._task = self._bar.add_task(text, total=status.steps)
        return self._bar.update(self._task, completed=status.step, description=text)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Print the scores of a validation. AP is in percent, as in ``pose_ros evaluate``."""
        texts = [
            f"{name} {value:.1f} %" if name.startswith("AP") else f"{name} {value:.4g}"
            for name, value in scores.items()
        ]
        self.notify(f"validation, step {step}: {'  '.join(texts)}")

    def notify(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
