"""Images are answered while an engine is built: by another runtime, until the engine is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pose_ros.arrays import AnyArray
from pose_ros.runtime.runner import CLOSED, Arrays, BuildProgress, Notify, Runner

Build = Callable[[BuildProgress], Runner]


class WhileBuilding(Runner):
    """Answers through one runner until another is built, then through that. One run at a time.

    If the build fails, it is said once, and the first runner goes on.

    Args:
        meanwhile: Answers until then, and belongs to this runner: it is closed when it is no longer needed.
        build: Makes the other, in a thread of its own. Its reports raise InterruptedError once this runner is closed.
        progress: Told what ``build`` reports, in that thread.
        say: Told in one line that the engine is ready, or why there is none, in that thread.

    Attributes:
        state: What is under way, such as ``"building an engine, 43 %"``; why it failed; or empty once it is done.
    """

    def __init__(
        self,
        meanwhile: Runner,
        build: Build,
        progress: BuildProgress | None = None,
        say: Notify | None = None,
    ) -> None:
        self._runner: Runner | None = meanwhile
        self._turn, self._is_closed = threading.Lock(), False
        self._progress, self._say = progress, say
        self.inputs, self.outputs, self.metadata = meanwhile.inputs, meanwhile.outputs, meanwhile.metadata
        self.device = meanwhile.device
        self.description = f"{meanwhile.description}, until the engine is there"
        self.state = "loading the engine"
        # Nobody who ends the program waits minutes for an engine: an unfinished one leaves nothing behind.
        threading.Thread(target=self._build, args=(build,), name="engine_build", daemon=True).start()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        with self._turn:
            if self._runner is None:
                raise ValueError(CLOSED)
            return self._runner.run(feeds, names)

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """That of the runner which answers at the moment."""
        runner = self._runner
        return runner.gpu_memory_bytes() if runner is not None else None

    def close(self) -> None:
        """Give back everything after the run in hand, without waiting for the build, which is told to stop."""
        self._is_closed = True
        with self._turn:
            runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _build(self, build: Build) -> None:
        try:
            built = build(self._report)
        except Exception as error:  # whatever is wrong with an engine, the network is still answered for
            self._fail(error)
        else:
            self._switch(built)

    def _report(self, text: str, fraction: float) -> None:
        if self._is_closed:
            raise InterruptedError("engine: expected to be wanted, got a runner that has been closed")
        self.state = text + f", {100 * fraction:.0f} %" * (fraction >= 0)
        if self._progress is not None:
            self._progress(text, fraction)

    def _switch(self, built: Runner) -> None:
        with self._turn:
            is_wanted = not self._is_closed
            spare = self._runner if is_wanted else built
            if is_wanted:
                self._runner, self.device, self.description, self.state = built, built.device, built.description, ""
        if spare is not None:
            spare.close()
        if is_wanted and self._say is not None:
            self._say(f"the engine is ready: {built.description}")

    def _fail(self, error: Exception) -> None:
        if self._is_closed:
            return
        with self._turn:
            self.description = self.description.removesuffix(", until the engine is there")
            self.state = f"no engine: {' '.join(str(error).split())}"
        if self._say is not None:
            self._say(f"{self.state}; {self.description} goes on")
