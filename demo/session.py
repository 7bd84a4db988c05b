"""One run of the demo: node and replay as processes, the recorder here, on a ROS graph of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from bag import Bag, recording
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
PARAMETERS = [word for name, value in (QOS | DECODER).items() for word in ("-p", f"{name}:={value}")]
NODE_ARGUMENTS = ("--ros-args", "-r", f"image:={CAMERA}", *PARAMETERS)
START_TIMEOUT_S = 120.0  # the first start on a machine compiles the decoder
ANSWER_TIMEOUT_S = 5.0
Watch = Callable[[Recorder], bool]
"""Shown the recorder several times a second; returns whether to go on."""


def record(replay_arguments: Sequence[str], folder: Path, watch: Watch) -> Run:
    """Replays a source into the node, and records what it says.

    Args:
        replay_arguments: Source and options for ``pose_ros replay``.
        folder: Where to write the bag and the logs.
        watch: May end the run early.

    Raises:
        ChildError: If the node or the replay fails.
    """
    with (
        private_graph(),
        recording(folder / "bag") as bag,
        _listening(bag) as (recorder, listen),
        Child("the node", "pose_node", *NODE_ARGUMENTS, log=folder / "node.log") as node,
    ):
        if _await_node(node, recorder, listen, watch):
            arguments = ("replay", *replay_arguments, "--topic", CAMERA)
            with Child("the replay", "pose_ros", *arguments, log=folder / "replay.log") as replay:
                while replay.is_running and _is_alive(node) and watch(recorder):
                    listen()
            _await_answer(recorder, listen)
        return Run(recorder.figures, recorder.image_stamps_ns, len(recorder.overlay_stamps_ns), node.memory_mb())


def _await_node(node: Child, recorder: Recorder, listen: Callable[[], None], watch: Watch) -> bool:
    """Listens until the node is ready for images; False if the run ends before."""
    end_s = time.monotonic() + START_TIMEOUT_S
    own = recorder.count_subscribers(CAMERA)
    while _is_alive(node) and watch(recorder):
        if recorder.count_subscribers(CAMERA) > own:
            return True
        if time.monotonic() > end_s:
            raise node.failure(f"was not ready within {START_TIMEOUT_S:.0f} s")
        listen()
    return False


def _await_answer(recorder: Recorder, listen: Callable[[], None]) -> None:
    """Listens until everything that is under way has arrived."""
    end_s = time.monotonic() + ANSWER_TIMEOUT_S
    while not recorder.is_answered and time.monotonic() < end_s:
        listen()


def _is_alive(node: Child) -> bool:
    if not node.is_running:
        raise node.failure("has ended")
    return True


@contextmanager
def _listening(bag: Bag) -> Iterator[tuple[Recorder, Callable[[], None]]]:
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
