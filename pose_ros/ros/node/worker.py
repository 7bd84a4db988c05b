"""Run the model in the single thread that owns it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pose_ros.estimator import PoseEstimator
from pose_ros.refinement import Refiner
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.freed_memory import return_freed_memory
from pose_ros.ros.node.idle_code import return_idle_code
from pose_ros.ros.node.latest import LatestItems
from pose_ros.ros.node.processing import Processor
from pose_ros.ros.node.transforms import FrameTransforms
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.runtime.runner import CPU, BuildProgress, Notify

LoadModel = Callable[[BuildProgress], PoseEstimator]
LoadRefiner = Callable[[PoseEstimator, BuildProgress], Refiner | None]
LOADING = "loading"
"""Default task in ``Worker.progress``, until a runtime reports its own."""


class Worker:
    """Loads a model, processes the images of all cameras until it is closed, and releases the model.

    All of this runs in one thread, because some runtimes are bound to a thread. Cameras take turns. On a GPU, the
    waiting images of several cameras share one run, up to the batch size of the network. A run never waits for more
    images.

    Attributes:
        waiting: Newest image of each camera.
        loaded: Set when the model is loaded, or loading has failed.
        error: Error of a failed load. None otherwise.
        estimator: The model. None before it is loaded and after it is released.
        refiner: The second network. None without one.
        progress: Current task while the model loads, and its progress: 0 to 1, negative = unknown.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        settings: LiveSettings,
        transforms: FrameTransforms,
        load: LoadModel,
        load_refiner: LoadRefiner,
        notify: Notify,
    ) -> None:
        """Start the thread and load the models.

        Args:
            cameras: Cameras to serve.
            settings: Settings of the node, read before each run.
            transforms: Transforms of the node.
            load: Function that loads the estimator, in the worker's thread.
            load_refiner: Function that then loads the second network.
            notify: Called with one line of text for each non-fatal error.
        """
        self.waiting: LatestItems[Camera, Any] = LatestItems(cameras)
        self.loaded = threading.Event()
        self.error: Exception | None = None
        self.estimator: PoseEstimator | None = None
        self.refiner: Refiner | None = None
        self.progress = (LOADING, -1.0)
        self._cameras, self._settings, self._notify = cameras, settings, notify
        self._load, self._load_refiner = load, load_refiner
        self._transforms = transforms
        self._thread = threading.Thread(target=self._run, name="pose_worker", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the images in progress, stop the thread, and release the model.

        Args:
            timeout_s: Longest wait, seconds. None = no limit.

        Returns:
            Whether the thread stopped in time.
        """
        self.waiting.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.estimator, self.refiner = self._load_models()
        except Exception as error:  # model files and runtimes raise many types
            self.error = error
            return
        finally:
            self.loaded.set()
        processor = Processor(self.estimator, self.refiner, self._cameras, self._settings, self._transforms)
        return_memory()
        has_run = False
        while (taken := self.waiting.take(self._batch_size(self.estimator))) is not None:
            try:
                processor.process(taken)
            except Exception as error:  # an error must not stop the thread
                for entry in taken:
                    entry.source.report_failure(entry.item, error)
            if not has_run:  # the warm-up had another image size
                has_run = True
                return_memory()
            self.estimator = processor.estimator
        estimator, refiner = self.estimator, self.refiner
        self.estimator = self.refiner = None
        self._release(refiner)
        self._release(estimator)

    def _release(self, model: PoseEstimator | Refiner | None) -> None:
        try:
            if model is not None:
                model.close()
        except Exception as error:
            self._notify(f"could not release the model: {describe_error(error)}")

    def _load_models(self) -> tuple[PoseEstimator, Refiner | None]:
        estimator = self._load(self._set_progress)
        try:
            return estimator, self._load_refiner(estimator, self._set_progress)
        except BaseException:
            estimator.close()
            raise

    def _batch_size(self, estimator: PoseEstimator) -> int:
        """Return the most images of one run. On a CPU a batch is slower than single images, so it must be requested."""
        is_requested = self._settings.config.runtime.max_batch > 1
        return estimator.max_batch if is_requested or estimator.runner.device != CPU else 1

    def _set_progress(self, task: str, fraction: float) -> None:
        if self.waiting.closed:
            raise InterruptedError("loading was cancelled: the worker is closed")
        self.progress = (task, fraction)


def return_memory() -> None:
    """Return the memory that only the start needs."""
    return_freed_memory()
    return_idle_code()
