"""Progress bar of commands that may build an engine first."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class BuildBar(ExitStack):
    """Progress bar that appears with the first progress, and pulses while the progress is unknown.

    Args:
        console: Console for the bar and the lines above it. Default: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console
        self._bar: Any = None

    def notify(self, line: str) -> None:
        """Print a line above the bar."""
        self._open_console().print(line, markup=False, highlight=False)

    def progress(self, text: str, fraction: float) -> None:
        """Show the current task and its progress, 0 to 1. Below 0 = unknown."""
        from rich.markup import escape

        bar, task = self._open_bar()
        bar.update(task, description=escape(text), completed=max(fraction, 0), total=1 if fraction >= 0 else None)

    def _open_console(self) -> Console:
        from rich.console import Console

        self._console = self._console or Console(stderr=True, soft_wrap=True)
        return self._console

    def _open_bar(self) -> tuple[Any, Any]:
        from rich.progress import Progress, TimeElapsedColumn

        if self._bar is None:
            columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn())
            bar = Progress(*columns, console=self._open_console(), transient=True, disable=not sys.stderr.isatty())
            self._bar = self.enter_context(bar), bar.add_task("loading the engine", total=None)
        bar_and_task: tuple[Any, Any] = self._bar
        return bar_and_task
