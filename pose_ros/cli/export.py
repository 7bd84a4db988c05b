"""``pose_ros export``: a checkpoint becomes one self-describing ONNX file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pose_ros.export import ExportReport
    from pose_ros.network.model import PoseNetwork


def export(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="Checkpoint of any publisher this package knows.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="ONNX file to write.", show_default="NAME.onnx")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="HxW", help="Input height x width, px.", show_default="the model's")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Images at a time.", show_default="free")] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Leave height and width free, too.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Compute in half precision.")] = False,
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
    """
    try:
        from pose_ros.export import ExportOptions
        from pose_ros.export import export as write
    except ImportError as error:
        raise ImportError(
            f"export: expected torch, onnx and onnxruntime, got: {error}; pip install torch onnx onnxruntime"
        ) from error
    from rich.console import Console

    options = ExportOptions(_size_wh(size), batch, dynamic, half, float_input, front, max_peaks, name or "")
    console = Console(stderr=True)
    with console.status("loading the network") as status:
        model = _network(checkpoint, network, random)
        status.update("exporting and comparing")
        report = write(model, output or Path(f"{name or model.spec.name}.onnx"), options)
    _show(report)


def _size_wh(text: str | None) -> tuple[int, int] | None:
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
