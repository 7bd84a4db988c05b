"""Test that long inputs are cut by time, and that their pieces join into the same bytes as one pass."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import depth_bag
import numpy as np
import pytest
import recordings
from batch_pool import process_input

from pose_ros.batch.pieces import END_NS, find_bounds
from pose_ros.batch.tasks import JoinTask, PieceTask
from pose_ros.config import EstimatorConfig, PreprocessConfig, RefinementConfig, SmoothingConfig, TrackingConfig
from pose_ros.media.sources import Frame, Video, open_source
from pose_ros.media.video_file import VideoFile

pytestmark = pytest.mark.usefixtures("people_by_brightness")
CONFIG = EstimatorConfig(smoothing=SmoothingConfig(enabled=True), tracking=TrackingConfig(hits=2, bridge_s=0.3))


def write_moving_video(path: Path, count: int = 40, code: str = "mp4v") -> Path:
    """Write a video whose frames differ, also within a group of pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (64, 48))
    noise = np.random.default_rng(0).integers(0, 40, (48, 64, 3), np.uint8)
    for index in range(count):
        frame = recordings.frame_image(index) // 2 + np.roll(noise, index, axis=1)
        cv2.circle(frame, (index % 64, 24), 10, (255, 200, 100), -1)
        writer.write(frame)
    writer.release()
    return path


def compare(path: Path, tmp_path: Path, **settings: Any) -> list[Any]:
    """Check that pieces of 1 s give the same bytes as one pass. Return the tasks."""
    whole, tasks, expected, _ = process_input(path, tmp_path / "whole", 0, **{"config": CONFIG, **settings})
    assert len(tasks) == 1 and expected.frames > 20 and whole
    joined, tasks, row, notes = process_input(path, tmp_path / "joined", 1, **{"config": CONFIG, **settings})
    assert joined.keys() == whole.keys()
    assert all(joined[name] == whole[name] for name in whole if not name.endswith(".mp4"))
    assert (row.frames, row.people, row.error) == (expected.frames, expected.people, expected.error)
    assert not any("differ" in note for note in notes) and not (tmp_path / "joined/.batch/pieces" / path.name).exists()
    return tasks


@pytest.mark.parametrize(("suffix", "code"), [(".avi", "MJPG"), (".mp4", "mp4v"), (".webm", "VP80")])
def test_pieces_of_a_video_are_one_pass(suffix: str, code: str, tmp_path: Path) -> None:
    tasks = compare(write_moving_video(tmp_path / f"walk{suffix}", code=code), tmp_path)
    assert [type(task) for task in tasks[1:]] == [PieceTask] * 4 + [JoinTask]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg, which writes H.264")
@pytest.mark.parametrize("options", [["-g", "12"], ["-g", "250"], ["-g", "12", "-x264-params", "open-gop=1"]])
@pytest.mark.parametrize("container", [".mp4", ".mkv", ".ts"])
def test_pieces_of_h264_are_one_pass(options: list[str], container: str, tmp_path: Path) -> None:
    video = write_moving_video(tmp_path / "plain.avi", code="MJPG")
    target = tmp_path / f"walk{container}"
    encode = ["-c:v", "libx264", "-bf", "3", *options, str(target)]
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", str(video), *encode], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this ffmpeg does not write H.264")
    whole, _, expected, _ = process_input(target, tmp_path / "whole", 0, config=CONFIG)
    joined, _, row, _ = process_input(target, tmp_path / "joined", 1, config=CONFIG)
    assert joined == whole and row.frames == expected.frames == 40


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_pieces_of_a_bag_are_one_pass(storage: str, tmp_path: Path) -> None:
    messages = [recordings.compressed_message(index) for index in range(40)]
    damage = {7: lambda data: data[:60], 22: lambda data: data[:60]}
    bag = recordings.write_bag(tmp_path / "bag", {"/image": messages}, storage, damage=damage)
    tasks = compare(bag, tmp_path)
    assert sum(isinstance(task, PieceTask) for task in tasks) >= 4


