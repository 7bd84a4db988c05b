"""``pose_ros export``: export a checkpoint to a self-describing ONNX file, or quantise a float32 file to int8."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import precision
from pose_ros.cli.check_paths import check_paths
from pose_ros.cli.failures import Failures
from pose_ros.cli.options import Strict, first_given_option
from pose_ros.files import unfinished_folder

if TYPE_CHECKING:
    from pose_ros.export.to_onnx import ExportOptions, ExportReport
    from pose_ros.network.model import PoseNetwork

CHECKPOINT_OPTIONS = (
    *("size", "batch", "dynamic", "float_input", "front", "max_peaks", "network", "random", "name", "compact"),
)
"""Options that have no effect on an ONNX file."""
INT8_OPTIONS = ("calibrate", "calibration", "unsigned", "depthwise", "keep")


def export(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint of pose_ros train or of a public model. With --int8 also an ONNX file.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="ONNX file to write.", show_default="NAME.onnx")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Input height x width, px.", show_default="from the model"),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Batch size.", show_default="any")] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Allow any height and width.")] = False,
    half: precision.Half = False,
    bf16: precision.Bf16 = False,
    int8: precision.Int8 = False,
    calibrate: precision.Calibrate = None,
    calibration: precision.CalibrationMethod = "percentile",
    unsigned: precision.Unsigned = False,
    depthwise: precision.Depthwise = False,
    keep: precision.Keep = None,
    report: precision.Report = None,
    images: precision.Images = 100,
    strict: Strict = False,
    float_input: Annotated[
        bool, typer.Option("--float-input", help="Take normalised float32 NCHW input, for TensorRT before 8.6.")
    ] = False,
    front: Annotated[
        bool, typer.Option("--front", help="Add peak search and limb scores to the graph, for PAF models on a GPU.")
    ] = False,
    max_peaks: Annotated[
        int, typer.Option("--max-peaks", help="Peaks per keypoint for --front. Choose more than the number of people.")
    ] = 32,
    network: Annotated[
        str | None,
        typer.Option("--network", help="Name of the network.", show_default="recognised from the checkpoint"),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Use random weights instead of a checkpoint, for tests.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model in the file.", show_default="from the network")
    ] = None,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Store weights in half precision and compute in float32: half the file size."),
    ] = False,
) -> None:
    """Export a network to ONNX and verify the file.

    The outputs of the file are compared with the outputs of the network.

    pose_ros export checkpoint.pth -o model.onnx --size 256x448

    pose_ros export model.onnx -o model_int8.onnx --int8 --calibrate images
    """
    is_onnx = checkpoint is not None and checkpoint.suffix.lower() == ".onnx"
    _check_options(context, is_onnx, int8, front)
    quantise_options = {"method": calibration, "unsigned": unsigned, "depthwise": depthwise, "keep": tuple(keep or ())}
    precision_options = precision.PrecisionOptions(half, bf16, int8, calibrate, report, images, quantise_options)
    precision_options.check()
    failures, inputs = Failures(strict), (checkpoint, calibrate, report)
    if checkpoint is not None and is_onnx:
        target = output or Path(f"{checkpoint.stem}_int8.onnx")
        check_paths(inputs, [("--output", target)])
        precision.quantise_file(checkpoint, target, precision_options, failures)
        precision.show_cost(checkpoint, target, precision_options, failures)
        failures.finish()
        return
    options = _make_export_options(
        size_wh=_parse_size(size),
        batch=batch,
        dynamic=dynamic,
        half=half,
        bf16=bf16,
        float_input=float_input,
        front=front,
        max_peaks=max_peaks,
        name=name or "",
        compact=compact,
    )
    with _status("loading the network"):
        model = _load_network(checkpoint, network, random)
    if size is not None and dynamic:
        short = model.spec.input.short_side
        typer.echo(f"note: with --dynamic, --size is the size of the check. The short side of images is {short} px")
    target = output or Path(f"{name or model.spec.name}{'_int8' * int8}.onnx")
    check_paths(inputs, [("--output", target)])
    _write_model(model, target, options, precision_options, failures)
    failures.finish()


def _make_export_options(**options: Any) -> ExportOptions:
    try:
        from pose_ros.export.to_onnx import ExportOptions
    except ImportError as error:
        raise ImportError(
            f"export: expected torch, onnx and onnxruntime, got: {error}; pip install torch onnx onnxruntime"
        ) from error
    return ExportOptions(**options)


def _status(text: str) -> AbstractContextManager[object]:
    from rich.console import Console

    return Console(stderr=True).status(text)


def _check_options(context: typer.Context, is_onnx: bool, int8: bool, front: bool) -> None:
    """Raise ValueError for options that would have no effect."""
    if not front and (unused := first_given_option(context, ("max_peaks",))):
        raise ValueError(f"{unused}: expected --front as well, got none")
    if not int8 and (unused := first_given_option(context, INT8_OPTIONS)):
        raise ValueError(f"{unused}: expected --int8 as well, got none")
    if is_onnx and not int8:
        raise ValueError("export: expected a checkpoint, got an ONNX file; quantise it with --int8 --calibrate IMAGES")
    if is_onnx and (unused := first_given_option(context, CHECKPOINT_OPTIONS)):
        raise ValueError(f"{unused}: expected a checkpoint, got an ONNX file, which is already exported")


def _write_model(
    model: PoseNetwork,
    target: Path,
    options: ExportOptions,
    precision_options: precision.PrecisionOptions,
    failures: Failures,
) -> None:
    """Export a network in the requested precision, and report what the precision costs."""
    from pose_ros.export.bfloat16 import write_stand_in
    from pose_ros.export.to_onnx import export as write

    with unfinished_folder(target.parent) as folder:
        float32 = folder / "float32.onnx"
        with _status("exporting and comparing"):
            if precision_options.report_images is not None:
                write(model, float32, replace(options, half=False, bf16=False))
            report = None if precision_options.int8 else write(model, target, options)
        if report is None:
            precision.quantise_file(float32, target, precision_options, failures)
        else:
            _print_report(report)
        runs = write_stand_in(target, folder / "runs.onnx") if precision_options.bf16 else target
        precision.show_cost(float32, runs, precision_options, failures)


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if sides is None:
        raise ValueError(f"--size: expected height x width such as 256x448, got {text!r}")
    return int(sides[2]), int(sides[1])


def _load_network(checkpoint: Path | None, name: str | None, random: bool) -> PoseNetwork:
    """Load the network of a checkpoint, or build one with random weights.

    Raises:
        ValueError: If both or neither are requested.
    """
    if random and checkpoint is None and name is not None:
        from pose_ros.network import zoo

        return zoo.build_random(name)
    if random or checkpoint is None:
        raise ValueError("export: expected a CHECKPOINT, or --network NAME --random, got neither or both")
    from pose_ros.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint, name)


def _print_report(report: ExportReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{report.path}: {report.spec.name}")  # as Text, so that brackets in a path are not read as markup
    table = Table("output", "shape", "largest difference", title=title, title_style="")
    for name, shape in report.shapes.items():
        table.add_row(name, " x ".join(map(str, shape)), f"{report.differences[name]:.1e}")
    console = Console(soft_wrap=True)
    console.print(table)
    counts = sorted(report.operators.items(), key=lambda entry: (-entry[1], entry[0]))
    width, height = report.size_wh
    console.print(f"checked at {height} x {width} px against torch", highlight=False)
    console.print(f"{sum(report.operators.values())} operators: {', '.join(f'{n} {op}' for op, n in counts)}")
    for remark in report.remarks:
        console.print(f"note: {remark}", highlight=False)
    console.print(f"{report.path.stat().st_size / 1e6:.1f} MB in {report.seconds:.1f} s", highlight=False)
