"""Start the program ``pose_ros``."""

from __future__ import annotations

import os
import signal
import sys

OLDEST_TYPER = (0, 16)


def main() -> None:
    """Run the program and exit. An interrupt during the imports ends it without a traceback.

    With ``--launched``, an interrupt is no failure. The command then sets its own handlers, see ``cli/launched.py``.
    """
    is_launched = "--launched" in sys.argv
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, frame: os._exit(0 if is_launched else 128 + received))
    _check_typer()
    from pose_ros.cli import main as run

    run(has_guard=not is_launched)


def _check_typer() -> None:
    """End the program with the fix if typer is too old. apt of Ubuntu 22.04 and 24.04 installs such a version."""
    import typer

    if tuple(int(number) for number in typer.__version__.split(".")[:2]) < OLDEST_TYPER:
        oldest = ".".join(map(str, OLDEST_TYPER))
        sys.exit(
            f"pose_ros: typer: expected {oldest} or newer, got {typer.__version__}; in a ROS 2 workspace, run "
            "make -C src/pose_ros venv, then source .venv/bin/activate; elsewhere, pip install --upgrade typer"
        )


if __name__ == "__main__":
    main()
