"""``pose_ros build-engine``: build the TensorRT engine of a model, so that later starts do not wait for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pose_ros.cli.options import make_configs
from pose_ros.cli.progress import BuildBar


def build_engine(
    model: Annotated[Path | None, typer.Argument(help="ONNX file.", show_default="the model of this package")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any runtime setting, e.g. runtime.max_batch=2. Repeatable."),
    ] = None,
) -> None:
    """Build the TensorRT engine of a model ahead of time.

    Later starts with the same settings on this machine load the engine. An engine that exists is not built again.

    pose_ros build-engine model.onnx --set runtime.best_size=352x480
    """
    from pose_ros.models.model_file import find_model
    from pose_ros.runtime.tensorrt.runner import TensorRTRunner

    config, _ = make_configs(settings, None, None, False, False)
    start_s = time.monotonic()
    with BuildBar() as bar:
        runner = TensorRTRunner(find_model(model), config.runtime, bar.progress, bar.notify)
    with runner:
        if not runner.plan.is_file():
            raise OSError(f"engine: expected a writable folder, got {runner.plan.parent}; set runtime.cache")
        outcome = "built and loaded" if runner.has_built else "already built, loaded"
        seconds, megabytes = time.monotonic() - start_s, runner.plan.stat().st_size / 1e6
        typer.echo(runner.plan)
        typer.echo(f"{runner.description}: {outcome} in {seconds:.1f} s, {megabytes:.1f} MB", err=True)
