"""``pose_ros models engines``: list and remove cached TensorRT engines."""

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
        bool, typer.Option("--prune", help="Remove engines that are broken or built for another TensorRT or GPU.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Remove all engines.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder of the engines.", show_default="pose_ros/engines in the user's cache"),
    ] = None,
) -> None:
    """List or remove the cached TensorRT engines.

    Engines that are being built are never removed.
    """
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
    """TensorRT and GPUs of this machine. An engine is never rejected because of an unknown value.

    Attributes:
        tensorrt: Version of TensorRT. Empty = unknown, because TensorRT is missing or broken.
        gpus: Name and compute capability of each GPU. Empty = unknown, because no driver works.
    """

    tensorrt: str
    gpus: tuple[tuple[str, str], ...]

    def refusal(self, entry: EngineEntry) -> str:
        """Reason why this machine can never load an engine, or an empty string if it can."""
        if entry.sidecar is None or entry.fault:
            return entry.fault
        key = entry.sidecar.key
        if self.tensorrt and key.tensorrt != self.tensorrt:
            return f"built for TensorRT {key.tensorrt}, this machine has {self.tensorrt}"
        if self.gpus and (key.gpu, key.compute_capability) not in self.gpus:
            return f"built for {key.gpu} ({key.compute_capability}), this machine has {_format_gpus(self.gpus)}"
        return ""


def _prune(cache: EngineCache) -> None:
    from pose_ros.texts import printable

    machine = probe_machine()
    if not machine.tensorrt:
        typer.echo("TensorRT: not available, keeping engines for every version", err=True)
    if not machine.gpus:
        typer.echo("GPU: not available, keeping engines for every GPU", err=True)
    for entry in cache.prune(lambda entry: not machine.refusal(entry)):
        typer.echo(f"removed {entry.plan.name}: {printable(machine.refusal(entry))}")


def probe_machine() -> Machine:
    """Find the version of TensorRT, in a separate process, and the GPUs."""
    from pose_ros.cli.probes import Probe, examine
    from pose_ros.runtime.cuda.driver import find_gpu
    from pose_ros.runtime.runner import Unavailable

    code = "import tensorrt; print(tensorrt.__version__)"
    (finding,) = examine([Probe("TensorRT", "tensorrt", code, "running fastest on the GPU")])
    gpus: list[tuple[str, str]] = []
    with suppress(Unavailable):  # after the last GPU
        while True:
            gpu = find_gpu(len(gpus))
            gpus.append((gpu.model, gpu.architecture))
    return Machine(finding.text if finding.state == "ok" else "", tuple(gpus))


def _row(entry: EngineEntry) -> tuple[str, ...]:
    from pose_ros.texts import printable

    key, built = ("-",) * 4, "-"
    if entry.sidecar is not None:
        known = entry.sidecar.key
        key = (known.tensorrt, _format_gpus([(known.gpu, known.compute_capability)]), known.precision, known.shapes)
        built = f"{entry.sidecar.built:%Y-%m-%d %H:%M}"
    size, used = f"{entry.size_bytes / 1e6:.1f}", f"{entry.used:%Y-%m-%d %H:%M}"
    return tuple(map(printable, (entry.model, *key, size, built, used, entry.fault)))


def _format_gpus(gpus: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({capability})" for name, capability in gpus)
