"""Start the program ``pose_ros``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the program and exit. An interrupt during the imports ends it without a traceback.

    With ``--launched``, an interrupt is no failure. The command then sets its own handlers, see ``cli/launched.py``.
    """
    is_launched = "--launched" in sys.argv
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, frame: os._exit(0 if is_launched else 128 + received))
    from pose_ros.cli import main as run

    run(has_guard=not is_launched)


if __name__ == "__main__":
    main()
