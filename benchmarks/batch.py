"""Measure a batch: two workers against one, the cost of manifest and files, of cutting and joining, and the memory.

python benchmarks/batch.py [VIDEO]           default: the demo clip, or moving noise if it is missing
python benchmarks/batch.py --frames 60       longer videos: closer to the limit, slower
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measure import print_table

from pose_ros.batch.inputs import find_inputs
from pose_ros.batch.manifest import Manifest, Row, now
from pose_ros.batch.pieces import END_NS
from pose_ros.batch.recipe import Recipe
from pose_ros.batch.shards import Shard
from pose_ros.batch.tasks import Finished, JoinTask, PieceTask, Stored, WholeTask
from pose_ros.batch.work import BatchWorker
from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.files import user_cache
from pose_ros.media.results import JsonLines
from pose_ros.media.sources import open_source

VIDEOS = 20
SIZE_WH = (640, 480)


def read_frames(video: Path | None, count: int) -> list[np.ndarray]:
    """Return frames of a clip, again and again until there are enough."""
    clip = video or user_cache() / "vtest.avi"
    if not clip.is_file():
        noise = np.random.default_rng(0).integers(0, 255, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
        return [np.roll(noise, 3 * index, axis=1) for index in range(count)]
    capture, frames = cv2.VideoCapture(str(clip)), []
    while len(frames) < count:
        ok, frame = capture.read()
        if not ok:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            continue
        frames.append(cv2.resize(frame, SIZE_WH))
    return frames


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, SIZE_WH)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def run_batch(data: Path, out: Path, *options: str) -> tuple[float, int]:
    """Run the program. Return its wall time, s, and the largest memory of a worker, MB."""
    command = [sys.executable, "-m", "pose_ros", "batch", str(data), "--out", str(out), "--runtime", "onnx", *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=watch_memory, args=(process, peak))
    watcher.start()
    assert process.wait() == 0
    seconds = time.perf_counter() - start
    watcher.join()
    return seconds, peak[0]


def watch_memory(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Find the largest memory that a worker process had at once."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        with suppress(OSError):  # a process has ended
            for child in children.read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                peak[0] = max([peak[0], *(int(kb) // 1024 for kb in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.2)


def measure_workers(data: Path, folder: Path, repeats: int) -> tuple[list[float], int]:
    """Return the ratios of one worker to two, each with one thread, in turns, and the largest memory, MB."""
    run_batch(data / "0.mp4", folder / "warm")  # compiles
    ratios, most_mb = [], 0
    for number in range(repeats):
        one_s, one_mb = run_batch(data, folder / f"one{number}", "--jobs", "1", "--threads", "1")
        two_s, two_mb = run_batch(data, folder / f"two{number}", "--jobs", "2", "--threads", "1")
        print(f"one worker {one_s:.1f} s, two workers {two_s:.1f} s, {two_mb} MB", file=sys.stderr)
        ratios.append(one_s / two_s)
        most_mb = max(most_mb, one_mb, two_mb)
    return ratios, most_mb


def make_worker(out: Path) -> BatchWorker:
    config = EstimatorConfig(runtime=RuntimeConfig(threads=1))
    return BatchWorker(Recipe(out, runtime="onnx", config=config))


def ignore(progress: object) -> None:
    pass


def measure_writing(data: Path, folder: Path) -> float:
    """Return the share of the manifest and the JSON Lines files in the time of the inputs."""
    worker, seconds = make_worker(folder / "writing"), [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                seconds[0] += time.perf_counter() - start

        return call

    for name in ("__init__", "write", "close"):
        setattr(JsonLines, name, timed(getattr(JsonLines, name)))
    inputs = find_inputs([str(data)], out=folder / "writing", root=None)
    with Manifest(folder / "writing", Shard()) as manifest:
        append = timed(manifest.append)
        start = time.perf_counter()
        for entry in inputs:
            report = worker.run(WholeTask(entry, False), ignore)
            append(Row(entry.name, "done", 0, 0, 0.0, "", report.model, "", "", (), str(entry.path), 0, 0, now()))
        total_s = time.perf_counter() - start
    return seconds[0] / total_s


def measure_cut(video: Path, folder: Path, pieces: int, repeats: int) -> tuple[list[float], float]:
    """Return the CPU time of pieces and join relative to one pass, in turns, and that of the join alone."""
    (entry,) = find_inputs([str(video)], out=folder / "cut", root=None)
    seconds = video_seconds(video)
    inner = [round(1e9 * seconds * n / pieces) for n in range(1, pieces)]
    bounds = list(zip([0, *inner], [*inner, END_NS], strict=True))
    worker, ratios, joins = make_worker(folder / "cut"), [], []
    for _ in range(repeats):
        one_s = cpu_seconds(worker, [WholeTask(entry, False)])
        expected = (folder / "cut" / f"{video.name}.people.jsonl").read_bytes()
        pieces_s = cpu_seconds(worker, [PieceTask(entry, each) for each in bounds])
        join_s = cpu_seconds(worker, [JoinTask(entry, tuple(bounds))])
        assert (folder / "cut" / f"{video.name}.people.jsonl").read_bytes() == expected
        ratios.append((pieces_s + join_s) / one_s)
        joins.append(join_s / one_s)
    return ratios, statistics.median(joins)


def cpu_seconds(worker: BatchWorker, tasks: list[Any]) -> float:
    start = time.process_time()
    for task in tasks:
        result = worker.run(task, ignore).result
        assert isinstance(result, (Finished, Stored)), result
    return time.process_time() - start


def video_seconds(video: Path) -> float:
    source = open_source(video)
    return (source.count or 0) / source.rate_hz


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=60, help="frames of each of the 20 videos")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1, help="length of the long video, cut into pieces of 30 s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "data"
        data.mkdir()
        frames = read_frames(options.video, VIDEOS * options.frames)
        for index in range(VIDEOS):
            write_video(data / f"{index}.mp4", frames[index * options.frames : (index + 1) * options.frames])
        long = write_video(folder / "long.mp4", read_frames(options.video, round(600 * options.minutes)))
        ratios, most_mb = measure_workers(data, folder, options.repeats)
        writing = measure_writing(data, folder)
        cuts, join = measure_cut(long, folder, max(2, round(2 * options.minutes)), options.repeats)
    rows = [
        ("two workers, relative to one of one thread", "at least 1.80", spread(ratios)),
        ("manifest and JSON Lines, share of the time", "at most 1 %", f"{100 * writing:.2f} %"),
        ("pieces of 30 s and join, CPU time relative to one pass", "at most 1.02", spread(cuts)),
        ("the join alone", "", f"{join:.4f}"),
        ("largest memory of a worker", "at most 350 MB", f"{most_mb} MB"),
    ]
    print_table(f"{VIDEOS} videos of {options.frames} frames, 640 x 480", ("", "limit", "measured"), rows)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
