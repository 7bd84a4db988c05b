"""Start the program ``pose_ros``."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the program and exit. An interrupt during the imports ends it without a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, frame: os._exit(128 + received))
    from pose_ros.cli import main as run

    run()


if __name__ == "__main__":
    main()
