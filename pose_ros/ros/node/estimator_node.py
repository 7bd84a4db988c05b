"""The lifecycle node that publishes the people in camera images."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from std_srvs.srv import SetBool

from pose_ros.estimator import PoseEstimator
from pose_ros.media.regions import ALL_CAMERAS, find_region, load_regions
from pose_ros.refinement.stage import load_refiner
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.bond import ManagerBond
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.diagnostics import DiagnosticsPublisher, NodeState, runtime_details
from pose_ros.ros.node.freed_memory import return_freed_memory
from pose_ros.ros.node.publisher_events import PublisherEvents
from pose_ros.ros.node.sim_time import SimTimeCheck
from pose_ros.ros.node.transforms import FrameTransforms
from pose_ros.ros.node.transitions import Transitions
from pose_ros.ros.node.worker import LOADING, Worker, return_memory
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.parameters.declare import FORMER_NAMES
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.ros.parameters.unused import find_unknown_parameters
from pose_ros.runtime.runner import BuildProgress, Notify
from pose_ros.texts import printable

UPDATE_S = 0.1
POLL_S = 0.05
PROGRESS_PERIOD_S = 10.0
LoadEstimator = Callable[[NodeConfig, BuildProgress, Notify], PoseEstimator]
TransitionCallback = Callable[["PoseEstimatorNode", LifecycleState], TransitionCallbackReturn]
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
GOALS = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
    "shutdown": "finalized",
}
"""State after each transition."""


def load_estimator(config: NodeConfig, progress: BuildProgress, notify: Notify) -> PoseEstimator:
    """Load the estimator that the parameters select."""
    return PoseEstimator.load(
        config.model or None,
        grouping=config.grouping or None,
        config=config.estimator,
        progress=progress,
        notify=notify,
        before_warm_up=return_memory,  # makes the peak lower
    )


def report_errors(transition: TransitionCallback) -> TransitionCallback:
    """Make a transition log its success, and report its exceptions, which rclpy would drop."""

    @functools.wraps(transition)
    def wrapped(node: PoseEstimatorNode, state: LifecycleState) -> TransitionCallbackReturn:
        name = transition.__name__.removeprefix("on_")
        try:
            result = transition(node, state)
        except Exception as error:
            node.report_failure(f"{transition.__name__}: {describe_error(error)}")
            return TransitionCallbackReturn.ERROR
        if result == SUCCESS:
            node.get_logger().info(f"{name}: {state.label} -> {GOALS[name]}")
        return result

    return wrapped


class PoseEstimatorNode(LifecycleNode):
    """Publishes the people in the newest image of each camera. Images that arrive meanwhile are dropped and counted.

    This is a lifecycle node:

    - ``configure`` reads the parameters, loads the model and warms it up.
    - ``activate`` starts receiving and processing images.
    - ``deactivate`` stops, and releases the model and its GPU memory. The next ``activate`` loads the configured model
      again.
    - ``cleanup`` and ``shutdown`` release everything.

    With the parameter ``autostart`` the node configures and activates itself.

    The executor's thread receives images. A worker thread loads the model, finds people and publishes them. Each
    transition runs in its own thread. So services, parameters and diagnostics keep working while a model loads.

    Attributes:
        cameras: The cameras, in the order of the parameter ``cameras``.
        failed: Set when ``autostart`` has failed.
    """

    def __init__(
        self, load: LoadEstimator = load_estimator, may_start: Callable[[], bool] = lambda: True, **node_options: Any
    ) -> None:
        """Declare the parameters and create the publishers. With ``autostart``, start loading the model.

        Args:
            load: Function that loads the estimator, in the worker thread.
            may_start: Returns whether ``autostart`` may load the model. False after a signal.
            node_options: Arguments of ``rclpy.node.Node``.

        Raises:
            RuntimeError: If a QoS override is invalid.
            ValueError: If a parameter is invalid.
        """
        self._events = PublisherEvents()
        Node.__init__(self, "pose_estimator", **node_options)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self.failed = threading.Event()
        self._closing = threading.Event()
        self._load = load
        self._worker: Worker | None = None
        self._enabled, self._failure = True, ""
        self._settings = LiveSettings(self, self._check_decoder, lambda: self.state not in ("unconfigured", "inactive"))
        self._configured = self._settings.config
        self.cameras = [Camera(self, name, self._settings, self._queue_image) for name in self.config.cameras]
        self._transforms = FrameTransforms(self)
        self._health = DiagnosticsPublisher(self, self.cameras)
        self._bond = ManagerBond(self)
        self._transitions = Transitions(self, self._service_change_state, self._update)
        self.create_service(SetBool, "~/enable", self._handle_enable)
        SimTimeCheck(self, lambda: self.config.watchdog_s)
        self.create_timer(UPDATE_S, self._update, clock=Clock(clock_type=ClockType.STEADY_TIME))
        for text in find_unknown_parameters(self, FORMER_NAMES):
            self.get_logger().warning(text)
        if self.config.autostart and may_start():
            self._transitions.start(self._autostart)

    @property
    def config(self) -> NodeConfig:
        """The current parameters."""
        return self._settings.config

    @property
    def state(self) -> str:
        """State in the lifecycle: ``"unconfigured"``, ``"configuring"``, ``"inactive"`` and so on."""
        return str(self._state_machine.current_state[1])

    @report_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model that the parameters select."""
        self._configured = self.config
        return self._start_worker()

    @report_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start processing images. Load the model first if ``deactivate`` has released it."""
        if self._worker is None and self._start_worker() != SUCCESS:
            return FAILURE
        if not self.config.autostart:  # a lifecycle manager has requested it
            self._bond.start()
        topics = ", ".join(camera.topic for camera in self.cameras)
        lazily = ", while an output has a subscriber" if self.config.lazy == "drop" else ""
        self.get_logger().info(f"ready: receiving images from {topics}{lazily}")
        return SUCCESS

    @report_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop processing images, and release the model."""
        return self._release()

    @report_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model."""
        return self._release()

    @report_errors
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything. The process keeps running, but the node cannot be configured again."""
        return self._release()

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything. The node can be configured again. The diagnostics keep showing the error."""
        self._bond.stop()
        self._stop_worker()
        return SUCCESS

    def report_failure(self, failure: str) -> None:
        """Report a failure in the log and in the diagnostics."""
        self._failure = printable(failure)
        self.get_logger().fatal(self._failure)

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the images in progress and stop.

        Args:
            timeout_s: Longest wait, seconds. None = no limit.

        Returns:
            Whether it stopped in time.
        """
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._closing.set()
        self._bond.stop()
        if self._worker is not None:
            self._worker.waiting.close()
        if not self._transitions.join(timeout_s):
            return False
        if self._worker is not None and not self._worker.close(end_s and max(0.0, end_s - time.monotonic())):
            return False
        if self.context.ok():
            for camera in self.cameras:
                camera.outputs.flush()
        return True

    def destroy_node(self) -> None:
        """Stop, and remove the node from the graph."""
        self.close()
        self._events.close()
        super().destroy_node()

    def create_publisher(self, *args: Any, **options: Any) -> Any:
        """Create a publisher. The node reads its QoS events in ``_update``."""
        publisher = super().create_publisher(*args, **options)
        self._events.watch(self, publisher)
        return publisher

    def _autostart(self) -> None:
        try:
            started = self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS
        except Exception as error:  # raised by rclpy if the context was shut down meanwhile
            started = False
            self._log_error(f"autostart failed: {describe_error(error)}")
        if not (started or self._closing.is_set()):
            self.failed.set()

    def _release(self) -> TransitionCallbackReturn:
        self._failure = ""
        self._bond.stop()
        self._stop_worker()
        return SUCCESS

    def _load_regions(self, config: NodeConfig) -> None:
        """Load the ignored regions of the cameras, and warn about names that no camera has."""
        regions = load_regions(config.regions.ignore)
        for camera in self.cameras:
            camera.region = find_region(regions, camera.name)
        unknown = regions.keys() - {camera.name for camera in self.cameras} - {ALL_CAMERAS}
        if unknown and self.cameras[0].name:
            names = ", ".join(sorted(unknown))
            self.get_logger().warning(
                printable(f"regions.ignore: no camera is named {names}; their regions are unused")
            )

    def _start_worker(self) -> TransitionCallbackReturn:
        """Load a model in a new worker, and wait until it is loaded."""
        self._failure = ""
        config = self.config.with_network_of(self._configured)
        model = printable(config.model) or "default model"
        self._load_regions(config)
        self.get_logger().info(f"{model}: loading")
        notify = self._log_line
        worker = Worker(
            *(self.cameras, self._settings, self._transforms),
            lambda progress: self._load(config, progress, notify),
            lambda estimator, progress: load_refiner(config.estimator, estimator.skeleton, progress, notify),
            self._log_error,
        )
        self._worker = worker
        while not worker.loaded.wait(POLL_S):
            if self._closing.is_set():
                return FAILURE
            self._log_progress(*worker.progress)
        if worker.error is not None:
            self._worker, self._failure, worker.error = None, describe_error(worker.error), None
            self.get_logger().fatal(f"{model}: cannot load the model: {self._failure}")
            return FAILURE
        try:
            self._check_decoder(self.config)  # the parameters may have changed while it was loading
        except ValueError as error:
            self._stop_worker()
            self._failure = describe_error(error)
            self.get_logger().fatal(f"{model}: the model does not match the parameters: {self._failure}")
            return FAILURE
        if estimator := worker.estimator:
            runner = estimator.runner
            self._log_line(f"{estimator.model_name}: loaded ({runner.description})")
            if runner.reason:
                self._log_line(f"runtime: {runner.reason}")
        if refiner := worker.refiner:
            self._log_line(f"{refiner.model_name}: loaded (refinement)")
        return SUCCESS

    def _log_progress(self, task: str, fraction: float) -> None:
        share = f": {100 * fraction:.0f} %" if fraction >= 0 else ""
        if task != LOADING:
            self.get_logger().info(printable(f"{task}{share}"), throttle_duration_sec=PROGRESS_PERIOD_S)

    def _log_error(self, text: str) -> None:
        self.get_logger().error(printable(text))

    def _log_line(self, text: str) -> None:
        self.get_logger().info(printable(text))

    def _stop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
            return_freed_memory()

    def _queue_image(self, camera: Camera, message: Any) -> None:
        if worker := self._worker:
            worker.waiting.put(camera, message)

    def _check_decoder(self, config: NodeConfig) -> None:
        estimator = self._worker and self._worker.estimator
        if estimator and config.decoder != estimator.config.decoder:
            estimator.with_decoder(config.decoder)

    def _handle_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        self._update()
        response.success = True
        response.message = ("enabled" if self._enabled else "disabled") + f"; the node is {self.state}"
        return response

    def _update(self) -> None:
        """Update the subscriptions and publish diagnostics. Runs in the executor's thread."""
        self._events.report()
        for camera in self.cameras:
            camera.update(self.state == "active", self._enabled)
        self._transforms.update(self.config.depth.needs_transforms and any(each.wanted for each in self.cameras))
        self._health.publish_if_due(self._make_state, self.config.diagnostics)

    def _make_state(self) -> NodeState:
        worker = self._worker
        estimator = worker and worker.estimator
        state = self._describe_state(worker)
        if not estimator:
            return NodeState(state)
        runner = estimator.runner
        return NodeState(state, estimator.model_name, runner.description, runner.device, runtime_details(runner))

    def _describe_state(self, worker: Worker | None) -> str:
        if self._failure:
            return f"FAILED: {self._failure}"
        if worker and (estimator := worker.estimator) and estimator.runner.problem:
            return f"ERROR: {estimator.runner.problem}"
        if worker and not worker.loaded.is_set():
            task, fraction = worker.progress
            share = f" {100 * fraction:.0f} %" if fraction >= 0 else ""
            return "LOADING" if task == LOADING else f"BUILDING{share}: {task}"
        return "DISABLED" if self.state == "active" and not self._enabled else self.state.upper()
