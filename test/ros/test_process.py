"""Tests of the program ``pose_node``: signals, exit codes and output."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from pose_ros.msg import PersonPoseArray
from sensor_msgs.msg import Image

PROGRAM = Path(__file__).resolve().parents[2] / "scripts/pose_node"
EXIT_TIMEOUT_S = 120.0
BUSY = """
import signal, sys, time
from pose_ros.estimator import PoseEstimator
from pose_ros.ros.node import process
from pose_ros.ros.node.process import run

def busy(seconds):
    print("busy", flush=True)
    time.sleep(seconds)

def load(config, *_):
    estimator = PoseEstimator.load(config.model)
    network = estimator.runner.run
    estimator.runner.run = lambda *feeds: (busy(1.0), network(*feeds))[1]
    return estimator

def load_to_close_slowly(*arguments):
    estimator = load(*arguments)
    close = estimator.runner.close
    estimator.runner.close = lambda: (busy(1.0), close())
    return estimator

def interrupt():
    signal.raise_signal(signal.SIGINT)

if sys.argv[1] == "never":
    process.keep_freed_memory = interrupt  # the first step after the signal handlers are set
loads = {
    "never": lambda *_: busy(0.0) or load(*_),
    "closes": load_to_close_slowly,
    "loads": lambda *arguments: busy(1.0) or load(*arguments),
    "hangs": lambda *_: busy(600.0),
    "works": load,
}
sys.exit(run(sys.argv[1:], loads[sys.argv[1]]))
"""


@pytest.fixture
def busy_program(tmp_path: Path) -> str:
    """Write ``BUSY`` to a file. With -c it would import the source tree, which has no messages."""
    (tmp_path / "busy.py").write_text(BUSY)
    return str(tmp_path / "busy.py")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(domain_id: int) -> Iterator[Start]:
    """Return a function that starts a Python program in the domain of the test. It is killed after the test."""
    processes = []

    def start(*command: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen([sys.executable, *command], text=True, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_log(process: subprocess.Popen[str], word: str) -> None:
    """Read the log of the process up to a line with this word."""
    assert process.stderr
    for line in process.stderr:
        if word in line:
            return
    pytest.fail(f"the process exited without logging {word!r}")


def has_output(process: subprocess.Popen[str]) -> bool:
    """Return whether there is output to read."""
    return bool(select.select([process.stdout], [], [], 0)[0])


def wait_until_busy(process: subprocess.Popen[str]) -> None:
    """Wait until the process prints "busy". The middleware may print other lines."""
    assert process.stdout
    assert any(line == "busy\n" for line in process.stdout)


def wait_for_exit(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until the process exits. Return the exit code and the rest of its output."""
    output, errors = process.communicate(timeout=EXIT_TIMEOUT_S)
    return process.returncode, output + errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_an_idle_node_cleanly(start: Start, toy_model: Path, number: int) -> None:
    process = start(str(PROGRAM), "--ros-args", "-p", f"model:={toy_model}")
    wait_for_log(process, "inactive -> active")
    process.send_signal(number)
    assert wait_for_exit(process) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_during_loading_stops_it_after_loading(
    start: Start, busy_program: str, toy_model: Path, number: int
) -> None:
    process = start(busy_program, "loads", "--ros-args", "-p", f"model:={toy_model}")
    wait_until_busy(process)
    process.send_signal(number)
    process.send_signal(number)  # a launch file repeats the signal of the terminal
    code, output = wait_for_exit(process)
    assert (code, "Traceback" in output) == (0, False)


def test_a_signal_during_the_start_loads_no_model(start: Start, busy_program: str, toy_model: Path) -> None:
    process = start(busy_program, "never", "--ros-args", "-p", f"model:={toy_model}")
    assert wait_for_exit(process) == (0, "")


