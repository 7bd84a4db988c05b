"""Test atomic writing of files, also by several writers."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pose_ros.files import atomic_write


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
            barrier.wait(20)
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
