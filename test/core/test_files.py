"""Files appear whole or not at all, whoever writes them at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pose_ros.files import appears_whole


def test_an_interrupted_file_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), appears_whole(path) as unfinished:
        unfinished.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_of_several_writers_each_has_a_file_of_its_own(tmp_path: Path) -> None:
    path, together, texts = tmp_path / "f", threading.Barrier(4), [str(number) * 1000 for number in range(4)]

    def write(text: str) -> None:
        with appears_whole(path) as unfinished:
            with unfinished.open("x") as file:
                file.write(text)
            together.wait(20)
            written.append(unfinished.read_text())

    written: list[str] = []
    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == texts
    assert path.read_text() in texts and list(tmp_path.iterdir()) == [path]


def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    """Engines and models are shared among users; a temporary file of the system's would be its owner's alone."""
    before = os.umask(0o022)
    try:
        with appears_whole(tmp_path / "f") as unfinished:
            unfinished.touch()
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644
