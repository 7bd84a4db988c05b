"""The programs of the demo: each a real process, on a ROS domain of its own, with its output in a log file."""

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
FIRST_LOCK_PORT = 22119  # the scheme of ROS's own domain_coordinator: who holds the port, holds the domain


class ChildError(Exception):
    """A program has failed; with the end of its log."""


@contextmanager
def private_graph() -> Iterator[int]:
    """Puts this process and its children on a ROS graph of their own, on this machine and fit for images.

    The value is the number of its domain, which nobody else uses.

    References:
        DDSI-RTPS 2.5, 9.6.2.3: the programs of domain d listen on UDP port 7400 + 250 d.
    """
    for domain in random.sample(range(1, 102), 101):  # above 101 the ports are those that Linux gives to clients
        with socket.socket() as lock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                lock.bind(("127.0.0.1", FIRST_LOCK_PORT + domain))
                probe.bind(("", 7400 + 250 * domain))
            except OSError:
                continue
            probe.close()
            os.environ.update(_local_graph(), ROS_DOMAIN_ID=str(domain))
            yield domain
            return
    raise OSError("ROS domain: expected a free one of 1 to 101, got none")


def _local_graph() -> dict[str, str]:
    """Variables that keep ROS on this machine and, where it runs on Fast DDS, fit it for images."""
    is_humble = os.environ.get("ROS_DISTRO") == "humble"  # its successors warn of its variable
    local = {"ROS_LOCALHOST_ONLY": "1"} if is_humble else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    profile = str(FASTDDS_PROFILE)
    return {**local, "FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile}  # v2, v3


class Child:
    """A running program of this package. Use it in ``with``: it does not outlive the block.

    Attributes:
        name: What it is, in messages.
        log: File with all that it prints.
    """

    def __init__(self, name: str, script: str, *arguments: str, log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # Of a session of its own, so that Ctrl-C in the terminal reaches only us, who stop it in good order.
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
        """Whether it has not ended yet.

        Raises:
            ChildError: It has failed.
        """
        code = self._process.poll()
        if code:
            raise self.failure(f"has ended with status {code}")
        return code is None

    def failure(self, what: str) -> ChildError:
        """An error that says what it has done wrong, and its last words."""
        lines = [f"  {line}" for line in self.log_text().strip().splitlines()[-LOG_LINES:]]
        return ChildError("\n".join([f"{self.name} {what}; the end of {self.log}:", *lines]))

    def log_text(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Ends it like Ctrl-C would, or by force if it does not heed that."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def memory_mb(self) -> float:
        """Its resident memory, MB; NaN where it cannot be told."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return float("nan")
        sizes_kb = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(sizes_kb[0]) * 1024 / 1e6 if sizes_kb else float("nan")
