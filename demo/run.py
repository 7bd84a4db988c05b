"""Run the demo: replay a video as a camera, find the people with the node, and record the results.

    python demo/run.py                    # the pedestrian clip of the Debian package opencv-doc
    python demo/run.py --video my.mp4     # your own video or folder of images
    python demo/run.py --view             # with the live page

The demo runs three processes on a private ROS domain: the node, the replay, and this process, which records. A fourth
process serves the live page. Ctrl-C ends the run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bag import POSES_TOPIC, read_messages
from clip import PASSAGES, ClipError, find_clip
from figures import Run, find_problems
from overlays import OverlayFrame, make_run_sheet, read_frames, write_video
from processes import ChildError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from table import file_table, run_table, time_table

from pose_ros.media.image_messages import stamp_ns
from pose_ros.media.results import write_image
from pose_ros.media.sources import BagImages, Source, open_source

if TYPE_CHECKING:
    from record import Recorder

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS = {
    "annotated.mp4": "video with skeletons",
    "contact_sheet.png": "twelve frames of the video",
    "bag": "people and overlays (MCAP)",
    "node.log": "log of the node",
    "replay.log": "log of the replay",
    "view.log": "log of the live page",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns the exit status: 1 = the demo failed or its results are inconsistent."""
    options = _make_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # this program reports unreadable videos itself
    console = Console()
    try:
        source = _open_video(options.video or _find_demo_clip(console))
        passages = None if options.video else PASSAGES
        return run_demo(source, options.output, options.rate, console, options.view, passages)
    except (ChildError, ClipError, OSError, ValueError) as error:
        console.print(f"demo stopped: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def run_demo(
    source: Source,
    folder: Path,
    rate_hz: float | None,
    console: Console,
    page_port: int | None = None,
    passages: int | None = None,
) -> int:
    """Record a run, write its images and print its tables. Returns the exit status."""
    _remove_products(folder)
    with _catch_signals() as stop, _make_progress(console) as progress:
        if page_port is not None:
            console.print(f"live page: http://127.0.0.1:{page_port}", soft_wrap=True)
        run = _record_run(source, folder, rate_hz, stop, progress, page_port)
        stop.clear()  # from now on, an interrupt ends the writing of the video
        _write_images(folder, rate_hz or source.rate_hz, run.overlays, stop, progress)
    files = {_shorten(folder / name): description for name, description in PRODUCTS.items() if (folder / name).exists()}
    passages = None if run.is_cut_short else passages
    for table in (run_table(run, passages), time_table(run.figures), file_table(files)):
        console.print(table)
    found = find_problems(run, [stamp_ns(message.header) for message in read_messages(folder / "bag", POSES_TOPIC)])
    for problem in found:
        console.print(f"inconsistent results: {problem}", style="red", highlight=False, soft_wrap=True)
    return 1 if found else 0


def _record_run(
    source: Source,
    folder: Path,
    rate_hz: float | None,
    stop: threading.Event,
    progress: Progress,
    page_port: int | None,
) -> Run:
    record = _import_record()
    task = progress.add_task("starting the node", total=None)

    def watch(recorder: Recorder) -> bool:
        if recorder.figures:
            if not progress.tasks[task].completed:
                progress.console.print("recording; press Ctrl-C to stop")
            last = recorder.figures[-1]
            status = f"{last.people} people, network {last.network_ms:.0f} ms"
            received = max(len(recorder.image_stamps_ns), len(recorder.figures))
            progress.update(task, description=status, total=source.count, completed=received)
        return not stop.is_set()

    rate = (f"--rate={rate_hz}", "--stamps=now") if rate_hz else ()
    try:
        return record((str(source.path), *rate), folder, watch, page_port)
    finally:
        progress.remove_task(task)


def _write_images(folder: Path, rate_hz: float, count: int, stop: threading.Event, progress: Progress) -> None:
    def until_stopped() -> Iterator[OverlayFrame]:
        for frame in progress.track(read_frames(folder / "bag"), total=count, description="writing the video"):
            if stop.is_set():
                return
            yield frame

    if count:
        write_video(until_stopped(), folder / "annotated.mp4", rate_hz)
        write_image(folder / "contact_sheet.png", make_run_sheet(folder / "bag", count))


def _find_demo_clip(console: Console) -> Path:
    _import_record()  # checks for ROS 2 first: without it, the clip is not needed
    return find_clip(notify=lambda text: console.print(text, soft_wrap=True))


def _import_record() -> Callable[[Sequence[str], Path, Callable[[Recorder], bool], int | None], Run]:
    try:
        from session import record
    except ModuleNotFoundError as error:
        advice = "source a ROS 2 or use Python 3.10 to 3.14, then run make demo"
        raise OSError(f"ROS 2: expected rclpy and the messages of pose_ros, got no {error.name}; {advice}") from error
    return record


@contextmanager
def _catch_signals() -> Iterator[threading.Event]:
    """Set an event on Ctrl-C and similar signals, so that no file is left half-written."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _open_video(path: Path) -> Source:
    source = open_source(path)
    if isinstance(source, BagImages):
        raise ValueError(f"video: expected a video or a folder of images, got the bag {path}")
    return source


def _shorten(path: Path) -> Path:
    """Make a path inside the current folder relative to it. Other paths stay unchanged."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _remove_products(folder: Path) -> None:
    """Create the folder and remove the files of an earlier run. Other files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PRODUCTS:
        if (folder / name / "metadata.yaml").exists():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _make_progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--video", type=Path, help="video or folder of images (default: the demo clip)")
    parser.add_argument("--rate", type=float, help="images per second (default: as recorded)")
    parser.add_argument(
        "--view", type=int, nargs="?", const=8080, metavar="PORT", help="also serve the live page (default port: 8080)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "output", help="folder to write to (default: output)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
