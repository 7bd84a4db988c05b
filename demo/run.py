"""The demo: a video becomes a camera, the node finds its people, and everything is recorded.

    python demo/run.py                    # the clip of pedestrians out of Debian's package opencv-doc
    python demo/run.py --video my.mp4     # a video, or a folder of images, of yours
    python demo/run.py --view             # with the live page

Three real processes on a ROS domain of their own: the node, the replay, and this one, which records; a fourth serves
the page. Ctrl-C ends it.
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

from bag import POSES, messages
from clip import ClipError, find_clip
from figures import Run, problems
from overlays import Frame, frames, sheet_of_run, write_video
from processes import ChildError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from table import file_table, run_table, time_table

from pose_ros.media.bag import stamp_ns
from pose_ros.media.results import write_image
from pose_ros.media.sources import BagImages, Source, open_source

if TYPE_CHECKING:
    from record import Recorder

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS = {
    "annotated.mp4": "the video with skeletons",
    "contact_sheet.png": "twelve moments of it",
    "bag": "people and overlay, as MCAP",
    "node.log": "what the node has said",
    "replay.log": "what the replay has said",
    "view.log": "what the live page has said",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when the demo could not run, or its figures do not add up."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a video that cannot be read is reported by us
    console = Console()
    try:
        source = _open(options.video or _clip(console))
        return demonstrate(source, options.output, options.rate, console, options.view)
    except (ChildError, ClipError, OSError, ValueError) as error:
        console.print(f"demo stopped: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def demonstrate(
    source: Source, folder: Path, rate_hz: float | None, console: Console, page_port: int | None = None
) -> int:
    """Records the run, makes its pictures, prints its tables. Returns the exit status."""
    _clear(folder)
    with _until_interrupted() as stop, _progress(console) as progress:
        if page_port is not None:
            console.print(f"the live page: http://127.0.0.1:{page_port}", soft_wrap=True)
        run = _record(source, folder, rate_hz, stop, progress, page_port)
        stop.clear()  # from now on, an interrupt cuts the video short
        _make_pictures(folder, rate_hz or source.rate_hz, run.overlays, stop, progress)
    files = {_short(folder / name): meaning for name, meaning in PRODUCTS.items() if (folder / name).exists()}
    for table in (run_table(run), time_table(run.figures), file_table(files)):
        console.print(table)
    found = problems(run, [stamp_ns(message.header) for message in messages(folder / "bag", POSES)])
    for problem in found:
        console.print(f"does not add up: {problem}", style="red", highlight=False, soft_wrap=True)
    return 1 if found else 0


def _record(
    source: Source,
    folder: Path,
    rate_hz: float | None,
    stop: threading.Event,
    progress: Progress,
    page_port: int | None,
) -> Run:
    record = _session()
    task = progress.add_task("starting the node", total=None)

    def watch(recorder: Recorder) -> bool:
        if recorder.figures:
            if not progress.tasks[task].completed:
                progress.console.print("recording; Ctrl-C ends it")
            last = recorder.figures[-1]
            what = f"{last.people} people, network {last.network_ms:.0f} ms"
            seen = max(len(recorder.image_stamps_ns), len(recorder.figures))
            progress.update(task, description=what, total=source.count, completed=seen)
        return not stop.is_set()

    rate = (f"--rate={rate_hz}", "--stamps=now") if rate_hz else ()
    try:
        return record((str(source.path), *rate), folder, watch, page_port)
    finally:
        progress.remove_task(task)


def _make_pictures(folder: Path, rate_hz: float, count: int, stop: threading.Event, progress: Progress) -> None:
    def until_stopped() -> Iterator[Frame]:
        for frame in progress.track(frames(folder / "bag"), total=count, description="writing the video"):
            if stop.is_set():
                return
            yield frame

    if count:
        write_video(until_stopped(), folder / "annotated.mp4", rate_hz)
        write_image(folder / "contact_sheet.png", sheet_of_run(folder / "bag", count))


def _clip(console: Console) -> Path:
    _session()  # without a ROS 2 there is no need to fetch it
    return find_clip(say=lambda text: console.print(text, soft_wrap=True))


def _session() -> Callable[[Sequence[str], Path, Callable[[Recorder], bool], int | None], Run]:
    try:
        from session import record
    except ModuleNotFoundError as error:
        advice = "run it as make demo, on a Python that has it (3.10 to 3.14) or with a ROS 2 sourced"
        raise OSError(f"ROS 2: expected rclpy and the messages of pose_ros, got no {error.name}: {advice}") from error
    return record


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C and its like set, instead of breaking off whatever is being written."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open(path: Path) -> Source:
    source = open_source(path)
    if isinstance(source, BagImages):
        raise ValueError(f"video: expected a video or a folder of images, got the bag {path}")
    return source


def _short(path: Path) -> Path:
    """The path as seen from here, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _clear(folder: Path) -> None:
    """Removes what an earlier run has left, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PRODUCTS:
        if (folder / name / "metadata.yaml").exists():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--video", type=Path, help="a video or a folder of images (default: the demo clip)")
    parser.add_argument("--rate", type=float, help="images per second (default: as recorded)")
    parser.add_argument(
        "--view", type=int, nargs="?", const=8080, metavar="PORT", help="serve the live page meanwhile (port: 8080)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "output", help="folder to write to (default: output)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
