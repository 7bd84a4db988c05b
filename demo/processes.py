"""Start and stop the programs of the demo: separate processes on a private ROS domain, with log files."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
FASTDDS_PROFILE = Path(__file__).with_name("fastdds.xml").resolve()
STOP_TIMEOUT_S = 8.0
LOG_LINES = 12
FIRST_LOCK_PORT = 22119  # same scheme as domain_coordinator of ROS: the process that binds the port owns the domain


class ChildError(Exception):
    """A program has failed. The message contains the end of its log."""


@contextmanager
def private_graph() -> Iterator[int]:
    """Put this process and its children on a private ROS graph, limited to this machine and configured for images.

    Yields:
        Number of a ROS domain that no other program uses.

    References:
        DDSI-RTPS 2.5, 9.6.2.3: the programs of domain d listen on UDP port 7400 + 250 d.
    """
    for domain in random.sample(
        range(1, 102), 101
    ):  # above 101, the ports are in the range that Linux gives to clients
        with socket.socket() as lock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                lock.bind(("127.0.0.1", FIRST_LOCK_PORT + domain))
                probe.bind(("", 7400 + 250 * domain))
            except OSError:
                continue
            probe.close()
            os.environ.update(_local_graph_variables(), ROS_DOMAIN_ID=str(domain))
            yield domain
            return
    raise OSError("ROS domain: expected a free one of 1 to 101, got none")


def _local_graph_variables() -> dict[str, str]:
    """Return variables that limit ROS to this machine and load the Fast DDS profile for images."""
    is_humble = os.environ.get("ROS_DISTRO") == "humble"  # newer distributions print a warning about the old variable
    local = {"ROS_LOCALHOST_ONLY": "1"} if is_humble else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    profile = str(FASTDDS_PROFILE)
    return {**local, "FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile}  # v2, v3


class Child:
    """Running program of this package. Use it in ``with``: the program is stopped at the end of the block.

    Attributes:
        name: Name of the program in messages.
        log: File that receives all output of the program.
    """

    def __init__(self, name: str, script: str, *arguments: str, log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # In a new session, Ctrl-C in the terminal reaches only this process, which then stops the child in order.
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPTS / script), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the program is still running.

        Raises:
            ChildError: The program exited with an error.
        """
        code = self._process.poll()
        if code:
            raise self.make_error(f"exited with status {code}")
        return code is None

    def make_error(self, what: str) -> ChildError:
        """Make an error from a description of the failure and the last lines of the log."""
        lines = [f"  {line}" for line in self.read_log().strip().splitlines()[-LOG_LINES:]]
        return ChildError("\n".join([f"{self.name} {what}; last lines of {self.log}:", *lines]))

    def read_log(self) -> str:
        """Read all output of the program."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Stop the program with SIGINT, like Ctrl-C. Kill it if it does not stop in time."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def memory_mb(self) -> float:
        """Read the resident memory of the program, MB. NaN = unknown."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return float("nan")
        sizes_kb = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(sizes_kb[0]) * 1024 / 1e6 if sizes_kb else float("nan")
