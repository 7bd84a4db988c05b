"""Report the progress of a build: by phases and steps since TensorRT 10, by elapsed time before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pose_ros.runtime.runner import BuildProgress

TICK_S = 3.0
UNKNOWN = -1.0
BUILDING = "building an engine"


@contextmanager
def report_progress(
    trt: Any, settings: Any, progress: BuildProgress, is_cancelled: Callable[[], bool]
) -> Iterator[None]:
    """Report the progress of the build in this context.

    Args:
        trt: The module tensorrt.
        settings: Configuration of the builder, for one build.
        progress: Called from threads of TensorRT, or from a thread of this function.
        is_cancelled: Called at each step. True cancels the build (since TensorRT 10).

    Raises:
        Exception: Any error of ``progress``. It cancels the build (since TensorRT 10).
    """
    progress(BUILDING, UNKNOWN)
    if not hasattr(settings, "progress_monitor"):
        with _report_elapsed(progress):
            yield
        return
    phases = Phases(progress, is_cancelled)
    settings.progress_monitor = _make_monitor(trt, phases)
    yield
    if phases.failure is not None:
        raise phases.failure


@contextmanager
def _report_elapsed(progress: BuildProgress) -> Iterator[None]:
    done, start_s = threading.Event(), time.monotonic()

    def tick() -> None:
        with suppress(Exception):  # this build cannot be cancelled, so an error of progress must not lose it
            while not done.wait(TICK_S):
                progress(f"{BUILDING}, {time.monotonic() - start_s:.0f} s", UNKNOWN)

    thread = threading.Thread(target=tick, name="engine build", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """Nested phases of a build, combined into one fraction that never decreases. Thread-safe.

    Attributes:
        failure: Error that ``progress`` has raised. It cancels the build.
    """

    def __init__(self, progress: BuildProgress, is_cancelled: Callable[[], bool]) -> None:
        self._progress, self._is_cancelled = progress, is_cancelled
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.RLock()
        self._fraction = 0.0
        self.failure: Exception | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Start a phase, inside another phase or at the top level."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(steps, 1))
            self._report(name)

    def step(self, name: str, step: int) -> bool:
        """Finish a step, counted from 0. Return whether the build continues."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
                self._report(name)
            return self.failure is None and not self._is_cancelled()

    def finish(self, name: str) -> None:
        """Finish a phase."""
        with self._lock:
            self._phases.pop(name, None)

    def _report(self, name: str) -> None:
        phase = self._phases[name]
        self._fraction = max(self._fraction, min(self._done_fraction(name), 1.0))
        try:
            self._progress(f"{BUILDING}: {name}, {phase.done} of {phase.steps}", self._fraction)
        except Exception as error:  # an exception must not pass through TensorRT
            self.failure = error

    def _done_fraction(self, name: str | None) -> float:
        """Return the fraction of the outermost phase that is done, starting from an inner phase."""
        fraction, chain = 0.0, dict(self._phases)
        while name is not None and (phase := chain.pop(name, None)) is not None:
            fraction = (phase.done + fraction) / phase.steps
            name = phase.parent
        return fraction


def _make_monitor(trt: Any, phases: Phases) -> Any:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return phases.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
