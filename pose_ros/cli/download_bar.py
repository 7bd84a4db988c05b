"""Progress bar of commands that download a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pose_ros.models.download import DownloadProgress


@contextmanager
def download_bar(name: str) -> Iterator[DownloadProgress]:
    """Show a progress bar, and a hint how to continue after an interrupt."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(name, total=None)
        try:
            yield lambda got, total: bar.update(task, completed=got, total=total or None)
        except KeyboardInterrupt:
            typer.echo("interrupted; run the same command again to continue the download", err=True)
            raise
