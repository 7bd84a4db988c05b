"""The part of ``pose_ros export`` that is about precision: quantising, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pose_ros.arrays import Image
    from pose_ros.export.quantise import QuantiseReport

Half = Annotated[bool, typer.Option("--half", help="Compute in half precision.")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16, for TensorRT 10 on GPUs since Ampere.")]
Int8 = Annotated[bool, typer.Option("--int8", help="Compute in 8-bit integers, by --calibrate IMAGES.")]
Calibrate = Annotated[
    Path | None,
    typer.Option("--calibrate", metavar="IMAGES", help="Images for --int8: folder, video, bag.", show_default=False),
]
CalibrationMethod = Annotated[
    str, typer.Option("--calibration", help="What of a layer's values int8 covers: percentile, minmax or entropy.")
]
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="int8 for CPUs: more exact, and fast in ONNX Runtime; not for TensorRT.")
]
Depthwise = Annotated[bool, typer.Option("--depthwise", help="int8 for depthwise convolutions, too: less exact.")]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="NODE", help="Leave a node in float32; wildcards, repeatable.", show_default=False),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="IMAGES", help="Show what the precision costs on them.", show_default="--calibrate's"
    ),
]
Images = Annotated[int, typer.Option("--images", min=1, help="Most images to calibrate by, and to report on.")]


@dataclass(frozen=True)
class PrecisionOptions:
    """What the command asks for in precision.

    Attributes:
        half: Half precision.
        bf16: bfloat16.
        int8: 8-bit integers.
        calibrate: Images to quantise by.
        report: Images to show the cost on; None takes those of ``calibrate``.
        images: How many are taken of each at most.
        options: How to quantise: the fields of ``QuantiseOptions``.
    """

    half: bool
    bf16: bool
    int8: bool
    calibrate: Path | None
    report: Path | None
    images: int
    options: Mapping[str, Any]

    def check(self) -> None:
        """Raise ValueError unless they go together, and what ``images_of`` raises where there are no images."""
        from pose_ros.export.calibration import images_of

        asked = [name for name in ("half", "bf16", "int8") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"--{asked[0]}: expected one precision, got --{asked[1]}, too")
        if self.int8 and self.calibrate is None:
            raise ValueError(
                "--int8: expected --calibrate IMAGES (a folder, image, video or bag such as the network will see), "
                "got none; some dozens of images are enough"
            )
        if self.report is not None and not asked:
            raise ValueError("--report: expected --half, --bf16 or --int8, whose cost it tells, got none")
        for path in (self.calibrate, self.report):
            if path is not None:
                images_of(path, self.images)

    @property
    def shown(self) -> Path | None:
        """The images to show the cost on."""
        return self.report or self.calibrate


def quantise_file(model: Path, target: Path, wishes: PrecisionOptions) -> None:
    """Quantise a file and say what has become of it."""
    from rich.console import Console
    from rich.progress import Progress

    from pose_ros.export.calibration import images_of
    from pose_ros.export.quantise import QuantiseOptions, quantise

    options = QuantiseOptions(**wishes.options)
    images = images_of(wishes.calibrate or "", wishes.images)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading images", total=1.0)
        report = quantise(
            model, target, images, options, lambda text, share: bar.update(task, description=text, completed=share)
        )
    _show(report, options.method)


def show_cost(reference: Path, model: Path, wishes: PrecisionOptions) -> None:
    """Show the same images to a float32 file and another, and print how far their answers are from each other.

    Args:
        reference: The file of float32.
        model: The other; for one of bfloat16 its stand-in, as both are run by ONNX Runtime on the CPU.
        wishes: On which images.
    """
    from rich.console import Console
    from rich.progress import track

    from pose_ros.cli.tables import format_table
    from pose_ros.config import EstimatorConfig, RuntimeConfig
    from pose_ros.estimator import PoseEstimator
    from pose_ros.evaluation.precision import compare
    from pose_ros.export.calibration import images_of

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
    typer.echo(format_table([(f"  {name}", value) for name, value in report.rows()]))


def _show(report: QuantiseReport, method: str) -> None:
    before, after = report.bytes_before / 1e6, report.bytes_after / 1e6
    typer.echo(f"{report.path}: {report.spec.name} in 8-bit integers, {before:.1f} MB -> {after:.1f} MB")
    typer.echo(
        f"{len(report.quantised)} layers quantised by {report.images} images ({method}), "
        f"{len(report.kept)} kept in float32, in {report.seconds:.0f} s"
    )
    for remark in report.remarks:
        typer.echo(f"note: {remark}")
