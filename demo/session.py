"""One run of the demo: node and replay as processes, the recorder here, on a ROS graph of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import rclpy
from bag import BagWriter, recording
from figures import Run
from processes import Child, private_graph
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from record import CAMERA, Recorder

# A camera's images are best left best effort, as the node does. Here every one is to be accounted for.
QOS = {
    f"qos_overrides.{CAMERA}.subscription.reliability": "reliable",
    f"qos_overrides.{CAMERA}.subscription.depth": "100",
    "qos_overrides./pose_estimator/overlay.publisher.depth": "10",
}
DECODER = {"decoder.min_person_score": "0.15"}  # the clip has cones, posts and a tripod that look a little like people
RUNTIME = {"runtime.backend": "onnx"}  # the same on every machine, whatever else is installed
PARAMETERS = [word for name, value in (QOS | DECODER | RUNTIME).items() for word in ("-p", f"{name}:={value}")]
NODE_ARGUMENTS = ("--ros-args", "-r", f"image:={CAMERA}", *PARAMETERS)
START_TIMEOUT_S = 120.0  # the first start on a machine compiles the decoder
ANSWER_TIMEOUT_S = 5.0
Watch = Callable[[Recorder], bool]
"""Shown the recorder several times a second; returns whether to go on."""


def record(replay_arguments: Sequence[str], folder: Path, watch: Watch, page_port: int | None = None) -> Run:
    """Replays a source into the node, and records what it says.

    Args:
        replay_arguments: Source and options for ``pose_ros replay``.
        folder: Where to write the bag and the logs.
        watch: May end the run early.
        page_port: Where to serve the live page, if it is wanted.

    Raises:
        ChildError: If one of the programs fails.
    """
    with (
        private_graph(),
        recording(folder / "bag") as bag,
        _listening(bag) as (recorder, listen),
        Child("the node", "pose_node", *NODE_ARGUMENTS, log=folder / "node.log") as node,
        nullcontext() if page_port is None else _page(page_port, folder) as page,
    ):
        servants = [node, page] if page else [node]
        is_cut_short = True
        if _await_node(servants, recorder, listen, watch):
            arguments = ("replay", *replay_arguments, "--topic", CAMERA)
            with Child("the replay", "pose_ros", *arguments, log=folder / "replay.log") as replay:
                while (is_cut_short := replay.is_running) and _are_alive(servants) and watch(recorder):
                    listen()
            _await_answer(recorder, listen)
        overlays = len(recorder.overlay_stamps_ns)
        return Run(recorder.figures, recorder.image_stamps_ns, overlays, node.memory_mb(), is_cut_short)


def _page(port: int, folder: Path) -> Child:
    return Child("the page", "pose_ros", "view", "--port", str(port), log=folder / "view.log")


def _await_node(servants: Sequence[Child], recorder: Recorder, listen: Callable[[], None], watch: Watch) -> bool:
    """Listens until the node is ready for images; False if the run ends before."""
    end_s = time.monotonic() + START_TIMEOUT_S
    own = recorder.count_subscribers(CAMERA)
    while _are_alive(servants) and watch(recorder):
        if recorder.count_subscribers(CAMERA) > own:
            return True
        if time.monotonic() > end_s:
            raise servants[0].failure(f"was not ready within {START_TIMEOUT_S:.0f} s")
        listen()
    return False


def _await_answer(recorder: Recorder, listen: Callable[[], None]) -> None:
    """Listens until everything that is under way has arrived."""
    end_s = time.monotonic() + ANSWER_TIMEOUT_S
    while not recorder.is_answered and time.monotonic() < end_s:
        listen()


def _are_alive(servants: Sequence[Child]) -> bool:
    for child in servants:
        if not child.is_running:
            raise child.failure("has ended")
    return True


@contextmanager
def _listening(bag: BagWriter) -> Iterator[tuple[Recorder, Callable[[], None]]]:
    """A recorder on the graph, and the function that lets it listen for a moment."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor, recorder = SingleThreadedExecutor(), Recorder(bag)
    executor.add_node(recorder)
    try:
        yield recorder, lambda: executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        recorder.destroy_node()
        rclpy.shutdown()
