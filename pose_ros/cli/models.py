"""``pose_ros models``: the catalogue of public models, and the description of a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import engines, triton
from pose_ros.cli.download_bar import download_bar
from pose_ros.cli.tables import format_table

if TYPE_CHECKING:
    from pose_ros.fields import ModelSpec
    from pose_ros.models.catalogue import Entry, PublishedResult
    from pose_ros.runtime.runner import TensorSpec

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, download and describe models, and manage engines.",
)
app.command("engines")(engines.engines)
app.command("triton-repository")(triton.triton_repository)
File = Annotated[Path, typer.Argument(help="ONNX file.", show_default=False)]


@app.command("list")
def list_models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON with all fields of the catalogue.")] = False,
) -> None:
    """List the default model and the supported public models."""
    from pose_ros.models.catalogue import entries

    if json:
        typer.echo(_to_json(entries()))
        return
    rows = [("name", "grouping", "AP", "our AP", "licence of the weights", "commercial", "")]
    rows += [(e.name, e.grouping, *_format_ap(e), e.weights_licence, e.commercial, _location(e)) for e in entries()]
    typer.echo(format_table(rows))


@app.command()
def show(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE", help="Name in the catalogue, or ONNX file.", show_default="the model of this package"
        ),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="YAML description to use instead of the one in the model.")
    ] = None,
) -> None:
    """Show a catalogue entry, or the inputs, outputs and description of a file."""
    from pose_ros.models.catalogue import find
    from pose_ros.models.model_file import DEFAULT_MODEL

    if model is None or _is_file(model):
        _show_file(DEFAULT_MODEL if model is None else Path(model), spec)
    else:
        typer.echo(format_table(_entry_rows(find(model))))


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Name in the catalogue.", show_default=False)],
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-licence", help="Accept a licence that forbids or does not clearly permit commercial use."
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="in the user's cache")
    ] = None,
) -> None:
    """Download a public model and verify its checksum.

    No code in the file is executed.

    pose_ros models get posenet_mobilenet_v1_075_481x641
    """
    from pose_ros.models.catalogue import find
    from pose_ros.models.download import digest, download, verify

    entry = find(name)
    target = output or entry.path
    if target.is_dir():
        raise IsADirectoryError(f"--output: expected a file to write, got the folder {target}")
    typer.echo(f"{name}: {entry.weights_licence}; commercial use: {entry.commercial}; {entry.publisher}", err=True)
    if entry.is_ours:
        typer.echo(f"included in this package: {entry.path}")
        return
    _check_download(entry, target, accept_licence)
    if target.is_file():
        verify(target, entry.checksum)
    else:
        with download_bar(name) as progress:
            download(entry.url, target, entry.checksum, progress)
    typer.echo(target)
    typer.echo(f"sha256 {digest(target)} ({_checksum_note(entry.checksum)})")
    typer.echo(f"next: {_export_command(entry, target)}")


@app.command()
def describe(
    file: File,
    spec: Annotated[Path, typer.Option("--spec", help="YAML description of the model, see docs/models.md.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")],
) -> None:
    """Write a copy of a model with a description in its metadata."""
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.files import atomic_write
    from pose_ros.models.model_file import read_sidecar, write_spec
    from pose_ros.runtime.onnx_graph import read_graph

    check_paths([file, spec], [("--output", output)])
    if not file.is_file():
        raise FileNotFoundError(f"model: expected an ONNX file, got {file}, which does not exist")
    read_graph(file)
    try:
        with atomic_write(output) as unfinished:
            write_spec(file, read_sidecar(spec), unfinished)
    except ImportError as error:
        raise ImportError(f"describe: expected the package onnx, got: {error}; pip install onnx") from error
    typer.echo(f"{output}: described as {read_sidecar(spec).name}")


def _show_file(file: Path, spec: Path | None) -> None:
    from rich.console import Console

    from pose_ros.config import RuntimeConfig
    from pose_ros.models.download import digest
    from pose_ros.models.model_file import read_spec
    from pose_ros.runtime import load_runner

    console = Console(soft_wrap=True)
    with load_runner(file, RuntimeConfig(warm_up=False)) as runner:
        rows = {
            "file": str(file),
            "size": f"{file.stat().st_size / 1e6:.2f} MB",
            "sha256": digest(file),
            "inputs": "\n".join(map(_format_tensor, runner.inputs)),
            "outputs": "\n".join(map(_format_tensor, runner.outputs)),
        }
        console.print(_make_table(rows))
        console.print(_make_table(_spec_rows(read_spec(file, runner.metadata, spec, runner))))


def _is_file(model: str) -> bool:
    """Whether the argument is a file. Names in the catalogue contain no dots and no slashes."""
    return Path(model).is_file() or not model.replace("_", "").replace("-", "").isalnum()


def _check_download(entry: Entry, target: Path, is_accepted: bool) -> None:
    """Check that the licence is accepted and that a program can download the file.

    Raises:
        ValueError: If not. The message explains the next step.
    """
    if entry.commercial != "yes" and not is_accepted:
        raise ValueError(
            f"{entry.name}: expected --accept-licence, got none; commercial use is "
            f"{'forbidden' if entry.commercial == 'no' else 'not clearly permitted'}: {entry.weights_licence}"
        )
    if not entry.url and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        raise ValueError(
            f"{entry.name}: expected a download address, got a web page; open {entry.page} in a browser, "
            f"save {entry.file} as {target}, then run: {_export_command(entry, target)}"
        )


def _export_command(entry: Entry, file: Path) -> str:
    import shlex

    return f"pose_ros export {shlex.quote(str(file))} -o {entry.name}.onnx"


def _checksum_note(checksum: str) -> str:
    return "not verified: no checksum is published" if checksum == "not pinned" else f"matches {checksum[:17]}…"


def _format_ap(entry: Entry) -> tuple[str, str]:
    """Return the published AP, and the one that this package has measured."""
    return _format_result(entry.published), _format_result(entry.measured)


def _format_result(result: PublishedResult | None) -> str:
    return f"{result.ap:.1f}" if result else "-"


def _location(entry: Entry) -> str:
    if entry.is_ours:
        return "installed (default)"
    return "downloaded" if entry.path.is_file() else ""


def _to_json(entries: Sequence[Entry]) -> str:
    import json
    from dataclasses import asdict

    def to_plain(entry: Entry) -> dict[str, Any]:
        return {**asdict(entry), "path": str(entry.path) if entry.path.is_file() else None}

    return json.dumps([to_plain(entry) for entry in entries], indent=1)


def _entry_rows(entry: Entry) -> list[tuple[str, str]]:
    rows = [
        ("name", entry.name),
        ("network", entry.network),
        ("grouping", entry.grouping),
        ("skeleton", entry.skeleton),
        ("input", entry.input),
        ("paper", entry.paper + (f", arXiv:{entry.arxiv}" if entry.arxiv else "")),
        ("publisher", entry.publisher),
        ("code", entry.code_licence),
        ("weights", f"{entry.weights_licence}; commercial use: {entry.commercial}"),
        ("file", entry.file + (f", {entry.size_mb:g} MB" if entry.size_mb else "")),
        ("address", entry.url or entry.page),
        ("checksum", entry.checksum),
        *(_result_row(one) for one in entry.results),
        ("measured" if entry.is_ours else "published", entry.speed),
        ("note", entry.note),
        ("local file", str(entry.path) if entry.path.is_file() else "no"),
    ]
    return [(name, value) for name, value in rows if value]


def _result_row(result: PublishedResult) -> tuple[str, str]:
    source = "measured" if result.is_ours else "published"
    return source, f"AP {result.ap:.1f}, {result.data}, {result.test}".rstrip(", ")


def _make_table(rows: dict[str, str]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(width=13)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name, "bold"), Text(value))
    return table


def _format_tensor(tensor: TensorSpec) -> str:
    shape = ", ".join("any" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name}: {tensor.dtype} ({shape})"


def _spec_rows(spec: ModelSpec) -> dict[str, str]:
    skeleton, network_input = spec.skeleton, spec.input
    heads = [f"{head.field}: {head.tensor}, {head.layout}{_format_channels(head.channels)}" for head in spec.heads]
    people = {"people": _format_people(spec)} if spec.grouping == "direct" else {}
    pose = f"{network_input.pose_channels} heatmaps after the colours, sigma {network_input.pose_sigma:g} px"
    return {
        "name": spec.name,
        "licence": spec.licence,
        "skeleton": f"{skeleton.name}: {', '.join(skeleton.keypoint_names)}",
        "limbs": ", ".join("-".join(skeleton.keypoint_names[k] for k in limb) for limb in spec.limbs),
        "heads": "\n".join(heads),
        **people,
        "grouping": spec.grouping,
        "stride": f"{spec.stride:g} px per field cell",
        "origin": f"cell (0, 0) is at {spec.origin:g} px",
        "input": f"{network_input.colour} {network_input.dtype} {network_input.layout}",
        "normalisation": f"(pixel - {_format_triple(network_input.mean)}) / {_format_triple(network_input.std)}",
        **({"known pose": pose} if network_input.pose_channels else {}),
        "size": _format_size(spec),
    }


def _format_people(spec: ModelSpec) -> str:
    box = "their centre" if spec.people.box == "centre" else "their corners"
    remover = "network" if spec.people.nms else "decoder"
    return f"in {spec.people.units}, boxes by {box}, duplicates removed by the {remover}"


def _format_channels(channels: tuple[int, ...]) -> str:
    if not channels:
        return ""
    is_range = channels == tuple(range(channels[0], channels[-1] + 1))
    listed = f"{channels[0]} to {channels[-1]}" if is_range else ", ".join(map(str, channels))
    return f", channels {listed}"


def _format_triple(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _format_size(spec: ModelSpec) -> str:
    if spec.input.size_wh is not None:
        return "{} x {} px".format(*spec.input.size_wh)
    return f"shorter side {spec.input.short_side} px, both sides multiples of {spec.input.multiple} px"
