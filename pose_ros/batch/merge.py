"""Join the results of all shards, and refuse gaps."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import relpath
from pathlib import Path
from typing import Any

from pose_ros.batch.inputs import Input
from pose_ros.batch.manifest import Row, find_manifests, hidden_folder, latest_rows, read_rows, write_rows
from pose_ros.batch.recipe import SUFFIXES
from pose_ros.batch.shards import Shard
from pose_ros.files import atomic_write
from pose_ros.runtime.model_checksum import sha256_of_json

MERGED = "merged"
"""Name of the joined files, before the suffix."""
_LISTED = 10


@dataclass(frozen=True)
class Merged:
    """Result of a merge.

    Attributes:
        rows: Row of each input, sorted by name. Outputs are relative to the folder of the merged files.
        files: Merged files.
        notes: Lines of text about outputs that are not merged.
    """

    rows: list[Row]
    files: list[Path]
    notes: list[str]


@dataclass(frozen=True)
class _Listing:
    """Inputs that one shard found and took."""

    file: Path
    shard: Shard
    all_inputs: str
    names: list[str]


def store_listing(out: Path, shard: Shard, inputs: Sequence[Input]) -> None:
    """Store which inputs a shard found and takes, so that a merge can find gaps.

    Args:
        out: Folder of the outputs.
        shard: The shard.
        inputs: All inputs, also those of other shards.
    """
    file = hidden_folder(out) / f"inputs.{shard.index}-of-{shard.count}.json"
    names = [entry.name for entry in inputs]
    content = {"all_inputs": sha256_of_json(names), "names": shard.select(names)}
    with atomic_write(file) as unfinished:
        unfinished.write_text(json.dumps(content) + "\n")


def merge_results(folders: Sequence[Path], out: Path, *, mixed: bool = False) -> Merged:
    """Join the manifests and tables of all shards.

    Args:
        folders: Folders of results. Shards may share one.
        out: Folder of the merged files. It may be one of the folders.
        mixed: Whether results of different settings may be joined.

    Raises:
        FileNotFoundError: If a folder has no manifest.
        ValueError: If a shard or an input is missing or failed, or if settings differ.
    """
    rows = _collect_rows(folders, out)
    names = _complete_listing([listing for folder in folders for listing in _read_listings(folder)])
    missing = [name for name in names if name not in rows or not rows[name].is_complete]
    if missing:
        raise ValueError(
            f"merge: expected results of {len(names)} inputs, got {len(names) - len(missing)}; run the batch again for "
            f"{_shorten(missing)}"
        )
    merged = [rows[name] for name in names]
    if len({row.settings for row in merged}) > 1 and not mixed:
        raise ValueError("merge: expected results of one model and its settings, got several; add --stale keep")
    results = {out / name for row in merged for name in row.outputs}
    if taken := results.intersection(out / f"{MERGED}{suffix}" for suffix in SUFFIXES.values()):
        raise ValueError(
            f"merge: expected a folder without results of an input named {MERGED}, got {min(taken)}; give another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    files, notes = [], list[str]()
    for kind, join in {"json": _join_lines, "csv": _join_csv, "coco": _join_coco}.items():
        suffix = SUFFIXES[kind]
        parts = [(row, out / name) for row in merged for name in row.outputs if name.endswith(row.input + suffix)]
        if not parts:
            continue
        try:
            with atomic_write(out / f"{MERGED}{suffix}") as unfinished, unfinished.open("w", encoding="utf-8") as file:
                file.writelines(join(parts))
            files.append(out / f"{MERGED}{suffix}")
        except _NotMergedError as error:
            notes.append(str(error))
    write_rows(out / Shard().file_name, merged)
    return Merged(merged, files, notes)


class _NotMergedError(Exception):
    """One kind of output cannot be joined. The others can."""


def _collect_rows(folders: Sequence[Path], out: Path) -> dict[str, Row]:
    """Return the latest row of each input, with outputs relative to ``out``."""
    files = [file for folder in folders for file in find_manifests(folder)]
    for folder in folders:
        if not find_manifests(folder):
            raise FileNotFoundError(f"merge: expected a folder of results, got {folder}, which has no manifest")
    tables = [[_move_outputs(row, file.parent, out) for row in read_rows(file)] for file in files]
    _check_names([row for rows in tables for row in latest_rows(iter([rows])).values() if row.is_complete])
    return latest_rows(iter(tables))


def _check_names(rows: Sequence[Row]) -> None:
    """Refuse different files of one name, of which a merge could keep one only.

    Raises:
        ValueError: If two rows of one name have another path, and another size or time of change.
    """
    seen: dict[str, Row] = {}
    for row in rows:
        other = seen.setdefault(row.input, row)
        is_copy = (row.size_bytes, row.modified_ns) == (other.size_bytes, other.modified_ns)
        if row.path != other.path and not is_copy:
            raise ValueError(
                f"merge: expected one input of the name {row.input}, got {other.path} and {row.path}; run one batch "
                "over both folders"
            )


def _move_outputs(row: Row, folder: Path, out: Path) -> Row:
    return replace(row, outputs=tuple(relpath(folder / name, out) for name in row.outputs))


def _read_listings(folder: Path) -> Iterator[_Listing]:
    for file in sorted(hidden_folder(folder).glob("inputs.*-of-*.json")):
        index, _, count = file.name.split(".")[1].partition("-of-")
        try:
            content: dict[str, Any] = json.loads(file.read_text())
            yield _Listing(file, Shard(int(index), int(count)), content["all_inputs"], content["names"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: expected the inputs of a shard, got {error!r}; run this shard again") from error


def _complete_listing(listings: Sequence[_Listing]) -> list[str]:
    """Return the names of all inputs, from shards that found the same inputs.

    Raises:
        ValueError: If a shard is missing, or if shards found other inputs.
    """
    groups: dict[tuple[str, int], dict[int, _Listing]] = defaultdict(dict)
    for listing in listings:
        groups[listing.all_inputs, listing.shard.count][listing.shard.index] = listing
    complete = [group for (_, count), group in groups.items() if len(group) == count]
    if complete:
        largest = max(complete, key=lambda group: sum(len(listing.names) for listing in group.values()))
        names = {name for listing in largest.values() for name in listing.names}
        _check_others(listings, names)
        return sorted(names)
    counts = {count for _, count in groups}
    if len(counts) == 1 and len({index for group in groups.values() for index in group}) == max(counts):
        raise ValueError("merge: expected shards of the same inputs, got different ones; run all shards again")
    (_, count), group = max(groups.items(), key=lambda entry: len(entry[1]), default=(("", 1), {}))
    absent = [str(Shard(index, count)) for index in range(1, count + 1) if index not in group]
    raise ValueError(f"merge: expected {count} shards, got {len(group)}; run the batch for shard {_shorten(absent)}")


def _check_others(listings: Sequence[_Listing], names: set[str]) -> None:
    """Refuse to leave out the inputs of other runs, which may be newer, or in another folder.

    Raises:
        ValueError: If a shard took an input that is not among the names.
    """
    for listing in listings:
        if others := [name for name in listing.names if name not in names]:
            raise ValueError(
                f"merge: expected shards of the same inputs, got {_shorten(others)} only in shard {listing.shard} of "
                f"{listing.file}; run all shards with the same inputs. If that run is obsolete, remove this file"
            )


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


_Parts = Sequence[tuple[Row, Path]]


def _join_lines(parts: _Parts) -> Iterator[str]:
    """Yield the lines of all JSON Lines files, each with the name of its input."""
    for row, file in parts:
        start = '{"input":' + json.dumps(row.input) + ","
        with file.open(encoding="utf-8") as lines:
            yield from (start + line[1:] for line in lines)


def _join_csv(parts: _Parts) -> Iterator[str]:
    """Yield the rows of all CSV files, each with the name of its input."""
    for number, (row, file) in enumerate(parts):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        with file.open(encoding="utf-8", newline="") as opened:
            table = csv.reader(opened)
            header = next(table, [])
            if number == 0:
                writer.writerow(["input", *header])
            writer.writerows([row.input, *cells] for cells in table)
        yield text.getvalue()


def _join_coco(parts: _Parts) -> Iterator[str]:
    """Yield the entries of all COCO results. Their image ids must differ."""
    owners: dict[int, str] = {}
    separator = "[\n"
    for row, file in parts:
        entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        for entry in entries:
            owner = owners.setdefault(entry["image_id"], row.input)
            if owner != row.input:
                raise _NotMergedError(
                    f"COCO results are not merged: {owner} and {row.input} both have image id {entry['image_id']}"
                )
            yield separator + json.dumps(entry)
            separator = ",\n"
    yield "[\n]\n" if separator == "[\n" else "\n]\n"
