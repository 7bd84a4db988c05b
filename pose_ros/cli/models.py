"""``pose_ros models``: the catalogue of public models, and what a model file says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import engines
from pose_ros.cli.tables import format_table

if TYPE_CHECKING:
    from pose_ros.fields import ModelSpec
    from pose_ros.models.catalogue import Entry
    from pose_ros.models.download import DownloadProgress
    from pose_ros.runtime.runner import TensorSpec

app = typer.Typer(no_args_is_help=True, help="List, fetch, show and describe models.")
app.command("engines")(engines.engines)
File = Annotated[Path, typer.Argument(help="ONNX file.", show_default=False)]


@app.command("list")
def list_models(
    json: Annotated[bool, typer.Option("--json", help="Write JSON, with all that is known of each.")] = False,
) -> None:
    """List the default model and the public models that this package reads."""
    from pose_ros.models.catalogue import entries

    if json:
        typer.echo(_json(entries()))
        return
    rows = [("name", "grouping", "AP", "licence of the weights", "commercial", "")]
    rows += [(e.name, e.grouping, _ap(e), e.weights_licence, e.commercial, _place(e)) for e in entries()]
    typer.echo(format_table(rows))


@app.command()
def show(
    model: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="Name in the catalogue, or ONNX file.", show_default="the default"),
    ] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="YAML description, instead of the model's own.")] = None,
) -> None:
    """Print what is known of a model, or a file's inputs, outputs and description."""
    from pose_ros.models.catalogue import find
    from pose_ros.models.model_file import DEFAULT_MODEL

    if model is None or _is_file(model):
        _show_file(DEFAULT_MODEL if model is None else Path(model), spec)
    else:
        typer.echo(format_table(_known(find(model))))


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Name in the catalogue.", show_default=False)],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept terms that forbid commercial use, or do not permit it.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="in the cache")
    ] = None,
) -> None:
    """Fetch a public model and verify it. Nothing in it is executed.

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
        typer.echo(f"comes with this package: {entry.path}")
        return
    _refuse(entry, target, accept_licence)
    if target.is_file():
        verify(target, entry.checksum)
    else:
        with _progress(name) as progress:
            download(entry.url, target, entry.checksum, progress)
    typer.echo(target)
    typer.echo(f"sha256 {digest(target)} ({_pinned(entry.checksum)})")
    typer.echo(f"next: {_export(entry, target)}")


@app.command()
def describe(
    file: File,
    spec: Annotated[Path, typer.Option("--spec", help="YAML description; docs/models.md says how to write one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Copy to write.")],
) -> None:
    """Write a copy of a model that describes itself."""
    from pose_ros.models.model_file import read_sidecar, write_spec

    if not file.is_file():
        raise FileNotFoundError(f"model: expected an ONNX file, got {file}, which does not exist")
    try:
        write_spec(file, read_sidecar(spec), output)
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
            "inputs": "\n".join(map(_tensor, runner.inputs)),
            "outputs": "\n".join(map(_tensor, runner.outputs)),
        }
        console.print(_table(rows))
        console.print(_table(_described(read_spec(file, runner.metadata, spec))))


def _is_file(model: str) -> bool:
    """Whether a file is meant: names of the catalogue have neither dots nor slashes."""
    return Path(model).is_file() or not model.replace("_", "").replace("-", "").isalnum()


def _refuse(entry: Entry, target: Path, accepted: bool) -> None:
    """Stop where the licence is not accepted, or only a person can fetch the file.

    Raises:
        ValueError: If so, with what to do.
    """
    if entry.commercial != "yes" and not accepted:
        raise ValueError(
            f"{entry.name}: expected --accept-licence, for commercial use is "
            f"{'forbidden' if entry.commercial == 'no' else 'not clearly permitted'}: {entry.weights_licence}"
        )
    if not entry.url and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        raise ValueError(
            f"{entry.name}: expected an address for programs, got a page for people: open {entry.page} in a browser, "
            f"save {entry.file} as {target}, then: {_export(entry, target)}"
        )


@contextmanager
def _progress(name: str) -> Iterator[DownloadProgress]:
    """A bar on the terminal; a word about what is kept when it is interrupted."""
    import sys

    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(name, total=None)
        try:
            yield lambda got, total: bar.update(task, completed=got, total=total or None)
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on from there", err=True)
            raise


def _export(entry: Entry, file: Path) -> str:
    import shlex

    return f"pose_ros export {shlex.quote(str(file))} -o {entry.name}.onnx"


def _pinned(checksum: str) -> str:
    return "not pinned: nobody has published one" if checksum == "not pinned" else f"as {checksum[:17]}… demands"


def _ap(entry: Entry) -> str:
    return f"{entry.results[0].ap:.1f}" if entry.results else "-"


def _place(entry: Entry) -> str:
    if entry.is_ours:
        return "here (default)"
    return "here" if entry.path.is_file() else ""


def _json(entries: Sequence[Entry]) -> str:
    import json
    from dataclasses import asdict

    def plain(entry: Entry) -> dict[str, Any]:
        return {**asdict(entry), "path": str(entry.path) if entry.path.is_file() else None}

    return json.dumps([plain(entry) for entry in entries], indent=1)


def _known(entry: Entry) -> list[tuple[str, str]]:
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
        *(("published", f"AP {one.ap:.1f}, {one.data}, {one.test}".rstrip(", ")) for one in entry.results),
        ("published", entry.speed),
        ("note", entry.note),
        ("here", str(entry.path) if entry.path.is_file() else "no"),
    ]
    return [(name, value) for name, value in rows if value]


def _table(rows: dict[str, str]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(width=13)
    table.add_column(overflow="fold")
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
