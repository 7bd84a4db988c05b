"""``pose_ros export``: a checkpoint becomes one self-describing ONNX file, and a float32 file one of 8-bit integers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import precision

if TYPE_CHECKING:
    from pose_ros.export.to_onnx import ExportOptions, ExportReport
    from pose_ros.network.model import PoseNetwork

OF_CHECKPOINTS = ("size", "batch", "dynamic", "float_input", "front", "max_peaks", "network", "random", "name")
"""Options that an ONNX file, which is what it is, has no use for."""
OF_INT8 = ("calibrate", "calibration", "unsigned", "depthwise", "keep")


def export(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint of any publisher this package knows; for --int8 also an ONNX file.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="ONNX file to write.", show_default="NAME.onnx")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="HxW", help="Input height x width, px.", show_default="the model's")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Images at a time.", show_default="free")] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Leave height and width free, too.")] = False,
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
    float_input: Annotated[
        bool, typer.Option("--float-input", help="Take normalised float32 NCHW, for TensorRT before 8.6.")
    ] = False,
    front: Annotated[
        bool, typer.Option("--front", help="Find peaks and limb scores in the graph, for PAFs on a GPU.")
    ] = False,
    max_peaks: Annotated[
        int, typer.Option("--max-peaks", help="Peaks of each keypoint that --front finds; more than there are people.")
    ] = 32,
    network: Annotated[
        str | None, typer.Option("--network", help="Network of the checkpoint.", show_default="told from its keys")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Random weights instead of a checkpoint, to try.")] = False,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model.", show_default="the network's")] = None,
) -> None:
    """Write a network as ONNX, and hold the file against the network.

    pose_ros export checkpoint.pth -o model.onnx --size 256x448

    pose_ros export model.onnx -o model_int8.onnx --int8 --calibrate images
    """
    is_onnx = checkpoint is not None and checkpoint.suffix.lower() == ".onnx"
    _check_options(context, is_onnx, int8)
    fine = {"method": calibration, "unsigned": unsigned, "depthwise": depthwise, "keep": tuple(keep or ())}
    wishes = precision.PrecisionOptions(half, bf16, int8, calibrate, report, images, fine)
    wishes.check()
    if checkpoint is not None and is_onnx:
        target = output or Path(f"{checkpoint.stem}_int8.onnx")
        precision.quantise_file(checkpoint, target, wishes)
        precision.show_cost(checkpoint, target, wishes)
        return
    options = _export_options(
        size_wh=_parse_size(size),
        batch=batch,
        dynamic=dynamic,
        half=half,
        bf16=bf16,
        float_input=float_input,
        front=front,
        max_peaks=max_peaks,
        name=name or "",
    )
    with _status("loading the network"):
        model = _network(checkpoint, network, random)
    target = output or Path(f"{name or model.spec.name}{'_int8' * int8}.onnx")
    _write(model, target, options, wishes)


def _export_options(**options: Any) -> ExportOptions:
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


def _check_options(context: typer.Context, is_onnx: bool, int8: bool) -> None:
    """Raise ValueError for options that would have no effect."""
    if not int8 and (idle := _first_given(context, OF_INT8)):
        raise ValueError(f"{idle}: expected --int8 with it, got none")
    if is_onnx and not int8:
        raise ValueError("export: expected a checkpoint, got an ONNX file; --int8 --calibrate IMAGES quantises one")
    if is_onnx and (idle := _first_given(context, OF_CHECKPOINTS)):
        raise ValueError(
            f"{idle}: expected a checkpoint to export with it, got an ONNX file, which is exported already"
        )


def _first_given(context: typer.Context, names: Sequence[str]) -> str:
    """The first of these options that stands on the command line; empty where none does."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return f"--{given[0].replace('_', '-')}" if given else ""


def _write(model: PoseNetwork, target: Path, options: ExportOptions, wishes: precision.PrecisionOptions) -> None:
    """Export a network in the precision that is wished for, and say what it costs."""
    from pose_ros.export.bfloat16 import write_stand_in
    from pose_ros.export.to_onnx import export as write

    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        float32 = Path(folder) / "float32.onnx"
        with _status("exporting and comparing"):
            if wishes.shown is not None:
                write(model, float32, replace(options, half=False, bf16=False))
            report = None if wishes.int8 else write(model, target, options)
        if report is None:
            precision.quantise_file(float32, target, wishes)
        else:
            _show(report)
        runs = write_stand_in(target, Path(folder) / "runs.onnx") if wishes.bf16 else target
        precision.show_cost(float32, runs, wishes)


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if sides is None:
        raise ValueError(f"--size: expected height x width such as 256x448, got {text!r}")
    return int(sides[2]), int(sides[1])


def _network(checkpoint: Path | None, name: str | None, random: bool) -> PoseNetwork:
    """The network of a checkpoint, or one with random weights.

    Raises:
        ValueError: If both are asked for, or neither.
    """
    if random and checkpoint is None and name is not None:
        from pose_ros.network import zoo

        return zoo.build_random(name)
    if random or checkpoint is None:
        raise ValueError("export: expected a CHECKPOINT, or --network NAME --random, got neither or both")
    from pose_ros.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint, name)


def _show(report: ExportReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{report.path}: {report.spec.name}")  # as text: brackets in a path are no markup
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
