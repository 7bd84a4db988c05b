"""Output file of a run, which appears whole."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any

from pose_ros.files import InPlaceFile, UnfinishedFile


class OutputFile:
    """Output file of a run. At the end of a ``with``, it replaces an earlier file.

    The earlier file stays if the run failed before its first frame, if a write failed, and if the process was killed.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, target: UnfinishedFile | InPlaceFile) -> None:
        self.path = path
        self._target = target
        self._frames = 0
        self._is_broken = False

    def __enter__(self: Any) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_broken or (kind is not None and not self._frames):
            self.discard()
        else:
            self.close()

    def close(self) -> None:
        """Complete the file. It replaces an earlier file.

        Raises:
            OSError: If the file could not be written completely. The earlier file stays.
        """
        try:
            with self._target.explain_errors():
                self._finish()
            self._target.complete()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the unfinished file, and keep an earlier file, also at the end of a ``with``."""
        self._is_broken = True
        self._release()
        self._target.discard()

    def _finish(self) -> None:
        """Write the rest of the file and close it. Raises OSError if the file is not complete."""
        raise NotImplementedError

    def _release(self) -> None:
        """Close the file, whatever its state."""
        raise NotImplementedError


def create_folder(path: Path) -> Path:
    """Create the folder of a path, and return the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"output {path}: expected a folder for it, got {path.parent}, a file") from error
    return path


def check_suffix(name: str, path: Path, suffixes: Collection[str]) -> None:
    """Check that the name of a file ends in one of some suffixes, in any case.

    Args:
        name: Name for the error, e.g. an option.
        path: File to write.
        suffixes: Suffixes of the formats that can be written.

    Raises:
        ValueError: If it does not.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{name}: expected a name ending in {', '.join(suffixes)}, got {path}")
