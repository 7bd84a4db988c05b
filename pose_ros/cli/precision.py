"""Precision options of ``pose_ros export``: quantise, and report the loss of accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.arrays import Image
    from pose_ros.cli.failures import Failures
    from pose_ros.export.quantise import QuantiseReport

Half = Annotated[bool, typer.Option("--half", help="Compute in half precision (float16).")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16, for TensorRT 10 on GPUs since Ampere.")]
Int8 = Annotated[bool, typer.Option("--int8", help="Compute in 8-bit integers. Needs --calibrate IMAGES.")]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        metavar="IMAGES",
        help="Calibration images for --int8: folder, image, video or bag.",
        show_default=False,
    ),
]
CalibrationMethod = Annotated[
    str, typer.Option("--calibration", help="Calibration method for --int8: percentile, minmax or entropy.")
]
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="Use unsigned int8: more exact, for CPUs, not for TensorRT.")
]
Depthwise = Annotated[bool, typer.Option("--depthwise", help="Also quantise depthwise convolutions: less exact.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", metavar="NODE", help="Node to keep in float32. Wildcards allowed, repeatable.", show_default=False
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="IMAGES",
        help="Images for the comparison with float32.",
        show_default="those of --calibrate",
    ),
]
Images = Annotated[int, typer.Option("--images", min=1, help="Maximum number of images to calibrate and compare on.")]


@dataclass(frozen=True)
class PrecisionOptions:
    """Precision options of the command.

    Attributes:
        half: Compute in half precision (float16).
        bf16: Compute in bfloat16.
        int8: Compute in 8-bit integers.
        calibrate: Calibration images, for int8.
        report: Images for the comparison with float32. None = those of ``calibrate``.
        images: Maximum number of images to calibrate and compare on.
        quantise_options: Fields of ``QuantiseOptions``.
    """

    half: bool
    bf16: bool
    int8: bool
    calibrate: Path | None
    report: Path | None
    images: int
    quantise_options: Mapping[str, Any]

    def check(self) -> None:
        """Raise ValueError if the options contradict each other, and the errors of ``images_of`` for missing images."""
        from pose_ros.export.calibration import images_of

        chosen = [name for name in ("half", "bf16", "int8") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"--{chosen[0]}: expected one precision, got --{chosen[1]} as well")
        if self.int8 and self.calibrate is None:
            raise ValueError(
                "--int8: expected --calibrate IMAGES, got none; give a folder, image, video or bag of typical images "
                "(some dozens are enough)"
            )
        if self.report is not None and not chosen:
            raise ValueError("--report: expected --half, --bf16 or --int8 to compare with float32, got none")
        for path in (self.calibrate, self.report):
            if path is not None:
                images_of(path, self.images)

    @property
    def report_images(self) -> Path | None:
        """Images for the comparison with float32. None = no comparison."""
        return self.report or self.calibrate


def quantise_file(model: Path, target: Path, options: PrecisionOptions, failures: Failures) -> None:
    """Quantise a file and print a summary. Images that cannot be read are added to ``failures``."""
    from rich.console import Console
    from rich.progress import Progress

    from pose_ros.export.calibration import images_of
    from pose_ros.export.quantise import QuantiseOptions, quantise

    quantise_options = QuantiseOptions(**options.quantise_options)
    images = images_of(options.calibrate or "", options.images, failures.add)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading images", total=1.0)
        report = quantise(
            model,
            target,
            images,
            quantise_options,
            lambda text, share: bar.update(task, description=text, completed=share),
        )
    _print_report(report, quantise_options.method)


def show_cost(reference: Path, model: Path, options: PrecisionOptions, failures: Failures) -> None:
    """Run a float32 file and another file on the same images, and print the differences.

    Args:
        reference: Model file in float32.
        model: Model file to compare. ONNX Runtime runs both on the CPU, so pass the stand-in of a bfloat16 file.
        options: Source and number of the images.
        failures: Receives the images that cannot be read.
    """
    from rich.console import Console
    from rich.progress import track

    from pose_ros.cli.tables import format_table
    from pose_ros.config import EstimatorConfig, RuntimeConfig
    from pose_ros.estimator import PoseEstimator
    from pose_ros.evaluation.precision import compare
    from pose_ros.export.calibration import images_of
    from pose_ros.once import Once

    if options.report_images is None:
        return
    config = EstimatorConfig(runtime=RuntimeConfig(backend="onnx", provider="cpu"))
    images: Iterable[Image] = track(
        images_of(options.report_images, options.images, failures.add),
        "comparing",
        options.images,
        console=Console(stderr=True),
        transient=True,
    )
    notes = Once(partial(typer.secho, err=True))  # both files have the same settings
    estimators = (closing(PoseEstimator.load(file, config=config, notify=notes)) for file in (reference, model))
    with next(estimators) as first, next(estimators) as second:
        report = compare(first, second, images)
    typer.echo(f"compared with float32 on {format_count(report.images, 'image')} of {options.report_images}:")
    typer.echo(format_table([(f"  {name}", value) for name, value in report.rows()]))


def _print_report(report: QuantiseReport, method: str) -> None:
    before, after = report.bytes_before / 1e6, report.bytes_after / 1e6
    typer.echo(f"{report.path}: {report.spec.name} in 8-bit integers, {before:.1f} MB -> {after:.1f} MB")
    typer.echo(
        f"{format_count(len(report.quantised), 'layer')} quantised with "
        f"{format_count(report.images, 'image')} ({method}), "
        f"{len(report.kept)} kept in float32, in {report.seconds:.0f} s"
    )
    for remark in report.remarks:
        typer.echo(f"note: {remark}")
