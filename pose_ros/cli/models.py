"""``pose_ros models``: what a model file says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pose_ros.fields import ModelSpec
    from pose_ros.runtime.runner import TensorSpec

app = typer.Typer(no_args_is_help=True, help="Show, list and describe model files.")
File = Annotated[Path, typer.Argument(help="ONNX file.", show_default=False)]


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="ONNX file; by default the model of this package.")] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="YAML description, instead of the model's own.")] = None,
) -> None:
    """Print a model's inputs, outputs and description."""
    from rich.console import Console

    from pose_ros.config import RuntimeConfig
    from pose_ros.model_file import DEFAULT_MODEL, read_spec
    from pose_ros.runtime import load_runner

    file = file or DEFAULT_MODEL
    console = Console(soft_wrap=True)
    with load_runner(file, RuntimeConfig(warm_up=False)) as runner:
        rows = {
            "file": str(file),
            "size": f"{file.stat().st_size / 1e6:.2f} MB",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "inputs": "\n".join(map(_tensor, runner.inputs)),
            "outputs": "\n".join(map(_tensor, runner.outputs)),
        }
        console.print(_table(rows))
        console.print(_table(_described(read_spec(file, runner.metadata, spec))))


@app.command("list")
def list_models() -> None:
    """List the models that come with this package."""
    from pose_ros.model_file import DEFAULT_MODEL

    for file in sorted(DEFAULT_MODEL.parent.glob("*.onnx")):
        note = "  (default)" if file == DEFAULT_MODEL else ""
        typer.echo(f"{file.stem}  {file.stat().st_size / 1e6:.1f} MB  {file}{note}")


@app.command()
def describe(
    file: File,
    spec: Annotated[Path, typer.Option("--spec", help="YAML description; docs/models.md says how to write one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Copy to write.")],
) -> None:
    """Write a copy of a model that describes itself."""
    from pose_ros.model_file import read_sidecar, write_spec

    if not file.is_file():
        raise FileNotFoundError(f"model: expected an ONNX file, got {file}, which does not exist")
    try:
        write_spec(file, read_sidecar(spec), output)
    except ImportError as error:
        raise ImportError(f"describe: expected the package onnx, got: {error}; pip install onnx") from error
    typer.echo(f"{output}: described as {read_sidecar(spec).name}")


def _table(rows: dict[str, str]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(width=13)
    for name, value in rows.items():
        table.add_row(Text(name, "bold"), Text(value))
    return table


def _tensor(tensor: TensorSpec) -> str:
    shape = ", ".join("any" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name}: {tensor.dtype} ({shape})"


def _described(spec: ModelSpec) -> dict[str, str]:
    skeleton, network_input = spec.skeleton, spec.input
    heads = [f"{head.field}: {head.tensor}, {head.layout}{_channels(head.channels)}" for head in spec.heads]
    return {
        "name": spec.name,
        "licence": spec.licence,
        "skeleton": f"{skeleton.name}: {', '.join(skeleton.keypoint_names)}",
        "limbs": ", ".join("-".join(skeleton.keypoint_names[k] for k in limb) for limb in spec.limbs),
        "heads": "\n".join(heads),
        "grouping": spec.grouping,
        "stride": f"{spec.stride:g} px per field cell",
        "origin": f"cell (0, 0) lies at {spec.origin:g} px",
        "input": f"{network_input.colour} {network_input.dtype} {network_input.layout}",
        "normalisation": f"(pixel - {_triple(network_input.mean)}) / {_triple(network_input.std)}",
        "size": _size(spec),
    }


def _channels(channels: tuple[int, ...]) -> str:
    if not channels:
        return ""
    is_range = channels == tuple(range(channels[0], channels[-1] + 1))
    listed = f"{channels[0]} to {channels[-1]}" if is_range else ", ".join(map(str, channels))
    return f", channels {listed}"


def _triple(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _size(spec: ModelSpec) -> str:
    if spec.input.size_wh is not None:
        return "{} x {} px".format(*spec.input.size_wh)
    return f"shorter side {spec.input.short_side} px, both sides multiples of {spec.input.multiple} px"
