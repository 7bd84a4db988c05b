"""Record what a batch has done: one JSON object per input, in one file per shard.

A file of lines that has one writer needs no locks between machines. SQLite does, and network file systems of clusters
lack them: its write-ahead log needs memory that the machines share. A line is appended in one write after the outputs
of the input are complete. A killed process loses at most the line it was writing, and its input is processed again.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pose_ros.batch.inputs import Input
from pose_ros.batch.shards import Shard
from pose_ros.files import atomic_write

DONE, PARTIAL, FAILED = "done", "partial", "failed"
"""States of an input. Partial: the outputs hold all frames that could be read, and ``error`` tells about the others."""
HIDDEN = ".batch"
"""Folder beside the outputs for settings, lists of inputs, locks and pieces."""
_MANIFEST = re.compile(r"manifest(\.\d+-of-\d+)?\.jsonl")


@dataclass(frozen=True)
class Row:
    """State of one input.

    Attributes:
        input: Name of the input.
        state: ``"done"``, ``"partial"`` or ``"failed"``.
        people: Number of people in all frames.
        frames: Number of frames.
        seconds: Time that the workers took, s.
        error: Why it failed, or which images were left out.
        model: Name and short hash of the model.
        version: Version of this package.
        settings: Fingerprint of the settings.
        outputs: Names of the files, relative to the folder of the manifest.
        path: Absolute path of the input.
        size_bytes: Size of the input.
        modified_ns: Last change of the input, ns.
        ended: Time of the end, UTC.
    """

    input: str
    state: str
    people: int
    frames: int
    seconds: float
    error: str
    model: str
    version: str
    settings: str
    outputs: tuple[str, ...]
    path: str
    size_bytes: int
    modified_ns: int
    ended: str

    @property
    def is_complete(self) -> bool:
        """Whether the input has all its outputs."""
        return self.state in (DONE, PARTIAL)

    def describes(self, entry: Input) -> bool:
        """Whether the input is still the same file, also in another place."""
        return (self.size_bytes, self.modified_ns) == (entry.size_bytes, entry.modified_ns)


def now() -> str:
    """Return the time as text, in UTC. Later texts sort after earlier ones."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


class Manifest:
    """Manifest of a shard, and what the manifests of the other shards say. Use it in a ``with``.

    Attributes:
        folder: Folder of the outputs.
        rows: Latest row of each input, also of other shards and earlier runs.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If a manifest is damaged, or another process works on this shard.
    """

    def __init__(self, folder: Path, shard: Shard) -> None:
        self.folder, self._shard = folder, shard
        hidden_folder(folder).mkdir(parents=True, exist_ok=True)
        self._path = folder / shard.file_name
        self._lock = _lock(hidden_folder(folder) / f"{shard.file_name}.lock", shard)
        try:
            _cut_torn_line(self._path)
            self.rows = latest_rows(read_rows(file) for file in find_manifests(folder))
            self._own = {row.input: row for row in read_rows(self._path)}
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)
        os.close(self._lock)

    def append(self, row: Row) -> None:
        """Add a row. It replaces the earlier row of the input.

        Raises:
            OSError: If the disk is full.
        """
        line = (json.dumps(asdict(row), separators=(",", ":")) + "\n").encode()
        start = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, start)
            raise OSError(errno.ENOSPC, f"{self._path}: expected to write a row, got: the disk is full")
        self.rows[row.input] = self._own[row.input] = row

    def compact(self, names: Sequence[str]) -> None:
        """Rewrite the file with one row per input, sorted by name.

        Args:
            names: Inputs of this shard. Their rows may be those of another shard.

        Raises:
            OSError: If the disk is full. The file stays as it was.
        """
        rows = {**self._own, **{name: self.rows[name] for name in names}}
        write_rows(self._path, [rows[name] for name in sorted(rows)])


def hidden_folder(folder: Path) -> Path:
    """Return the folder beside the outputs for the files of the batch itself."""
    return folder / HIDDEN


def find_manifests(folder: Path) -> list[Path]:
    """List the manifests of all shards in a folder. Results of an input such as manifest.mp4 are none."""
    return sorted(file for file in folder.glob("manifest*.jsonl") if _MANIFEST.fullmatch(file.name))


def read_rows(file: Path) -> list[Row]:
    """Read the rows of a manifest in their order. A last line that is not complete is being written, and is skipped.

    Raises:
        ValueError: If another line is not a row.
    """
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [_parse(file, number, line) for number, line in enumerate(lines, 1)]


def write_rows(file: Path, rows: list[Row]) -> None:
    """Write a manifest as a whole."""
    with atomic_write(file) as unfinished:
        unfinished.write_text("".join(json.dumps(asdict(row), separators=(",", ":")) + "\n" for row in rows))


def latest_rows(files: Iterator[list[Row]]) -> dict[str, Row]:
    """Return the row of each input that ended last."""
    latest: dict[str, Row] = {}
    for row in (row for rows in files for row in rows):
        if row.input not in latest or row.ended >= latest[row.input].ended:
            latest[row.input] = row
    return latest


def _parse(file: Path, number: int, line: bytes) -> Row:
    try:
        values: dict[str, Any] = json.loads(line)
        return Row(**{field.name: values[field.name] for field in fields(Row)} | {"outputs": tuple(values["outputs"])})
    except (ValueError, KeyError, TypeError) as error:
        got = line[:80].decode(errors="replace")
        raise ValueError(f"{file}, line {number}: expected a row of a manifest, got {got!r}; remove it") from error


def _cut_torn_line(file: Path) -> None:
    """Remove the last line of a killed process, if it is not complete."""
    with suppress(FileNotFoundError), file.open("rb+") as opened:
        content = opened.read()
        opened.truncate(content.rfind(b"\n") + 1)


def _lock(path: Path, shard: Shard) -> int:
    """Lock a shard while this process lives. A file system without locks leaves it unlocked."""
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(number)
        raise ValueError(
            f"--out {path.parents[1]}: expected no other process on shard {shard}, got one; wait for its end, or give "
            "each process its own --shard"
        ) from error
    except OSError:
        pass
    return number
