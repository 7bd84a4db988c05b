"""Steps that are done once: each leaves a stamp in what it made, and is done again when its inputs have changed."""

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
    """What is missing and what to do about it, in one sentence for the user."""


@dataclass(frozen=True)
class Step:
    """One step of the set-up.

    Attributes:
        title: What it does, in the words shown while it runs.
        stamp: File that vouches for it. It lies inside what the step makes, so that both disappear together.
        inputs: Whatever the result depends on, as text.
        action: Does it; raises SetupError, having changed nothing that matters, if it cannot.
    """

    title: str
    stamp: Path
    inputs: tuple[str, ...]
    action: Callable[[], None]

    @property
    def fingerprint(self) -> str:
        """The hash of the inputs, which the stamp holds once the step has succeeded."""
        return hashlib.sha256("\0".join(self.inputs).encode()).hexdigest()

    def is_done(self) -> bool:
        """Whether the step has succeeded with these inputs."""
        return self.stamp.is_file() and self.stamp.read_text() == self.fingerprint

    def run(self) -> None:
        """Does the step unless it is done. An interruption leaves the stamp "unfinished", a failure leaves none."""
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
    """Removes a product in which a step was interrupted: nobody knows what state it is in."""
    stamps = (product / "stamps").glob("*")
    if any(stamp.read_text() == UNFINISHED for stamp in stamps):
        print(f"  {product.name} was left unfinished: making it anew", flush=True)
        shutil.rmtree(product)


def contents(paths: Iterable[Path]) -> str:
    """The names and contents of files, as input of a step."""
    return "\n".join(f"{path}\n{path.read_text()}" for path in sorted(paths))


def names(folder: Path) -> str:
    """The names of all files below a folder, as input of a step; what lies in __pycache__ does not count."""
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return "\n".join(str(path) for path in sorted(files))


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lets one process at a time set up the checkout; the others wait. Leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another set-up of this checkout to finish ...", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
