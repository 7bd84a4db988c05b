"""Record one run of the demo: start node and replay as processes, and record their messages in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import rclpy
from bag import BagWriter, open_bag
from figures import Run
from processes import Child, private_graph
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from record import CAMERA, Recorder

# By default, the node subscribes to images with best effort. The demo counts every image, so it uses reliable.
QOS = {
    f"qos_overrides.{CAMERA}.subscription.reliability": "reliable",
    f"qos_overrides.{CAMERA}.subscription.depth": "100",
    "qos_overrides./pose_estimator/overlay.publisher.depth": "10",
}
DECODER = {"decoder.min_person_score": "0.15"}  # the clip shows cones, posts and a tripod, which look like people
TRACKING = {"tracking.hits": "5", "tracking.lost_s": "5.0"}  # 10 images per second, and people hide each other
OVERLAY = {"overlay.ids": "true", "overlay.trails_s": "3.0"}
RUNTIME = {"runtime.backend": "onnx"}  # the same on every machine, whichever runtimes are installed
SETTINGS = QOS | DECODER | TRACKING | OVERLAY | RUNTIME
PARAMETERS = [word for name, value in SETTINGS.items() for word in ("-p", f"{name}:={value}")]
NODE_ARGUMENTS = ("--ros-args", "-r", f"image:={CAMERA}", *PARAMETERS)
START_TIMEOUT_S = 120.0  # the first start on a machine compiles the decoder
RESULT_TIMEOUT_S = 5.0
Watch = Callable[[Recorder], bool]
"""Called with the recorder several times a second. Returns whether to continue."""


def record(replay_arguments: Sequence[str], folder: Path, watch: Watch, page_port: int | None = None) -> Run:
    """Replay a source into the node and record the results.

    Args:
        replay_arguments: Source and options for ``pose_ros replay``.
        folder: Folder for the bag and the logs.
        watch: Called with the recorder several times a second. False ends the run early.
        page_port: Port of the live page. None = no live page.

    Raises:
        ChildError: One of the programs failed.
    """
    with (
        private_graph(),
        open_bag(folder / "bag") as bag,
        _open_recorder(bag) as (recorder, receive),
        Child("the node", "pose_node", *NODE_ARGUMENTS, log=folder / "node.log") as node,
        nullcontext() if page_port is None else _start_page(page_port, folder) as page,
    ):
        programs = [node, page] if page else [node]
        is_cut_short = True
        if _wait_for_node(programs, recorder, receive, watch):
            arguments = ("replay", *replay_arguments, "--topic", CAMERA)
            with Child("the replay", "pose_ros", *arguments, log=folder / "replay.log") as replay:
                while (is_cut_short := replay.is_running) and _check_running(programs) and watch(recorder):
                    receive()
            _wait_for_results(recorder, receive)
        overlays = len(recorder.overlay_stamps_ns)
        return Run(recorder.figures, recorder.image_stamps_ns, overlays, node.memory_mb(), is_cut_short)


def _start_page(port: int, folder: Path) -> Child:
    return Child("the page", "pose_ros", "view", "--port", str(port), log=folder / "view.log")


def _wait_for_node(programs: Sequence[Child], recorder: Recorder, receive: Callable[[], None], watch: Watch) -> bool:
    """Wait until the node subscribes to the camera. Returns False if the run ends before."""
    end_s = time.monotonic() + START_TIMEOUT_S
    before = recorder.count_subscribers(CAMERA)
    while _check_running(programs) and watch(recorder):
        if recorder.count_subscribers(CAMERA) > before:
            return True
        if time.monotonic() > end_s:
            raise programs[0].make_error(f"was not ready within {START_TIMEOUT_S:.0f} s")
        receive()
    return False


def _wait_for_results(recorder: Recorder, receive: Callable[[], None]) -> None:
    """Wait until the results of the newest image have arrived, at most RESULT_TIMEOUT_S."""
    end_s = time.monotonic() + RESULT_TIMEOUT_S
    while not recorder.is_complete and time.monotonic() < end_s:
        receive()


def _check_running(programs: Sequence[Child]) -> bool:
    """Return True. Raise ChildError if a program has exited."""
    for child in programs:
        if not child.is_running:
            raise child.make_error("exited unexpectedly")
    return True


@contextmanager
def _open_recorder(bag: BagWriter) -> Iterator[tuple[Recorder, Callable[[], None]]]:
    """Start a recorder. Yields it and a function that receives messages for a moment."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor, recorder = SingleThreadedExecutor(), Recorder(bag)
    executor.add_node(recorder)
    try:
        yield recorder, lambda: executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        recorder.destroy_node()
        rclpy.shutdown()
