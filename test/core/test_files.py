"""Test atomic writing of files, also by several writers, and after writers were killed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pose_ros import files
from pose_ros.files import UnfinishedFile, atomic_write, clear_unfinished, is_stream, unfinished_folder

KILLED_WRITER = """
import os, pathlib, signal, sys
from pose_ros.files import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_several_writers_have_separate_temporary_files(tmp_path: Path) -> None:
    path, barrier, texts = tmp_path / "f", threading.Barrier(4), [str(number) * 1000 for number in range(4)]

    def write(text: str) -> None:
        with atomic_write(path) as temporary:
            with temporary.open("x") as file:
                file.write(text)
            barrier.wait(120)
            written.append(temporary.read_text())

    written: list[str] = []
    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == texts
    assert path.read_text() in texts and list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Engines and models are shared among users. A temporary file of the system would be private."""
    before = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "f") as temporary:
            temporary.touch()
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def leave_behind(path: Path) -> Path:
    """Kill a process that writes a file. Return the folder that it leaves behind."""
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    (left,) = path.parent.glob(".unfinished-*")
    assert sorted(file.name for file in left.iterdir()) == [f"file{path.suffix}", "lock"]
    return left


def test_a_killed_writer_keeps_the_old_file_and_the_next_one_removes_its_files(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text("older")
    leave_behind(path)
    assert path.read_text() == "older"
    with atomic_write(tmp_path / "another") as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "another", path]


def test_files_of_a_living_writer_stay(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "f") as temporary:
        temporary.write_text("new")
        clear_unfinished(tmp_path)
        script = "import pathlib, sys; from pose_ros.files import *; clear_unfinished(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        assert temporary.read_text() == "new"
    assert (tmp_path / "f").read_text() == "new"


def test_a_folder_without_a_lock_is_removed_when_it_is_old(tmp_path: Path) -> None:
    """A process creates the folder first, and locks it a moment later."""
    left = tmp_path / ".unfinished-0123456789abcdef"
    left.mkdir()
    clear_unfinished(tmp_path)
    assert left.is_dir()
    os.utime(left, (0, 0))
    clear_unfinished(tmp_path)
    assert not left.exists()


def test_links_in_place_of_unfinished_files_are_not_followed(tmp_path: Path) -> None:
    precious, place = tmp_path / "precious", tmp_path / "place"
    precious.mkdir()
    (precious / "lock").touch()
    place.mkdir()
    (place / ".unfinished-0").symlink_to(precious)
    (place / ".unfinished-1").touch()
    clear_unfinished(place)
    assert (precious / "lock").is_file()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with atomic_write(tmp_path / "f") as temporary:
        temporary.write_text("new")
        clear_unfinished(tmp_path)
    assert (tmp_path / "f").read_text() == "new" and list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_folder_that_another_process_removed_before_its_lock_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = fcntl.flock, []

    def remove_first(number: int, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.glob(".unfinished-*"))
            clear_unfinished(tmp_path)
        lock(number, operation)

    monkeypatch.setattr(files.fcntl, "flock", remove_first)
    with unfinished_folder(tmp_path) as folder:
        assert folder.is_dir() and [folder] != removed
        assert list(tmp_path.iterdir()) == [folder]


def test_a_file_behind_a_link_is_replaced_on_request(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "f", tmp_path / "f"
    target.write_text("older")
    link.symlink_to(target)
    with atomic_write(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    with atomic_write(link, follow_links=False) as temporary:
        temporary.write_text("newest")
    assert not link.is_symlink() and (link.read_text(), target.read_text()) == ("newest", "new")


def test_a_private_file_stays_private(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o600)
    with atomic_write(tmp_path / "f") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_folders_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe", "a device or a pipe")):
        with pytest.raises(ValueError, match=f"output: expected a file to write, got {path}, which is {kind}"):
            UnfinishedFile(path)
    with atomic_write(Path("/dev/null")) as direct:
        direct.write_text("lost")
    assert not Path("/dev/null").is_file()


def test_a_missing_folder_and_a_full_disk_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "f"
    with pytest.raises(FileNotFoundError, match=f"{path}: expected a complete file, got: No such file"):
        UnfinishedFile(path)
    with pytest.raises(OSError, match=r"f: expected a complete file, got: No space left.*unchanged"):
        write_to_full_disk(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def write_to_full_disk(path: Path) -> None:
    with atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_errors_about_other_files_are_not_changed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*other'"):  # noqa: SIM117
        with atomic_write(tmp_path / "f"):
            (tmp_path / "other").read_text()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/dev/stdout", True), ("/dev/fd/1", True), ("/dev/null", True), ("/dev/shm", False), ("people.json", False)],
)
def test_streams(path: str, expected: bool) -> None:
    assert is_stream(Path(path)) == expected
