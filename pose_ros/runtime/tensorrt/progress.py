"""How far a build is: by phases and steps where TensorRT tells them (since 10), elsewhere by the time it has taken."""

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
def shown(trt: Any, settings: Any, progress: BuildProgress, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Tell of a build that goes on inside.

    Args:
        trt: The module tensorrt.
        settings: The builder's configuration; it builds once.
        progress: Told from threads of TensorRT, or one of ours.
        cancelled: Asked at each step; True ends the build, where TensorRT can be stopped.

    Raises:
        Exception: What ``progress`` has raised, where TensorRT can be stopped; it ends the build.
    """
    progress(BUILDING, UNKNOWN)
    if not hasattr(settings, "progress_monitor"):
        with _ticking(progress):
            yield
        return
    phases = Phases(progress, cancelled)
    settings.progress_monitor = _monitor(trt, phases)
    yield
    if phases.failure is not None:
        raise phases.failure


@contextmanager
def _ticking(progress: BuildProgress) -> Iterator[None]:
    done, start_s = threading.Event(), time.monotonic()

    def tick() -> None:
        with suppress(Exception):  # what cannot be stopped is not lost because nobody wants to hear of it
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
    """Nested phases of steps, made into one fraction that never falls. May be told of by several threads.

    Attributes:
        failure: What ``progress`` has raised; the build is then to end.
    """

    def __init__(self, progress: BuildProgress, cancelled: Callable[[], bool]) -> None:
        self._progress, self._cancelled = progress, cancelled
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.RLock()
        self._fraction = 0.0
        self.failure: Exception | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins, inside another or on its own."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(steps, 1))
            self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """A step is done, counted from 0. Says whether to go on."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
                self._tell(name)
            return self.failure is None and not self._cancelled()

    def finish(self, name: str) -> None:
        """A phase ends."""
        with self._lock:
            self._phases.pop(name, None)

    def _tell(self, name: str) -> None:
        phase = self._phases[name]
        self._fraction = max(self._fraction, min(self._reached(name), 1.0))
        try:
            self._progress(f"{BUILDING}: {name}, {phase.done} of {phase.steps}", self._fraction)
        except Exception as error:  # it must not travel through TensorRT
            self.failure = error

    def _reached(self, name: str | None) -> float:
        """Share of the outermost phase that is done, as seen from an inner one."""
        reached, chain = 0.0, dict(self._phases)
        while name is not None and (phase := chain.pop(name, None)) is not None:
            reached = (phase.done + reached) / phase.steps
            name = phase.parent
        return reached


def _monitor(trt: Any, phases: Phases) -> Any:
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
