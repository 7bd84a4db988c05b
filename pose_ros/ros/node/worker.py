"""The one thread that owns the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pose_ros.estimator import PoseEstimator
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.latest import LatestItems
from pose_ros.ros.node.processing import Processor
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.runtime.runner import CPU, BuildProgress

LoadModel = Callable[[BuildProgress], PoseEstimator]
LOADING = "loading"
"""What is under way until a runtime says more."""


class Worker:
    """Loads a model, answers the images of all cameras with it until it is closed, and gives it back.

    All of that happens in one thread, as a runtime that is bound to its thread needs it. Cameras take turns; on a GPU,
    as many as wait and the network takes are answered in one run, and nobody is waited for.

    Attributes:
        waiting: The newest image of each camera.
        loaded: Set when the model is there, or cannot be loaded.
        error: Why it cannot be loaded.
        estimator: The model, while it is there.
        progress: What is under way while it loads, and how much of it is done: 0 to 1, or less than 0.
    """

    def __init__(
        self, cameras: Sequence[Camera], settings: LiveSettings, load: LoadModel, say: Callable[[str], None]
    ) -> None:
        """Begin to load.

        Args:
            cameras: Whose images come.
            settings: Of the node; read before each run.
            load: Makes the estimator, in the worker's thread.
            say: Receives what should not happen, and does no harm.
        """
        self.waiting: LatestItems[Camera, Any] = LatestItems(cameras)
        self.loaded = threading.Event()
        self.error: Exception | None = None
        self.estimator: PoseEstimator | None = None
        self.progress = (LOADING, -1.0)
        self._cameras, self._settings, self._load, self._say = cameras, settings, load, say
        self._thread = threading.Thread(target=self._work, name="pose_worker", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """Stop after the images in hand, and give the model back.

        Returns:
            Whether that was done in time.
        """
        self.waiting.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self.estimator = self._load(self._note_progress)
        except Exception as error:  # whatever is wrong with a model file or a runtime
            self.error = error
            return
        finally:
            self.loaded.set()
        processor = Processor(self.estimator, self._cameras, self._settings)
        while (taken := self.waiting.take(self._most(self.estimator))) is not None:
            try:
                processor.process(taken)
            except Exception as error:  # nothing ends the thread
                for entry in taken:
                    entry.source.report_failure(entry.item, error)
            self.estimator = processor.estimator
        estimator, self.estimator = self.estimator, None
        try:
            estimator.close()
        except Exception as error:
            self._say(f"could not give the model back: {describe_error(error)}")

    def _most(self, estimator: PoseEstimator) -> int:
        """Images of one run. On a CPU a batch takes longer than its images one by one: there, only if asked for."""
        is_asked = self._settings.config.runtime.max_batch > 1
        return estimator.max_batch if is_asked or estimator.runner.device != CPU else 1

    def _note_progress(self, what: str, fraction: float) -> None:
        if self.waiting.closed:
            raise InterruptedError("nobody waits for the model any more")
        self.progress = (what, fraction)
