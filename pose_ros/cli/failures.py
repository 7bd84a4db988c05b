"""Report images that cannot be read, and go on with the others."""

from __future__ import annotations

import typer

from pose_ros.texts import format_count

LISTED = 50
"""Most failures in the list at the end."""


class Failures:
    """Images that could not be read. Each is reported at once, and all are listed at the end.

    Args:
        strict: Raise the first error.
    """

    def __init__(self, strict: bool) -> None:
        self._is_strict = strict
        self._messages: dict[str, None] = {}  # in order. A source may be read several times

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, error: Exception) -> None:
        """Report an image that is skipped.

        Raises:
            Exception: The error, if strict.
        """
        if self._is_strict:
            raise error
        if str(error) not in self._messages:
            self._messages[str(error)] = None
            typer.secho(f"skipped: {error}", fg="yellow", err=True)

    def stop_if_none(self, images: int) -> None:
        """End the command if images failed and no other image was read, so that earlier outputs stay.

        Raises:
            typer.Exit: With exit code 1.
        """
        if not images:
            self.finish()

    def finish(self) -> None:
        """List the failures, if there are any, and end the command.

        Raises:
            typer.Exit: With exit code 1.
        """
        if not self._messages:
            return
        count = len(self._messages)
        typer.secho(f"pose_ros: {format_count(count, 'image')} could not be read:", fg="red", err=True)
        for message in list(self._messages)[:LISTED]:
            typer.secho(f"pose_ros: {message}", fg="red", err=True)
        if count > LISTED:
            typer.secho(f"pose_ros: and {count - LISTED} more, see above", fg="red", err=True)
        raise typer.Exit(1)
