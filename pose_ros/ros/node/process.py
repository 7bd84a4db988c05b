"""Run the node as the program ``pose_node``, with its signals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from pose_ros.ros.node.freed_memory import keep_freed_memory
from pose_ros.texts import printable

if TYPE_CHECKING:
    from types import FrameType

    from rclpy.executors import Executor

    from pose_ros.ros.node.estimator_node import LoadEstimator, PoseEstimatorNode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_POLL_S = 0.1
STOP_TIMEOUT_S = 3.0
ERROR_PERIOD_S = 5.0
USAGE = """\
Find people in the images of a topic. Every option is a ROS argument:

  ros2 run pose_ros pose_node --ros-args -r image:=/camera/image_raw
  ros2 run pose_ros pose_node --ros-args -p preprocess.short_side:=256
  ros2 run pose_ros pose_node --ros-args --params-file my.yaml

Topics and parameters: docs/node.md and docs/parameters.md, or ros2 param describe.
"""


class _StopSignal:
    """Signal handler that only stores the request to stop. It interrupts nothing, and ignores further signals.

    A launch file sends a second signal after that of the terminal. It may arrive when Python has already removed its
    handlers.
    """

    requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line with ROS arguments. None = arguments of the process.

    Returns:
        Exit code: 0 after a signal, 1 if the node could not start. One line of output then has the reason.
    """
    return run(args)


def run(args: list[str] | None = None, load: LoadEstimator | None = None) -> int:
    """Run ``main`` with another function that loads the estimator. None = ``load_estimator``."""
    given = sys.argv if args is None else args
    if {"-h", "--help"} & set(given[1:]) and "--ros-args" not in given:
        sys.stdout.write(USAGE)
        return 0
    stop = _StopSignal()
    for number in SIGNALS:
        signal.signal(number, stop)
    keep_freed_memory()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy multiplies small matrices only, but starts a pool
    import rclpy  # takes 0.5 s: imported after the handlers are set, so that Ctrl-C shows no traceback
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from pose_ros.ros.command_node import add_log_advice
    from pose_ros.ros.node.estimator_node import PoseEstimatorNode, load_estimator
    from pose_ros.ros.parameters.unused import find_unused_files

    if stop.requested:
        return 0
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = PoseEstimatorNode(load or load_estimator, may_start=lambda: not stop.requested)
    except (ParameterException, RuntimeError, TypeError, ValueError) as error:
        sys.stderr.write(f"pose_estimator: {printable(add_log_advice(str(error)))}\n")
        return 1
    for text in find_unused_files(node, given):
        node.get_logger().warning(text)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not (stop.requested or node.failed.is_set()) and rclpy.ok():
        _spin_once(executor, node)
    code = int(node.failed.is_set())
    if not node.close(STOP_TIMEOUT_S):
        node.get_logger().info("stopped without waiting for the model, which is still running")
        os._exit(code)  # a call into a library cannot be interrupted, and must not run on while Python shuts down
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return code


def _spin_once(executor: Executor, node: PoseEstimatorNode) -> None:
    """Run one callback. An exception in it is logged and does not stop the node."""
    try:
        executor.spin_once(timeout_sec=STOP_POLL_S)
    except Exception as error:
        if node.context.ok():  # otherwise the exception only reports the shutdown
            node.get_logger().error(printable(f"{type(error).__name__}: {error}"), throttle_duration_sec=ERROR_PERIOD_S)
