"""Test the parts of the demo that need no ROS: clip, images, counts and tables. test/ros tests a whole run."""

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

from pose_ros.cli import demo
from pose_ros.media.overlay import SIDE_COLOURS

sys.path.append(str(Path(__file__).parents[2] / "demo"))
clip: Any = importlib.import_module("clip")
figures: Any = importlib.import_module("figures")
overlays: Any = importlib.import_module("overlays")
table: Any = importlib.import_module("table")
tracks: Any = importlib.import_module("tracks")

MS = 1_000_000
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb, which makes packages")


@pytest.fixture
def few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Make a video of 3 frames that is accepted as the demo clip. No clip is installed."""
    for module in (clip, demo):
        monkeypatch.setattr(module, "FRAME_COUNT", 3)
        monkeypatch.setattr(module, "INSTALLED", tmp_path / "installed")
    path = tmp_path / "tiny.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return path.read_bytes()


def make_package(content: bytes, name: str, folder: Path) -> Path:
    """Make a Debian package with one example file, followed by a page."""
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
def test_clip_is_extracted_from_the_package_once(
    name: str, few_frames: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = make_package(gzip.compress(few_frames) if name.endswith(".gz") else few_frames, name, tmp_path)
    downloads, messages = [], []
    monkeypatch.setattr(clip, "download", lambda _, folder: downloads.append(folder) or deb)
    for _ in range(2):
        found = clip.find_clip(tmp_path / "cache", messages.append)
        assert found.read_bytes() == few_frames
    assert len(downloads) == len(messages) == 1
    assert list((tmp_path / "cache").iterdir()) == [found]  # no temporary files are left


@needs_dpkg
def test_package_without_the_clip(few_frames: bytes, tmp_path: Path) -> None:
    with pytest.raises(clip.ClipError, match=r"expected a package that contains vtest\.avi"):
        clip.unpack(make_package(few_frames, "other.avi", tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF and nothing more"], ids=["empty", "cut off"])
def test_damaged_clip_in_the_cache_is_replaced(content: bytes, few_frames: bytes, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/vtest.avi").write_bytes(content)
    clip.INSTALLED.mkdir()
    (clip.INSTALLED / "vtest.avi.gz").write_bytes(gzip.compress(few_frames))
    assert clip.find_clip(tmp_path / "cache").read_bytes() == few_frames


def test_installed_clip_is_used_in_place(few_frames: bytes, tmp_path: Path) -> None:
    clip.INSTALLED.mkdir()
    (clip.INSTALLED / "vtest.avi").write_bytes(few_frames)
    assert clip.find_clip(tmp_path / "cache") == clip.INSTALLED / "vtest.avi"


def test_missing_clip_gives_a_one_line_error_with_a_solution(
    few_frames: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(clip.ClipError, match=r"^[^\n]*apt-get is missing[^\n]*make demo VIDEO=my.mp4$"):
        clip.find_clip(tmp_path / "cache")


def make_frame(time_s: float, grey: int = 0) -> Any:
    _, jpeg = cv2.imencode(".jpg", np.full((48, 65, 3), grey, np.uint8))
    return overlays.OverlayFrame(round(time_s * 1e9), time_s, jpeg, 2)


@pytest.mark.parametrize(
    ("times_s", "shown"),
    [
        pytest.param([0, 0.1, 0.2], [0, 1, 2], id="even"),
        pytest.param([0, 0.09, 0.22, 0.3], [0, 1, 2, 3], id="jitter"),
        pytest.param([0, 0.1, 0.4, 0.5], [0, 1, 1, 1, 2, 3], id="two dropped"),
        pytest.param([0, 0.01, 0.02], [0, 1, 2], id="faster than the rate"),
        pytest.param([0, 1000], [0] * 51 + [1], id="a long pause is shortened"),
        pytest.param([], [], id="no frames"),
    ],
)
def test_frames_are_repeated_until_the_next_one(times_s: list[float], shown: list[int]) -> None:
    frames = [make_frame(time_s) for time_s in times_s]
    assert [frames.index(entry) for entry in overlays.hold_frames(frames, 10.0)] == shown


def test_video_contains_every_frame(tmp_path: Path) -> None:
    overlays.write_video([make_frame(index / 10) for index in range(7)], tmp_path / "odd.mp4", 10.0)
    capture = cv2.VideoCapture(str(tmp_path / "odd.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 7


def test_animation_has_the_frames_of_three_seconds_and_the_colours_of_the_skeletons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow")
    blue, green, red = SIDE_COLOURS["left"]
    frames = []
    for index in range(50):
        image = np.tile(np.roll(np.arange(112, dtype=np.uint8), index)[None, :, None], (84, 1, 3))
        image[40:44] = blue, green, red
        frames.append(overlays.OverlayFrame(round(index * 1e8), index / 10, cv2.imencode(".png", image)[1], 1))
    monkeypatch.setattr(overlays, "read_frames", lambda bag: iter(frames))
    overlays.write_animation(Path("bag"), tmp_path / "demo.gif", 1.0)
    animation = image_module.open(tmp_path / "demo.gif")
    assert (animation.n_frames, animation.size, animation.info["loop"]) == (30, (560, 420), 0)
    assert animation.info["duration"] == 100
    assert animation.convert("RGB").getpixel((280, 210)) == (red, green, blue)
    with pytest.raises(ValueError, match=r"bag: expected overlays from 60.0 s on, got 0 in bag; run make demo first"):
        overlays.write_animation(Path("bag"), tmp_path / "none.gif", 60.0)


def test_contact_sheet_has_every_tile_in_the_right_place() -> None:
    tiles = [(np.full((40, 100, 3), 40 * index, np.uint8), f"{index} s") for index in range(5)]
    sheet = overlays.make_contact_sheet(tiles, columns=2, width=200)
    assert sheet.shape == (3 * 80 + 2 * 4, 2 * 200 + 4, 3)
    for index in range(5):
        row, column = divmod(index, 2)
        tile = sheet[row * 84 :, column * 204 :][:80, :200]
        assert (tile[:40] == 40 * index).all()
        assert tile[-15:, :60].max() > 200  # the caption
    assert (sheet[168:, 204:] == 255).all()  # no sixth tile


def make_message(stamp_ms: int, people: int = 0, dropped: int = 0, times_ms: tuple[float, ...] = (1, 10, 2, 20)) -> Any:
    sec, rest_ms = divmod(stamp_ms, 1000)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=rest_ms * MS)),
        people=[SimpleNamespace(id=-1)] * people,
        dropped=dropped,
        **dict(zip(("preprocess_ms", "network_ms", "decode_ms", "latency_ms"), times_ms, strict=True)),
    )


def test_images_before_the_first_one_of_the_node_are_not_counted() -> None:
    assert len(make_run([make_message(2), make_message(3)], [0, 1, 2, 3, 4]).images_in_ns) == 3


def make_run(messages: list[Any], stamps_ms: list[int]) -> Any:
    entries = [figures.Figures.from_message(entry) for entry in messages]
    return figures.Run(entries, [stamp * MS for stamp in stamps_ms], len(entries), 123.4)


def render(renderable: Any) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def row(rendered: str, name: str) -> list[str]:
    line = next(line for line in rendered.splitlines() if f" {name} " in line)
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[2:-1]]


def test_table_contains_the_counts_of_the_messages() -> None:
    messages = [make_message(0, people=3), make_message(200, people=0, dropped=1), make_message(300, people=8)]
    messages[0].people, messages[2].people = (
        [SimpleNamespace(id=each) for each in ids] for ids in ((-1, 4, 5), (4, -1, -1, -1, 8, 9, -1, -1))
    )
    run = make_run(messages, [0, 100, 200, 300])
    counts = render(table.run_table(run))
    assert row(counts, "ids of people") == ["4"]
    assert row(render(table.run_table(run, 20)), "ids of people") == ["4 for about 20 passages of people"]
    assert row(counts, "images in") == ["4"]
    assert row(counts, "processed") == ["3"]
    assert row(counts, "dropped") == ["1"]
    assert row(counts, "people per image (min / median / max)") == ["0 / 3 / 8"]
    assert row(counts, "resident memory of the node") == ["123 MB"]


def test_table_contains_the_percentiles() -> None:
    run = make_run([make_message(i, times_ms=(1, i, 2, math.nan)) for i in range(101)], list(range(101)))
    times = render(table.time_table(run.figures))
    assert row(times, "preprocess") == ["1.0", "1.0", "1.0"]
    assert row(times, "network") == ["50.0", "95.0", "99.0"]
    assert row(times, "total") == ["53.0", "98.0", "102.0"]
    assert row(times, "latency") == ["nan", "nan", "nan"]


def test_tables_of_an_empty_run() -> None:
    run = make_run([], [])
    assert row(render(table.run_table(run)), "people per image (min / median / max)") == ["-"]
    assert row(render(table.time_table(run.figures)), "network") == ["nan", "nan", "nan"]


@pytest.mark.parametrize(
    ("stamps_ms", "recorded_ms", "problem"),
    [
        pytest.param([0, 1, 2], [0, 2], None, id="consistent"),
        pytest.param([0, 1, 2, 3], [0, 2], "expected processed + dropped = 4", id="an image is lost"),
        pytest.param(
            [0, 1, 2], [0], "expected 2 messages, one per processed image, got 1", id="a message is not in the bag"
        ),
        pytest.param([0, 1, 2], [0, 2, 2], "each image once", id="a message is in the bag twice"),
        pytest.param([0, 1, 3], [0, 2], "unknown stamps", id="a message has an unknown stamp"),
        pytest.param([1, 2], [0, 2], None, id="the recorder missed the first image"),
    ],
)
def test_inconsistencies_are_reported(stamps_ms: list[int], recorded_ms: list[int], problem: str | None) -> None:
    run = make_run([make_message(0), make_message(2, dropped=1)], stamps_ms)
    found = " ".join(figures.find_problems(run, [stamp * MS for stamp in recorded_ms]))
    assert problem in found if problem else not found


def test_missing_video_gives_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = importlib.import_module("run")
    assert run.main(["--video", str(tmp_path / "none.mp4"), "--output", str(tmp_path / "out")]) == 1
    output = capsys.readouterr().out.strip()
    assert output.endswith("which does not exist")
    assert "\n" not in output
    assert not (tmp_path / "out").exists()


def test_node_without_results_is_a_problem() -> None:
    assert "expected results for 2 images, got none" in " ".join(figures.find_problems(make_run([], [0, 1]), []))
    assert figures.find_problems(make_run([], []), []) == []


def test_result_before_the_first_image_of_the_recorder_is_no_problem() -> None:
    assert figures.find_problems(make_run([make_message(5)], []), [5 * MS]) == []


def test_last_images_of_an_interrupted_run_are_not_counted() -> None:
    run = make_run([make_message(0), make_message(2, dropped=1)], [0, 1, 2, 3])
    assert len(figures.find_problems(run, [0, 2 * MS])) == 1
    assert figures.find_problems(replace(run, is_cut_short=True), [0, 2 * MS]) == []
    lost = make_run([make_message(0), make_message(2)], [0, 1, 2, 3])
    assert "got 2 + 0" in figures.find_problems(replace(lost, is_cut_short=True), [0, 2 * MS])[0]


def test_images_dropped_before_the_first_image_of_the_recorder_are_not_counted() -> None:
    messages = [make_message(2, dropped=1), make_message(5, dropped=2), make_message(8, dropped=1)]
    run = make_run(messages, [5, 7, 8])  # the recorder missed the images 0 to 4
    assert len(run.images_in_ns) == 4 and run.dropped == 1
    assert figures.find_problems(run, [2 * MS, 5 * MS, 8 * MS]) == []
    assert make_run([make_message(1, dropped=1)], [1]).dropped == 0


def make_messages(*boxes_of_frames: list[tuple[float, ...]]) -> list[SimpleNamespace]:
    """Make messages of people with these boxes. The first person has the highest score."""
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
    ids=["one person", "two in changing order", "two overlapping", "a gap", "too long a gap", "no area"],
)
def test_people_are_tracked_by_their_boxes(boxes: list[list[tuple[float, ...]]], numbers: list[list[int]]) -> None:
    assert [track.numbers for track in tracks.make_tracks(make_messages(*boxes))] == numbers


def test_middle_frame_of_a_track_is_cropped_from_its_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[100:300, 150:250] = 255
    overlay = SimpleNamespace(stamp_ns=7, decode=lambda: image)
    monkeypatch.setattr(tracks, "read_frames", lambda bag: [overlay])
    with_overlay = tracks.make_tracks(make_messages([(150, 100, 250, 300)]))
    without_overlay = tracks.make_tracks(make_messages([], [(0, 0, 9, 9)]))
    ((tile, caption),) = tracks.make_tiles(Path("bag"), [*without_overlay, *with_overlay], [7, 8])
    assert caption == "1f 0.90" and tile.shape == (160, 120, 3)
    white = np.argwhere(tile[..., 0] > 127)
    np.testing.assert_allclose([white.min(axis=0), white.max(axis=0) + 1], [(27, 33), (133, 87)], atol=1)
