"""Test the record of what a batch has done."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from pose_ros.batch.manifest import Manifest, Row, read_rows
from pose_ros.batch.shards import Shard

ROW = Row("a.mp4", "done", 3, 2, 0.5, "", "m", "1", "s", ("a.mp4.people.jsonl",), "/a.mp4", 5, 7, "2026-01-01")
FIRST = Shard(1, 2)


def write(folder: Path, *rows: Row, shard: Shard = FIRST) -> Path:
    with Manifest(folder, shard) as manifest:
        for row in rows:
            manifest.append(row)
    return folder / shard.file_name


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    odd = replace(ROW, input="\udcff\n.mp4", error='"')
    assert read_rows(write(tmp_path, ROW, odd)) == [ROW, odd]


def test_the_latest_row_of_all_shards_counts(tmp_path: Path) -> None:
    write(tmp_path, replace(ROW, state="failed"), ROW)
    later = replace(ROW, frames=9, ended="2026-02-01")
    write(tmp_path, later, shard=Shard(2, 3))
    with Manifest(tmp_path, FIRST) as manifest:
        assert manifest.rows == {"a.mp4": later}


def test_a_line_that_was_being_written_is_removed(tmp_path: Path) -> None:
    file = write(tmp_path, ROW)
    content = file.read_bytes()
    file.write_bytes(content + content[:40])
    assert read_rows(file) == [ROW]
    write(tmp_path, replace(ROW, input="b.mp4"))
    assert [row.input for row in read_rows(file)] == ["a.mp4", "b.mp4"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, ROW)
    file.write_bytes(b"nonsense\n" + file.read_bytes())
    with pytest.raises(
        ValueError, match=r"manifest\.1-of-2\.jsonl, line 1: expected a row of a manifest, got 'nonsense"
    ):
        Manifest(tmp_path, FIRST)


def test_compacted_rows_are_one_per_input(tmp_path: Path) -> None:
    other = replace(ROW, input="0.mp4")
    write(tmp_path, other, shard=Shard(2, 2))
    with Manifest(tmp_path, FIRST) as manifest:
        manifest.append(replace(ROW, state="failed"))
        manifest.append(ROW)
        manifest.compact(["0.mp4", "a.mp4"])
    assert read_rows(tmp_path / FIRST.file_name) == [other, ROW]


def test_a_shard_has_one_process(tmp_path: Path) -> None:
    with Manifest(tmp_path, FIRST):
        with pytest.raises(ValueError, match="expected no other process on shard 1/2, got one"):
            Manifest(tmp_path, FIRST)
        write(tmp_path, ROW, shard=Shard(2, 2))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    with Manifest(tmp_path, FIRST) as manifest:
        manifest.append(ROW)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
        try:
            with pytest.raises(OSError, match="the disk is full") as caught:
                manifest.append(ROW)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.ENOSPC
        manifest.append(replace(ROW, input="b.mp4"))
    assert [row.input for row in read_rows(tmp_path / FIRST.file_name)] == ["a.mp4", "b.mp4"]
