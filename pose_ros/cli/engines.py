"""``pose_ros models engines``: the TensorRT engines that are kept, and how they go."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli.tables import format_table

if TYPE_CHECKING:
    from pose_ros.runtime.tensorrt.cache import EngineCache, EngineEntry

_HEAD = ("model", "TensorRT", "GPU", "precision", "shapes", "MB", "built (UTC)", "last used", "")


def engines(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is broken, or made for another TensorRT or GPU than are here.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Remove all engines.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder of the engines.", show_default="pose_ros/engines in the user's cache"),
    ] = None,
) -> None:
    """List the engines that TensorRT has built; remove them on request, but none that is being built."""
    from pose_ros.runtime.tensorrt.cache import EngineCache

    cache = EngineCache(folder)
    if everything:
        for entry in cache.prune(lambda entry: False):
            typer.echo(f"removed {entry.plan.name}")
    elif prune:
        _prune(cache)
    entries = cache.entries()
    typer.echo(format_table([_HEAD, *map(_row, entries)]) if entries else f"no engines in {cache.folder}")


@dataclass(frozen=True)
class Machine:
    """What engines are loaded by. What is not known of it is not held against an engine.

    Attributes:
        tensorrt: Version of TensorRT; empty where none works.
        gpus: Name and compute capability of each GPU; empty where no driver works.
    """

    tensorrt: str
    gpus: tuple[tuple[str, str], ...]

    def refusal(self, entry: EngineEntry) -> str:
        """Why this machine can never load an engine; empty if it can."""
        if entry.sidecar is None or entry.fault:
            return entry.fault
        key = entry.sidecar.key
        if self.tensorrt and key.tensorrt != self.tensorrt:
            return f"for TensorRT {key.tensorrt}, here is {self.tensorrt}"
        if self.gpus and (key.gpu, key.compute_capability) not in self.gpus:
            return f"for {key.gpu} ({key.compute_capability}), here is {_named(self.gpus)}"
        return ""


def _prune(cache: EngineCache) -> None:
    from pose_ros.runtime.tensorrt.key import printable

    here = this_machine()
    if not here.tensorrt:
        typer.echo("TensorRT is not here: engines of every version are kept", err=True)
    if not here.gpus:
        typer.echo("no GPU is here: engines for every GPU are kept", err=True)
    for entry in cache.prune(lambda entry: not here.refusal(entry)):
        typer.echo(f"removed {entry.plan.name}: {printable(here.refusal(entry))}")


def this_machine() -> Machine:
    """Ask TensorRT, in a process of its own, and the driver."""
    from pose_ros.cli.probes import Probe, examine
    from pose_ros.runtime.cuda.driver import find_gpu
    from pose_ros.runtime.runner import Unavailable

    code = "import tensorrt; print(tensorrt.__version__)"
    (finding,) = examine([Probe("TensorRT", "tensorrt", code, "running fastest on the GPU")])
    gpus: list[tuple[str, str]] = []
    with suppress(Unavailable):  # there are no more
        while True:
            gpu = find_gpu(len(gpus))
            gpus.append((gpu.model, gpu.architecture))
    return Machine(finding.text if finding.state == "ok" else "", tuple(gpus))


def _row(entry: EngineEntry) -> tuple[str, ...]:
    from pose_ros.runtime.tensorrt.key import printable

    key, built = ("-",) * 4, "-"
    if entry.sidecar is not None:
        known = entry.sidecar.key
        key = (known.tensorrt, _named([(known.gpu, known.compute_capability)]), known.precision, known.shapes)
        built = f"{entry.sidecar.built:%Y-%m-%d %H:%M}"
    size, used = f"{entry.size_bytes / 1e6:.1f}", f"{entry.used:%Y-%m-%d %H:%M}"
    return tuple(map(printable, (entry.model, *key, size, built, used, entry.fault)))


def _named(gpus: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({capability})" for name, capability in gpus)
