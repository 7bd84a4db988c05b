"""Run a network in another runtime while its engine is built."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pose_ros.arrays import AnyArray
from pose_ros.runtime.runner import CLOSED, Arrays, BuildProgress, Notify, Runner

Build = Callable[[BuildProgress], Runner]


class WhileBuilding(Runner):
    """Runner that uses a temporary runner until another one is built. One run at a time.

    If the build fails, that is reported once and the temporary runner stays in use.

    Args:
        meanwhile: Temporary runner. This object owns it and closes it when it is no longer needed.
        build: Builds the final runner, in a separate thread. Its progress callback raises InterruptedError once this
            object is closed.
        progress: Called with the progress of ``build``, in the build thread.
        notify: Called with one line of text when the engine is ready, or when the build has failed, in the build
            thread.

    Attributes:
        state: Progress of the build, such as ``"building an engine, 43 %"``, or why it failed. Empty once it is done.
    """

    def __init__(
        self,
        meanwhile: Runner,
        build: Build,
        progress: BuildProgress | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._runner: Runner | None = meanwhile
        self._lock, self._is_closed = threading.Lock(), False
        self._progress, self._notify = progress, notify
        self.inputs, self.outputs, self.metadata = meanwhile.inputs, meanwhile.outputs, meanwhile.metadata
        self.device = meanwhile.device
        self.description = f"{meanwhile.description}, until the engine is ready"
        self.state = "loading the engine"
        # A daemon thread: the program must not wait minutes for an engine at exit. An unfinished build leaves no file.
        threading.Thread(target=self._build, args=(build,), name="engine_build", daemon=True).start()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        with self._lock:
            if self._runner is None:
                raise ValueError(CLOSED)
            return self._runner.run(feeds, names)

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU as the current runner reports it."""
        runner = self._runner
        return runner.gpu_memory_bytes() if runner is not None else None

    def close(self) -> None:
        """Wait for a run in progress, then release everything. The build is cancelled, but not waited for."""
        self._is_closed = True
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _build(self, build: Build) -> None:
        try:
            built = build(self._report)
        except Exception as error:  # a failed build must not stop the temporary runner
            self._fail(error)
        else:
            self._switch(built)

    def _report(self, text: str, fraction: float) -> None:
        if self._is_closed:
            raise InterruptedError("engine: build cancelled, the runner is closed")
        self.state = text + f", {100 * fraction:.0f} %" * (fraction >= 0)
        if self._progress is not None:
            self._progress(text, fraction)

    def _switch(self, built: Runner) -> None:
        with self._lock:
            is_open = not self._is_closed
            unused = self._runner if is_open else built
            if is_open:
                self._runner, self.device, self.description, self.state = built, built.device, built.description, ""
        if unused is not None:
            unused.close()
        if is_open and self._notify is not None:
            self._notify(f"the engine is ready: {built.description}")

    def _fail(self, error: Exception) -> None:
        if self._is_closed:
            return
        with self._lock:
            self.description = self.description.removesuffix(", until the engine is ready")
            self.state = f"no engine: {' '.join(str(error).split())}"
        if self._notify is not None:
            self._notify(f"{self.state}; continuing with {self.description}")
