"""Run every input that failed once, and print a table: case, observed, right.

    python test/cases.py [NAME…]

The inputs lie in ../shared/cases. The exit code is the number of wrong rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from cases import CASES, Case, Outcome
from shared_folder import SHARED

TIMEOUT_S = 60.0
PROGRAM = "from pose_ros.cli import main; main()"
WIDTH = 90


def run_case(case: Case, out: Path) -> tuple[Outcome, float]:
    """Run a case in a process of its own. Return the outcome and the time in s.

    A process that is killed after the longest time has exit code -9.
    """
    if case.make is not None:
        case.make(out)
    command = [sys.executable, "-c", PROGRAM, *case.arguments(out)]
    start = time.monotonic()
    with (out / "log.txt").open("w+") as log:
        child = subprocess.Popen(
            command, cwd=SHARED / "cases" / case.folder if case.folder else out, stdout=log, stderr=log
        )
        while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() - start > TIMEOUT_S:
                child.kill()
            time.sleep(0.05)
        log.seek(0)
        text = log.read()
    _, status, usage = ended
    return Outcome(os.waitstatus_to_exitcode(status), text, out, usage.ru_maxrss / 1024), time.monotonic() - start


def describe(outcome: Outcome, seconds: float) -> str:
    """Describe an outcome in one line."""
    lines = [line for line in outcome.text.splitlines() if line.strip() and "━" not in line]
    last = lines[-1].replace(str(outcome.out), "OUT")[:WIDTH] if lines else ""
    return f"code {outcome.code}, {seconds:.1f} s, {outcome.peak_mb:.0f} MB: {last}"


def main() -> int:
    """Print the table. Return the number of wrong rows."""
    wrong = 0
    for case in CASES:
        if sys.argv[1:] and not any(name in case.name for name in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome, seconds = run_case(case, Path(folder))
            is_right = case.is_right(outcome)
            needs = "pip install torch" in outcome.text
            verdict = "not run" if needs else "right" if is_right else "WRONG"
            wrong += verdict == "WRONG"
            print(
                f"{verdict:8} {case.name:34} {describe(outcome, seconds)}\n{'':8} {'':34} right: {case.right}",
                flush=True,
            )
    print(f"{wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