def test_drawn_videos_and_camera_motion_see_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images that are drawn are compared, because x264 may write other bytes for the same images."""
    drawn: dict[str, list[Any]] = {"whole": [], "joined": []}
    write = VideoFile.write

    def record(self: VideoFile, image_bgr: np.ndarray, stamp_ns: int | None = None) -> None:
        drawn[self.path.parent.name].append((stamp_ns, image_bgr.tobytes()))
        write(self, image_bgr, stamp_ns)

    monkeypatch.setattr(VideoFile, "write", record)
    video = write_moving_video(tmp_path / "walk.avi", code="MJPG")
    config = replace(CONFIG, tracking=TrackingConfig(camera_motion=True))
    compare(video, tmp_path, kinds=("json", "video"), config=config)
    assert len(drawn["whole"]) == 40 and drawn["joined"] == drawn["whole"]
    assert (tmp_path / "joined/walk.avi.drawn.mp4").stat().st_size > 0


def test_depth_of_a_bag_is_paired_as_in_one_pass(tmp_path: Path) -> None:
    bag = depth_bag.write_depth_bag(tmp_path / "bag", depth_bag.make_scenes(25), late_ns=150_000_000)
    compare(bag, tmp_path)
    assert b'"position_3d":[' in (tmp_path / "joined/bag.people.jsonl").read_bytes()


def test_messages_out_of_order_are_processed_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of a bag that overlap in time: the second starts before the first one ends."""
    messages = [recordings.image_message(index) for index in range(40)]
    for name, part in (("a", messages[:25]), ("b", messages[:20])):
        recordings.write_bag(tmp_path / name, {"/image": part})
    bag = tmp_path / "bag"
    bag.mkdir()
    for name in ("a", "b"):
        shutil.copy(tmp_path / name / f"{name}.db3", bag / f"{name}.db3")
    (bag / "metadata.yaml").write_text("damaged")
    whole, _, expected, _ = process_input(bag, tmp_path / "whole", 0, config=CONFIG)
    joined, _, row, notes = process_input(bag, tmp_path / "joined", 1, config=CONFIG)
    assert joined == whole and row.frames == expected.frames == 45
    assert notes == ["bag: its pieces differ from one pass, so it is processed in one pass"]


@pytest.mark.parametrize("fault", ["other pixels", "too late", "nothing"])
def test_a_decoder_that_starts_wrong_is_noticed(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_moving_video(tmp_path / "walk.avi", code="MJPG")
    whole, _, _, _ = process_input(video, tmp_path / "whole", 0, config=CONFIG)
    frames_from = Video.frames_from

    def start_wrong(self: Video, start_ns: int) -> Iterator[Frame]:
        late_ns = 200_000_000 if fault == "too late" else 0
        frames = frames_from(self, start_ns + late_ns if start_ns else 0)
        if start_ns == 0:
            yield from frames
        elif fault != "nothing":
            change = 1 if fault == "other pixels" else 0
            yield from (replace(frame, image_bgr=frame.image_bgr + np.uint8(change)) for frame in frames)

    monkeypatch.setattr(Video, "frames_from", start_wrong)
    joined, _, _, notes = process_input(video, tmp_path / "joined", 1, config=CONFIG)
    assert joined == whole and len(notes) == 1


def test_a_stored_piece_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_moving_video(tmp_path / "walk.avi", code="MJPG")
    monkeypatch.setattr("pose_ros.batch.work.fit_together", lambda *_: 1 / 0)
    _, tasks, row, _ = process_input(video, tmp_path / "out", 1, config=CONFIG)
    assert row.state == "failed" and row.error == "division by zero" and len(tasks) == 6
    monkeypatch.undo()
    read: list[int] = []
    frames_from = Video.frames_from
    monkeypatch.setattr(
        Video, "frames_from", lambda self, start_ns: read.append(start_ns) or frames_from(self, start_ns)
    )
    outputs, _, row, _ = process_input(video, tmp_path / "out", 1, config=CONFIG)
    assert row.state == "done" and row.frames == 40 and outputs and read == []


@pytest.mark.parametrize(
    ("piece_s", "config", "pieces"),
    [
        (1.0, EstimatorConfig(), 4),
        (3.0, EstimatorConfig(), 1),
        (0.0, EstimatorConfig(), 1),
        (1.0, EstimatorConfig(preprocess=PreprocessConfig(short_side=-1)), 1),
        (1.0, EstimatorConfig(preprocess=PreprocessConfig(scales=(64, 128), scale_order="alternate")), 1),
        (1.0, EstimatorConfig(preprocess=PreprocessConfig(scales=(64, 128))), 4),
        (1.0, EstimatorConfig(refinement=RefinementConfig(model="m.onnx")), 4),
        (1.0, EstimatorConfig(refinement=RefinementConfig(model="m.onnx", period=2)), 1),
        (1.0, EstimatorConfig(refinement=RefinementConfig(model="m.onnx", budget_ms=5)), 1),
    ],
)
def test_inputs_are_cut_if_the_network_needs_no_earlier_frames(
    piece_s: float, config: EstimatorConfig, pieces: int, tmp_path: Path
) -> None:
    video = recordings.write_video(tmp_path / "walk.avi", 40)
    bounds = find_bounds(open_source(video), piece_s, config)
    assert len(bounds) == pieces and bounds[0][0] == 0 and bounds[-1][1] == END_NS
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
