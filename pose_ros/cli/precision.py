"""The part of ``pose_ros export`` that is about precision: quantising, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pose_ros.calibration import Image
    from pose_ros.quantise import QuantiseReport

NO_BF16 = (
    "--bf16: expected a precision that ONNX opset 17 has, got bfloat16, which convolutions have only since "
    "opset 22, which ONNX Runtime cannot run on a CPU. Export in float32 and let OpenVINO compute in bfloat16 "
    "(runtime.backend: openvino, runtime.precision: bf16); for a GPU take --half"
)


@dataclass(frozen=True)
class Wishes:
    """What the command asks for in precision.

    Attributes:
        half: Half precision.
        int8: 8-bit integers.
        calibrate: Images to quantise by.
        report: Images to show the cost on; None takes those of ``calibrate``.
        images: How many are taken of each at most.
        options: How to quantise: the fields of ``QuantiseOptions``.
    """

    half: bool
    int8: bool
    calibrate: Path | None
    report: Path | None
    images: int
    options: Mapping[str, Any]

    def check(self) -> None:
        """Raise ValueError unless they go together, and what ``images_of`` raises where there are no images."""
        from pose_ros.calibration import images_of

        if self.int8 and self.half:
            raise ValueError("--int8: expected one precision, got --half, too")
        if self.int8 and self.calibrate is None:
            raise ValueError(
                "--int8: expected --calibrate IMAGES (a folder, image, video or bag such as the network will see), "
                "got none; some dozens of images are enough"
            )
        if self.report is not None and not (self.int8 or self.half):
            raise ValueError("--report: expected --int8 or --half, whose cost it tells, got neither")
        for path in (self.calibrate, self.report):
            if path is not None:
                images_of(path, self.images)

    @property
    def shown(self) -> Path | None:
        """The images to show the cost on."""
        return self.report or self.calibrate


def quantised(model: Path, target: Path, wishes: Wishes) -> None:
    """Quantise a file and say what has become of it."""
    from rich.console import Console
    from rich.progress import Progress

    from pose_ros.calibration import images_of
    from pose_ros.quantise import QuantiseOptions, quantise

    options = QuantiseOptions(**wishes.options)
    images = images_of(wishes.calibrate or "", wishes.images)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading images", total=1.0)
        report = quantise(
            model, target, images, options, lambda text, share: bar.update(task, description=text, completed=share)
        )
    _show(report, options.method)


def show_cost(reference: Path, model: Path, wishes: Wishes) -> None:
    """Show the same images to a float32 file and another, and print how far their answers are from each other."""
    from rich.console import Console
    from rich.progress import track

    from pose_ros.calibration import images_of
    from pose_ros.cli.columns import aligned
    from pose_ros.config import EstimatorConfig, RuntimeConfig
    from pose_ros.estimator import PoseEstimator
    from pose_ros.evaluation.precision import compare

    if wishes.shown is None:
        return
    config = EstimatorConfig(runtime=RuntimeConfig(backend="onnx", provider="cpu"))
    images: Iterable[Image] = track(
        images_of(wishes.shown, wishes.images), "comparing", wishes.images, console=Console(stderr=True), transient=True
    )
    estimators = (closing(PoseEstimator.load(file, config=config)) for file in (reference, model))
    with next(estimators) as first, next(estimators) as second:
        report = compare(first, second, images)
    typer.echo(f"against float32, on {report.images} images of {wishes.shown}:")
    typer.echo(aligned([(f"  {name}", value) for name, value in report.rows()]))


def _show(report: QuantiseReport, method: str) -> None:
    before, after = report.bytes_before / 1e6, report.bytes_after / 1e6
    typer.echo(f"{report.path}: {report.spec.name} in 8-bit integers, {before:.1f} MB -> {after:.1f} MB")
    typer.echo(
        f"{len(report.quantised)} layers quantised by {report.images} images ({method}), "
        f"{len(report.kept)} kept in float32, in {report.seconds:.0f} s"
    )
    for remark in report.remarks:
        typer.echo(f"note: {remark}")
