"""Test that the program ends soon after SIGINT and SIGTERM, whatever it is doing, and leaves no partial files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

GUARDED = """
import ctypes, signal, sys, threading, time
from pathlib import Path
from pose_ros.cli.delay_signals import delay_signals
from pose_ros.cli.signal_guard import SignalGuard
from pose_ros.files import UnfinishedFile

lock = ctypes.create_string_buffer(64)

def call_library():  # for ever. Signals do not end it
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(lock)

SignalGuard().install()
file = UnfinishedFile(Path("result.txt").absolute())
file.path.write_text("partial")
print("ready", flush=True)
try:
    work()
except KeyboardInterrupt:
    sys.exit(130)
finally:
    file.discard()
"""
WORKS = {
    "native call": "call_library()",
    "worker": "worker = threading.Thread(target=call_library); worker.start(); worker.join()",
    "destructors": "\n    while True: type('Slow', (), {'__del__': lambda self: time.sleep(0.1)})()",
}
DELAYED = """
    with delay_signals():
        while not Path("sent").exists(): time.sleep(0.01)
        file.path.write_text("complete")
        file.complete()
    time.sleep(60)
"""
DELAYED_CALL = """
    with delay_signals():
        call_library()
"""


def start(folder: Path, work: str) -> subprocess.Popen[str]:
    (folder / "result.txt").write_text("earlier")
    pipe = subprocess.PIPE
    script = f"def work(): {work}\n{GUARDED}"
    child = subprocess.Popen([sys.executable, "-c", script], cwd=folder, stdout=pipe, stderr=pipe, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def stop(child: subprocess.Popen[str], *signals: int, sent: Path | None = None) -> tuple[int, str]:
    """Send signals, each after half a second, and return the exit code and the errors.

    Args:
        child: Program.
        signals: Numbers of the signals.
        sent: File that is written after the last signal.
    """
    for number in signals:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)  # it has begun its work, or still works
        child.send_signal(number)
    if sent is not None:
        sent.touch()
    try:
        _, errors = child.communicate(timeout=120)
    finally:
        child.kill()
    return child.returncode, errors


@pytest.mark.parametrize(
    ("work", "number"),
    [
        ("native call", signal.SIGINT),
        ("native call", signal.SIGTERM),
        ("worker", signal.SIGTERM),
        ("destructors", signal.SIGINT),
    ],
)
def test_a_signal_ends_the_program(tmp_path: Path, work: str, number: int) -> None:
    assert stop(start(tmp_path, WORKS[work]), number) == (128 + number, "")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("result.txt", "earlier")]


def test_outputs_are_completed_first(tmp_path: Path) -> None:
    code, _ = stop(start(tmp_path, DELAYED), signal.SIGTERM, sent=tmp_path / "sent")
    assert code == 128 + signal.SIGTERM
    (tmp_path / "sent").unlink()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("result.txt", "complete")]


def test_a_second_signal_ends_the_program_at_once(tmp_path: Path) -> None:
    code, errors = stop(start(tmp_path, DELAYED_CALL), signal.SIGINT, signal.SIGINT)
    assert (code, errors) == (128 + signal.SIGINT, "")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("result.txt", "earlier")]


def test_handlers_of_a_command_are_left_alone(tmp_path: Path) -> None:
    work = """
    seen = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    while not seen or not Path("sent").exists(): time.sleep(0.01)
    sys.exit(7)
"""
    assert stop(start(tmp_path, work), signal.SIGTERM, sent=tmp_path / "sent") == (7, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_waits_in_a_library_ends(tmp_path: Path, number: int) -> None:
    os.mkfifo(tmp_path / "walk.mp4")
    script = "print('ready', flush=True); from pose_ros.__main__ import main; main()"
    command = [sys.executable, "-c", script, "video", "walk.mp4", "--json", "people.jsonl"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)  # in the imports or in FFmpeg: both must be interrupted
    assert stop(child, number) == (128 + number, "")
    assert [file.name for file in tmp_path.iterdir()] == ["walk.mp4"]


@pytest.mark.parametrize(("arguments", "code"), [(["replay", "x"], 130), (["replay", "x", "--launched"], 0)])
def test_an_interrupt_during_the_imports(arguments: list[str], code: int) -> None:
    """A launch file counts another exit code than 0 as a crash."""
    script = (
        "import signal, sys, types; from pose_ros.__main__ import main; module = types.ModuleType('pose_ros.cli'); "
        "module.main = lambda **_: signal.raise_signal(signal.SIGINT); sys.modules[module.__name__] = module; main()"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert (child.returncode, child.stderr) == (code, "")
