"""Run setup steps once. Each step leaves a stamp in its product, and runs again when its inputs change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

UNFINISHED = "unfinished"


class SetupError(Exception):
    """Setup cannot continue. The message tells the user what is missing and what to do."""


@dataclass(frozen=True)
class Step:
    """One step of the setup.

    Attributes:
        title: Description that is printed while the step runs.
        stamp: File that marks the step as done. It is inside the product of the step, so both are removed together.
        inputs: Everything that the result depends on, as text.
        action: Function that does the step. If it raises SetupError, it leaves no harmful changes.
    """

    title: str
    stamp: Path
    inputs: tuple[str, ...]
    action: Callable[[], None]

    @property
    def fingerprint(self) -> str:
        """Hash of the inputs. The stamp contains it after the step has succeeded."""
        return hashlib.sha256("\0".join(self.inputs).encode()).hexdigest()

    def is_done(self) -> bool:
        """Check that the step has succeeded with these inputs."""
        return self.stamp.is_file() and self.stamp.read_text() == self.fingerprint

    def run(self) -> None:
        """Do the step unless it is done. An interruption leaves the stamp "unfinished", a failure leaves no stamp."""
        if self.is_done():
            return
        started_s = time.monotonic()
        print(f"  {self.title} ...", flush=True)
        self._write_stamp(UNFINISHED)
        try:
            self.action()
        except SetupError:
            self.stamp.unlink(missing_ok=True)
            raise
        self._write_stamp(self.fingerprint)
        print(f"  {self.title}: done in {time.monotonic() - started_s:.1f} s", flush=True)

    def _write_stamp(self, text: str) -> None:
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        draft = self.stamp.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.stamp)


def discard_unfinished(product: Path) -> None:
    """Remove a product in which a step was interrupted, because its state is unknown."""
    stamps = (product / "stamps").glob("*")
    if any(stamp.read_text() == UNFINISHED for stamp in stamps):
        print(f"  {product.name} is unfinished: starting again", flush=True)
        shutil.rmtree(product)


def read_contents(paths: Iterable[Path]) -> str:
    """Return the names and contents of files as input of a step."""
    return "\n".join(f"{path}\n{path.read_text()}" for path in sorted(paths))


def list_files(folder: Path) -> str:
    """Return the names of all files below a folder as input of a step. Files in __pycache__ are skipped."""
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return "\n".join(str(path) for path in sorted(files))


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let one process at a time set up the checkout. Other processes wait. No lock file is created."""
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another setup of this checkout ...", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
