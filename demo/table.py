"""The tables that end the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import Figures, Run
from rich.table import Table

TIMES = ("preprocess", "network", "decode", "whole", "latency")


def run_table(run: Run) -> Table:
    """The counts of a run."""
    table = Table(title="the run", title_justify="left", show_header=False)
    processed = len(run.figures)
    rate = f", {(processed - 1) / run.wall_s:.1f} images/s" if run.wall_s else ""
    table.add_row("images in", str(len(run.images_in_ns)))
    table.add_row("processed", str(processed))
    table.add_row("dropped", str(run.dropped))
    table.add_row("people per image (min / median / max)", spread([entry.people for entry in run.figures]))
    table.add_row("wall time", f"{run.wall_s:.1f} s{rate}")
    table.add_row("resident memory of the node", f"{run.memory_mb:.0f} MB")
    return table


def time_table(figures: Sequence[Figures]) -> Table:
    """Where the time went."""
    table = Table("ms", title="the time of an image", title_justify="left")
    for heading in ("median", "p95", "p99"):
        table.add_column(heading, justify="right")
    for name in TIMES:
        values = percentiles([getattr(entry, f"{name}_ms") for entry in figures])
        table.add_row(name, *(f"{value:.1f}" for value in values))
    return table


def file_table(files: Mapping[Path, str]) -> Table:
    """What was written: path, meaning and size."""
    table = Table(title="written", title_justify="left", show_header=False)
    for path, meaning in files.items():
        table.add_row(str(path), meaning, f"{size_mb(path):.1f} MB")
    return table


def spread(values: Sequence[int]) -> str:
    """Smallest, median and largest value, as text."""
    return f"{min(values)} / {np.median(values):g} / {max(values)}" if values else "-"


def percentiles(values: Sequence[float]) -> list[float]:
    """Median, 95th and 99th percentile of the values that are known; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return [float(value) for value in np.percentile(known, [50, 95, 99])] if known else [float("nan")] * 3


def size_mb(path: Path) -> float:
    """Size of a file, or of all files in a folder, MB."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()) / 1e6
