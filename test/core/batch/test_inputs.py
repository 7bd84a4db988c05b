"""Test which files are inputs of a batch, and how they are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import recordings

from pose_ros.batch.inputs import find_inputs, read_list


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with two days of recordings, and files that are none."""
    root = tmp_path / "data"
    for name in ("a/walk.mp4", "b/walk.mp4", "b/photo.JPG", "b/notes.txt", ".hidden.mp4", "b/.git/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    recordings.write_bag(root / "b/bag", {"/image": [recordings.image_message(0)]})
    recordings.write_video(root / "no suffix.avi", 1).rename(root / "no_suffix")
    return root


def names(arguments: list[object], tmp_path: Path, **options: object) -> list[str]:
    found = find_inputs([str(each) for each in arguments], out=tmp_path / "out", **{"root": None, **options})
    return [entry.name for entry in found]


def test_a_folder_stands_for_the_recordings_in_it(tree: Path, tmp_path: Path) -> None:
    assert names([tree], tmp_path) == ["a/walk.mp4", "b/bag", "b/photo.JPG", "b/walk.mp4", "no_suffix"]


def test_equal_names_in_two_folders_stay_apart(tree: Path, tmp_path: Path) -> None:
    assert names([tree / "a/walk.mp4", tree / "b/walk.mp4"], tmp_path) == ["a/walk.mp4", "b/walk.mp4"]
    assert names([tree / "a", tree / "b/walk.mp4"], tmp_path, root=tree.parent) == [
        "data/a/walk.mp4",
        "data/b/walk.mp4",
    ]


def test_an_input_that_is_named_twice_counts_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert names([tree / "a/walk.mp4", "a/../a/walk.mp4", "a"], tmp_path) == ["walk.mp4"]


def test_a_glob_is_expanded_unless_a_file_has_this_name(tree: Path, tmp_path: Path) -> None:
    (tree / "a/take[1].mp4").write_bytes(b"x")
    assert names([tree / "**/walk.mp4"], tmp_path) == ["a/walk.mp4", "b/walk.mp4"]
    assert names([tree / "a/take[1].mp4"], tmp_path) == ["take[1].mp4"]


def test_a_list_keeps_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    with open(odd, "wb") as file:
        file.write(b"x")
    (tmp_path / "list.txt").write_bytes(odd + b"\n\n")
    found = find_inputs([], read_list(tmp_path / "list.txt"), out=tmp_path / "out", root=None)
    assert [os.fsencode(entry.name) for entry in found] == [b"\xff.png"]


def test_a_binary_file_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a.png\n\0\n")
    with pytest.raises(ValueError, match=r"list.txt: expected one path per line, got a binary file"):
        read_list(tmp_path / "list.txt")


def test_outputs_and_loops_of_links_are_left_out(tree: Path, tmp_path: Path) -> None:
    (tree / "a/loop").symlink_to(tree)
    (tree / "a/out").mkdir()
    (tree / "a/out/walk.mp4.drawn.mp4").write_bytes(b"x")
    found = find_inputs([str(tree)], out=tree / "a/out", root=None)
    assert sorted(entry.path.name for entry in found) == ["bag", "no_suffix", "photo.JPG", "walk.mp4", "walk.mp4"]


def test_a_pipe_in_a_folder_is_left_out(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "a/pipe.mp4")
    assert names([tree / "a"], tmp_path) == ["walk.mp4"]


@pytest.mark.parametrize("result", ["walk.mp4.drawn.mp4", "photo.png.drawn.png", "photo.png.drawn.jpg"])
def test_an_input_in_the_place_of_a_result_is_refused(tmp_path: Path, result: str) -> None:
    for name in ("walk.mp4", "photo.png", result):
        (tmp_path / name).write_bytes(b"x")
    inputs = [str(tmp_path / f"*.{suffix}") for suffix in ("mp4", "png")] + [str(tmp_path / result)]
    with pytest.raises(ValueError, match=f"--out .*: expected a folder without inputs, got .*{result}, where"):
        find_inputs(inputs, out=tmp_path, root=None)
    assert len(find_inputs(inputs, out=tmp_path / "out", root=None)) == 3


def test_a_missing_file_of_a_list_or_glob_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "walk.mp4").write_bytes(b"x")
    assert names([tmp_path / "*.mp4"], tmp_path) == ["link.mp4", "walk.mp4"]
    found = find_inputs([], [str(tmp_path / "none.mp4")], out=tmp_path / "out", root=None)
    assert [(entry.name, entry.size_bytes) for entry in found] == [("none.mp4", 0)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: [], "inputs: expected files or folders, got none"),
        (lambda folder: [folder / "none.mp4"], "none.mp4, which does not exist"),
        (lambda folder: [folder / "*.mkv"], r"expected files that match .*\*\.mkv, got none"),
        (lambda folder: [folder, ""], "inputs: expected files or folders, got an empty name"),
        (lambda folder: ["http://me:secret@host/a.mp4"], r"got http://\*\*\*@host/a.mp4; use pose_ros video"),
        (lambda folder: [folder / "empty"], "expected videos, images or bags, got none in"),
        (lambda folder: [folder / "link.mp4"], "a link to a file that does not exist"),
        (lambda folder: [folder / "out"], "--out: expected a folder other than the inputs"),
    ],
)
def test_inputs_that_cannot_be_found(tmp_path: Path, make, message: str) -> None:
    for name in ("empty", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        names(make(tmp_path), tmp_path)


def test_the_root_must_contain_the_inputs(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--root: expected a folder that contains all inputs"):
        names([tree], tmp_path, root=tree / "a")