def test_a_parameter_file_for_another_node_is_reported(start: Start, tmp_path: Path, toy_model: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("pose_estimater:\n  ros__parameters: {max_rate: 5.0}\n")
    process = start(str(PROGRAM), "--ros-args", "--params-file", str(path), "-p", f"model:={toy_model}")
    wait_for_log(process, "rename /pose_estimater to /pose_estimator")


def test_a_model_that_hangs_does_not_keep_the_process_running(start: Start, busy_program: str) -> None:
    process = start(busy_program, "hangs")
    wait_until_busy(process)
    process.send_signal(signal.SIGINT)
    code, output = wait_for_exit(process)  # the model hangs for longer than this waits
    assert (code, "Traceback" in output) == (0, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_during_an_image_stops_it_after_that_image(
    start: Start, busy_program: str, graph: Any, toy_model: Path, paint: Any, image_message: Any, number: int
) -> None:
    process = start(busy_program, "works", "--ros-args", "-p", f"model:={toy_model}", "-p", "runtime.warm_up:=false")
    publisher = graph.node.create_publisher(Image, "/image", 1)
    answers = graph.collect(PersonPoseArray, "/pose_estimator/poses")
    graph.until(lambda: publisher.get_subscription_count() == 1, "the process subscribes")
    graph.until(lambda: graph.node.count_publishers("/pose_estimator/poses") == 1, "the process publishes")
    message = image_message(paint(20))
    graph.until(lambda: publisher.publish(message) or has_output(process), "an image arrives")
    wait_until_busy(process)
    process.send_signal(number)
    graph.until(lambda: answers, "the image in progress is processed")
    code, output = wait_for_exit(process)
    assert (code, "Traceback" in output) == (0, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signals_during_the_shutdown_change_nothing(
    start: Start, busy_program: str, toy_model: Path, number: int
) -> None:
    process = start(busy_program, "closes", "--ros-args", "-p", f"model:={toy_model}")
    wait_for_log(process, "ready")
    process.send_signal(number)
    wait_until_busy(process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    code, output = wait_for_exit(process)
    assert (code, "Traceback" in output) == (0, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_managed_process_survives_failing_models_and_invalid_requests(start: Start, call: Any, number: int) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    process = start(str(PROGRAM), "--ros-args", "-p", "autostart:=false", "-p", "model:=missing.onnx")
    for transition in (Transition(id=1), Transition(id=3), Transition(label="deactivate"), Transition(id=200)):
        assert not call(ChangeState, "/pose_estimator/change_state", transition=transition).success
    assert process.poll() is None
    process.send_signal(number)
    code, output = wait_for_exit(process)
    assert (code, "Traceback" in output) == (0, False)
    assert "missing.onnx, which does not exist" in output
    assert "transition 200 refused in state unconfigured" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["-p", "model:=missing.onnx"], "missing.onnx, which does not exist", id="no model"),
        pytest.param(["-p", f"model:={__file__}"], "expected a readable ONNX network", id="not a model"),
        pytest.param(["-p", "decoder.max_people:=-1"], "decoder.max_people: expected int (0 to 1000)", id="bad value"),
        pytest.param(["-p", "runtime.backend:=abacus"], "got 'abacus'", id="bad choice"),
        pytest.param(["--params-file", "missing.yaml"], "missing.yaml", id="no parameter file"),
        pytest.param(["--remap", "nonsense"], "nonsense", id="bad remapping"),
    ],
)
def test_a_node_that_cannot_start_reports_why_and_exits_with_1(start: Start, arguments: list[str], reason: str) -> None:
    code, output = wait_for_exit(start(str(PROGRAM), "--ros-args", *arguments))
    assert (code, "Traceback" in output) == (1, False)
    assert reason in output


def test_help_tells_that_every_option_is_a_ros_argument(start: Start) -> None:
    code, output = wait_for_exit(start(str(PROGRAM), "--help"))
    assert code == 0 and "pose_node --ros-args -r image:=/camera/image_raw" in output


@pytest.mark.parametrize(
    "command", [[str(PROGRAM)], [str(PROGRAM.with_name("pose_ros")), "view"]], ids=["node", "view"]
)
def test_a_log_folder_that_cannot_be_written_is_named(
    start: Start, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_LOG_DIR", "/proc/none/log")
    code, output = wait_for_exit(start(*command))
    assert code == 1
    assert "log: expected a folder that takes files, got /proc/none/log; set ROS_LOG_DIR to one" in output
