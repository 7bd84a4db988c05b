"""Make the tables that the demo prints at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import Figures, Run
from rich.table import Table

TIMES = ("preprocess", "network", "decode", "total", "latency")


def run_table(run: Run, passages: int | None = None) -> Table:
    """Make the table of the counts of a run.

    Args:
        run: The run.
        passages: How often about a person enters the view and leaves it. None = not counted.
    """
    table = Table(title="run", title_justify="left", show_header=False)
    processed = len(run.figures)
    rate = f", {(processed - 1) / run.wall_s:.1f} images/s" if run.wall_s else ""
    table.add_row("images in", str(len(run.images_in_ns)))
    table.add_row("processed", str(processed))
    table.add_row("dropped", str(run.dropped))
    table.add_row("people per image (min / median / max)", format_spread([entry.people for entry in run.figures]))
    counted = "" if passages is None else f" for about {passages} passages of people"
    table.add_row("ids of people", f"{run.id_count}{counted}")
    table.add_row("wall time", f"{run.wall_s:.1f} s{rate}")
    table.add_row("resident memory of the node", f"{run.memory_mb:.0f} MB")
    return table


def time_table(figures: Sequence[Figures]) -> Table:
    """Make the table of times per image."""
    table = Table("ms", title="time per image", title_justify="left")
    for heading in ("median", "p95", "p99"):
        table.add_column(heading, justify="right")
    for name in TIMES:
        values = percentiles([getattr(entry, f"{name}_ms") for entry in figures])
        table.add_row(name, *(f"{value:.1f}" for value in values))
    return table


def file_table(files: Mapping[Path, str]) -> Table:
    """Make the table of written files: path, description and size."""
    table = Table(title="files", title_justify="left", show_header=False)
    for path, description in files.items():
        table.add_row(str(path), description, f"{size_mb(path):.1f} MB")
    return table


def format_spread(values: Sequence[int]) -> str:
    """Format the smallest, median and largest value as text."""
    return f"{min(values)} / {np.median(values):g} / {max(values)}" if values else "-"


def percentiles(values: Sequence[float]) -> list[float]:
    """Median, 95th and 99th percentile of the known values. NaN = no known value."""
    known = [value for value in values if not np.isnan(value)]
    return [float(value) for value in np.percentile(known, [50, 95, 99])] if known else [float("nan")] * 3


def size_mb(path: Path) -> float:
    """Size of a file, or of all files in a folder, MB."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()) / 1e6
