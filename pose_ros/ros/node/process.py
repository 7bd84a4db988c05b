"""The program ``pose_node``: the node as a process, with its signals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from pose_ros.ros.node.freed_memory import keep_freed_memory

if TYPE_CHECKING:
    from types import FrameType

    from rclpy.executors import Executor

    from pose_ros.ros.node.estimator_node import LoadEstimator, PoseEstimatorNode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_POLL_S = 0.1
STOP_TIMEOUT_S = 3.0
ERROR_PERIOD_S = 5.0


class _Stop:
    """A signal handler that only notes the signal: nothing is interrupted half-way. Further signals are ignored.

    A launch file sends one after the terminal's, which may come when Python has taken its handlers down.
    """

    requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line with ROS arguments; None takes the process's own.

    Returns:
        Exit code: 0 after a signal, 1 if the node could not start, with one line that says why.
    """
    return run(args)


def run(args: list[str] | None = None, load: LoadEstimator | None = None) -> int:
    """Like ``main``, with another way to make the estimator."""
    stop = _Stop()
    for number in SIGNALS:
        signal.signal(number, stop)
    keep_freed_memory()
    import rclpy  # half a second, in which Ctrl-C must not show a traceback either
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from pose_ros.ros.node.estimator_node import PoseEstimatorNode, load_estimator

    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = PoseEstimatorNode(load or load_estimator)
    except (RuntimeError, TypeError, ValueError) as error:
        sys.stderr.write(f"pose_estimator: {error}\n")
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not (stop.requested or node.failed.is_set()) and rclpy.ok():
        _spin_once(executor, node)
    code = int(node.failed.is_set())
    if not node.close(STOP_TIMEOUT_S):
        node.get_logger().info("stopped while the model was busy")
        os._exit(code)  # a library's call cannot be interrupted, and must not outlive Python
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return code


def _spin_once(executor: Executor, node: PoseEstimatorNode) -> None:
    """Run a callback; none ends the node."""
    try:
        executor.spin_once(timeout_sec=STOP_POLL_S)
    except Exception as error:
        if node.context.ok():  # else it was shut down, and says so
            node.get_logger().error(f"{type(error).__name__}: {error}", throttle_duration_sec=ERROR_PERIOD_S)
