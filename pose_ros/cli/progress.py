"""The bar of a command that may have to build an engine first."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class BuildBar(ExitStack):
    """A bar that appears when there is progress, and wanders to and fro while nobody knows how far it is.

    Args:
        console: Where it is drawn, and lines are said; by default stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console
        self._bar: Any = None

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._place().print(line, markup=False, highlight=False)

    def progress(self, text: str, fraction: float) -> None:
        """What is under way, and how much of it is done; less than 0 is unknown."""
        from rich.markup import escape

        bar, task = self._shown()
        bar.update(task, description=escape(text), completed=max(fraction, 0), total=1 if fraction >= 0 else None)

    def _place(self) -> Console:
        from rich.console import Console

        self._console = self._console or Console(stderr=True, soft_wrap=True)
        return self._console

    def _shown(self) -> tuple[Any, Any]:
        from rich.progress import Progress, TimeElapsedColumn

        if self._bar is None:
            columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn())
            bar = Progress(*columns, console=self._place(), transient=True, disable=not sys.stderr.isatty())
            self._bar = self.enter_context(bar), bar.add_task("loading the engine", total=None)
        shown: tuple[Any, Any] = self._bar
        return shown
