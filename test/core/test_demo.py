"""The parts of the demo: the clip, the pictures and the figures. Its run over ROS is tested in test/ros."""

import gzip
import importlib
import io
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

sys.path.append(str(Path(__file__).parents[2] / "demo"))
clip: Any = importlib.import_module("clip")
figures: Any = importlib.import_module("figures")
lasting: Any = importlib.import_module("tracks")
pictures: Any = importlib.import_module("overlays")
table: Any = importlib.import_module("table")

MS = 1_000_000
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb, which makes packages")


@pytest.fixture
def few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A video of 3 frames that passes for the clip; no other is at hand."""
    monkeypatch.setattr(clip, "FRAMES", 3)
    monkeypatch.setattr(clip, "INSTALLED", tmp_path / "installed")
    path = tmp_path / "tiny.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return path.read_bytes()


def package_of(content: bytes, name: str, folder: Path) -> Path:
    """A Debian package that holds one example file, and a page after it."""
    tree = folder / "tree"
    examples = tree / "usr/share/doc/opencv-doc/examples/data"
    examples.mkdir(parents=True)
    (examples / name).write_bytes(content)
    (tree / "usr/share/doc/opencv-doc/zz.html").write_bytes(b"page" * 100_000)
    (tree / "DEBIAN").mkdir()
    fields = {"Package": "opencv-doc", "Version": "1", "Architecture": "all", "Maintainer": "x", "Description": "x"}
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    deb = folder / "opencv-doc_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(deb)], check=True, capture_output=True)
    return deb


@needs_dpkg
@pytest.mark.parametrize("name", ["vtest.avi", "vtest.avi.gz"])
def test_clip_is_taken_out_of_the_package_once(
    name: str, few_frames: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = package_of(gzip.compress(few_frames) if name.endswith(".gz") else few_frames, name, tmp_path)
    downloads, said = [], []
    monkeypatch.setattr(clip, "download", lambda _, folder: downloads.append(folder) or deb)
    for _ in range(2):
        found = clip.find_clip(tmp_path / "cache", said.append)
        assert found.read_bytes() == few_frames
    assert len(downloads) == len(said) == 1
    assert list((tmp_path / "cache").iterdir()) == [found]  # nothing else is left behind


@needs_dpkg
def test_package_without_the_clip(few_frames: bytes, tmp_path: Path) -> None:
    with pytest.raises(clip.ClipError, match=r"expected vtest\.avi in it"):
        clip.unpack(package_of(few_frames, "other.avi", tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF and nothing more"], ids=["empty", "cut off"])
def test_damaged_clip_in_the_cache_is_replaced(content: bytes, few_frames: bytes, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/vtest.avi").write_bytes(content)
    clip.INSTALLED.mkdir()
    (clip.INSTALLED / "vtest.avi.gz").write_bytes(gzip.compress(few_frames))
    assert clip.find_clip(tmp_path / "cache").read_bytes() == few_frames


def test_installed_clip_is_used_where_it_lies(few_frames: bytes, tmp_path: Path) -> None:
    clip.INSTALLED.mkdir()
    (clip.INSTALLED / "vtest.avi").write_bytes(few_frames)
    assert clip.find_clip(tmp_path / "cache") == clip.INSTALLED / "vtest.avi"


def test_no_clip_gives_one_sentence_with_the_way_out(
    few_frames: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(clip.ClipError, match=r"^[^\n]*no apt-get[^\n]*make demo VIDEO=my.mp4$"):
        clip.find_clip(tmp_path / "cache")


def frame(time_s: float, grey: int = 0) -> Any:
    _, jpeg = cv2.imencode(".jpg", np.full((48, 65, 3), grey, np.uint8))
    return pictures.Frame(round(time_s * 1e9), time_s, jpeg, 2)


@pytest.mark.parametrize(
    ("times_s", "shown"),
    [
        pytest.param([0, 0.1, 0.2], [0, 1, 2], id="even"),
        pytest.param([0, 0.09, 0.22, 0.3], [0, 1, 2, 3], id="jitter"),
        pytest.param([0, 0.1, 0.4, 0.5], [0, 1, 1, 1, 2, 3], id="two dropped"),
        pytest.param([0, 0.01, 0.02], [0, 1, 2], id="faster than the rate"),
        pytest.param([0, 1000], [0] * 51 + [1], id="a long pause is cut"),
        pytest.param([], [], id="none"),
    ],
)
def test_frames_are_held_until_the_next(times_s: list[float], shown: list[int]) -> None:
    given = [frame(time_s) for time_s in times_s]
    assert [given.index(entry) for entry in pictures.paced(given, 10.0)] == shown


def test_video_holds_every_frame(tmp_path: Path) -> None:
    pictures.write_video([frame(index / 10) for index in range(7)], tmp_path / "odd.mp4", 10.0)
    capture = cv2.VideoCapture(str(tmp_path / "odd.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 7


def test_contact_sheet_has_every_tile_in_its_place() -> None:
    tiles = [(np.full((40, 100, 3), 40 * index, np.uint8), f"{index} s") for index in range(5)]
    sheet = pictures.contact_sheet(tiles, columns=2, width=200)
    assert sheet.shape == (3 * 80 + 2 * 4, 2 * 200 + 4, 3)
    for index in range(5):
        row, column = divmod(index, 2)
        tile = sheet[row * 84 :, column * 204 :][:80, :200]
        assert (tile[:40] == 40 * index).all()
        assert tile[-15:, :60].max() > 200  # the caption
    assert (sheet[168:, 204:] == 255).all()  # no sixth


def message(stamp_ms: int, people: int = 0, dropped: int = 0, times_ms: tuple[float, ...] = (1, 10, 2, 20)) -> Any:
    sec, rest_ms = divmod(stamp_ms, 1000)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=rest_ms * MS)),
        people=[None] * people,
        dropped=dropped,
        **dict(zip(("preprocess_ms", "network_ms", "decode_ms", "latency_ms"), times_ms, strict=True)),
    )


def test_images_before_the_first_that_reached_the_node_do_not_count() -> None:
    assert len(run_of([message(2), message(3)], [0, 1, 2, 3, 4]).images_in_ns) == 3


def run_of(messages: list[Any], stamps_ms: list[int]) -> Any:
    entries = [figures.Figures.of(entry) for entry in messages]
    return figures.Run(entries, [stamp * MS for stamp in stamps_ms], len(entries), 123.4)


def text(renderable: Any) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def row(rendered: str, name: str) -> list[str]:
    line = next(line for line in rendered.splitlines() if f" {name} " in line)
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[2:-1]]


def test_table_holds_the_numbers_of_the_messages() -> None:
    run = run_of([message(0, people=3), message(200, people=0, dropped=1), message(300, people=8)], [0, 100, 200, 300])
    counts = text(table.run_table(run))
    assert row(counts, "images in") == ["4"]
    assert row(counts, "processed") == ["3"]
    assert row(counts, "dropped") == ["1"]
    assert row(counts, "people per image (min / median / max)") == ["0 / 3 / 8"]
    assert row(counts, "resident memory of the node") == ["123 MB"]


def test_table_holds_the_percentiles() -> None:
    run = run_of([message(i, times_ms=(1, i, 2, math.nan)) for i in range(101)], list(range(101)))
    times = text(table.time_table(run.figures))
    assert row(times, "preprocess") == ["1.0", "1.0", "1.0"]
    assert row(times, "network") == ["50.0", "95.0", "99.0"]
    assert row(times, "whole") == ["53.0", "98.0", "102.0"]
    assert row(times, "latency") == ["nan", "nan", "nan"]


def test_tables_of_an_empty_run() -> None:
    run = run_of([], [])
    assert row(text(table.run_table(run)), "people per image (min / median / max)") == ["-"]
    assert row(text(table.time_table(run.figures)), "network") == ["nan", "nan", "nan"]


@pytest.mark.parametrize(
    ("stamps_ms", "recorded_ms", "problem"),
    [
        pytest.param([0, 1, 2], [0, 2], None, id="adds up"),
        pytest.param([0, 1, 2, 3], [0, 2], "expected processed + dropped = 4", id="an image is lost"),
        pytest.param([0, 1, 2], [0], "got 1 arrays", id="an array is not in the bag"),
        pytest.param([0, 1, 2], [0, 2, 2], "each once", id="an array is in the bag twice"),
        pytest.param([0, 1, 3], [0, 2], "stamps of the images", id="an array has a stamp of its own"),
        pytest.param([1, 2], [0, 2], None, id="the recorder saw no image before the second"),
    ],
)
def test_what_does_not_add_up_is_said(stamps_ms: list[int], recorded_ms: list[int], problem: str | None) -> None:
    run = run_of([message(0), message(2, dropped=1)], stamps_ms)
    found = " ".join(figures.problems(run, [stamp * MS for stamp in recorded_ms]))
    assert problem in found if problem else not found


def test_video_that_is_not_there_gives_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = importlib.import_module("run")
    assert run.main(["--video", str(tmp_path / "none.mp4"), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out.strip()
    assert said.endswith("which does not exist")
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_silent_node_is_a_problem() -> None:
    assert "got none to 2 images" in " ".join(figures.problems(run_of([], [0, 1]), []))
    assert figures.problems(run_of([], []), []) == []


def test_an_answer_before_the_recorder_saw_the_camera_is_no_problem() -> None:
    assert figures.problems(run_of([message(5)], []), [5 * MS]) == []


def test_the_last_images_of_a_camera_that_was_stopped_are_not_counted() -> None:
    run = run_of([message(0), message(2, dropped=1)], [0, 1, 2, 3])
    assert len(figures.problems(run, [0, 2 * MS])) == 1
    assert figures.problems(replace(run, is_cut_short=True), [0, 2 * MS]) == []
    lost = run_of([message(0), message(2)], [0, 1, 2, 3])
    assert "got 2 + 0" in figures.problems(replace(lost, is_cut_short=True), [0, 2 * MS])[0]


def test_what_was_dropped_before_the_recorder_could_watch_is_not_counted() -> None:
    answers = [message(2, dropped=1), message(5, dropped=2), message(8, dropped=1)]
    run = run_of(answers, [5, 7, 8])  # of 0 to 4 the recorder saw nothing
    assert len(run.images_in_ns) == 4 and run.dropped == 1
    assert figures.problems(run, [2 * MS, 5 * MS, 8 * MS]) == []
    assert run_of([message(1, dropped=1)], [1]).dropped == 0


def answers(*boxes_of_frames: list[tuple[float, ...]]) -> list[SimpleNamespace]:
    """Messages of people with these boxes, the first the surest."""
    return [
        SimpleNamespace(people=[SimpleNamespace(box=box, score=0.9 - 0.2 * n) for n, box in enumerate(boxes)])
        for boxes in boxes_of_frames
    ]


NEAR, STEP, FAR = (0, 0, 100, 200), (10, 0, 110, 200), (400, 0, 500, 200)


@pytest.mark.parametrize(
    ("boxes", "numbers"),
    [
        ([[NEAR], [STEP], [NEAR]], [[0, 1, 2]]),
        ([[NEAR, FAR], [FAR, STEP]], [[0, 1], [0, 1]]),
        ([[NEAR, STEP]], [[0], [0]]),
        ([[NEAR], [], [], [STEP]], [[0, 3]]),
        ([[NEAR], [], [], [], [STEP]], [[0], [4]]),
        ([[NEAR], [(0, 0, 0, 0)]], [[0], [1]]),
    ],
    ids=["one", "two who change places in the list", "two at once", "a gap", "too long a gap", "no area"],
)
def test_people_are_followed_by_their_boxes(boxes: list[list[tuple[float, ...]]], numbers: list[list[int]]) -> None:
    assert [track.numbers for track in lasting.tracks(answers(*boxes))] == numbers


def test_the_middle_of_a_track_is_cut_out_of_its_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[100:300, 150:250] = 255
    overlay = SimpleNamespace(stamp_ns=7, picture=lambda: picture)
    monkeypatch.setattr(lasting, "frames", lambda bag: [overlay])
    seen, dropped = lasting.tracks(answers([(150, 100, 250, 300)])), lasting.tracks(answers([], [(0, 0, 9, 9)]))
    ((tile, caption),) = lasting.tiles(Path("bag"), [*dropped, *seen], [7, 8])
    assert caption == "1f 0.90" and tile.shape == (160, 120, 3)
    white = np.argwhere(tile[..., 0] > 127)
    np.testing.assert_allclose([white.min(axis=0), white.max(axis=0) + 1], [(27, 33), (133, 87)], atol=1)
