"""The node: images in, people out."""

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
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.diagnostics import DiagnosticsPublisher, NodeState, particulars
from pose_ros.ros.node.transitions import Transitions
from pose_ros.ros.node.worker import LOADING, Worker
from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.parameters.live import LiveSettings
from pose_ros.runtime.runner import BuildProgress

UPDATE_S = 0.1
POLL_S = 0.05
PROGRESS_PERIOD_S = 10.0
LoadEstimator = Callable[[NodeConfig, BuildProgress, Callable[[str], None]], PoseEstimator]
TransitionCallback = Callable[["PoseEstimatorNode", LifecycleState], TransitionCallbackReturn]
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def load_estimator(config: NodeConfig, progress: BuildProgress, say: Callable[[str], None]) -> PoseEstimator:
    """Load the estimator that the parameters ask for."""
    return PoseEstimator.load(
        config.model or None,
        grouping=config.grouping or None,
        config=config.estimator,
        progress=progress,
        say=say,
    )


def told(transition: TransitionCallback) -> TransitionCallback:
    """A transition that says what went wrong in it; rclpy would not."""

    @functools.wraps(transition)
    def wrapped(node: PoseEstimatorNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.explain(f"{transition.__name__}: {describe_error(error)}")
            return TransitionCallbackReturn.ERROR

    return wrapped


class PoseEstimatorNode(LifecycleNode):
    """Publishes the people of the newest image of each camera; images that arrive meanwhile are dropped and counted.

    A managed node. ``configure`` reads the parameters, loads the model and warms it up. ``activate`` begins to
    receive and answer. ``deactivate`` stops, and gives the model and its GPU memory back: the next ``activate`` loads
    what was configured again. ``cleanup`` and ``shutdown`` leave nothing. With the parameter ``autostart`` it
    configures and activates itself.

    The executor's thread receives; a worker's thread loads, estimates and publishes; transitions have a thread of
    their own. So services, parameters and diagnostics are answered while a model loads.

    Attributes:
        cameras: One per camera.
        failed: Set when it should have started by itself, and could not.
    """

    def __init__(self, load: LoadEstimator = load_estimator, **node_options: Any) -> None:
        """Declare and advertise; with ``autostart``, begin to load.

        Args:
            load: Makes the estimator; runs in the worker thread.
            node_options: For ``rclpy.node.Node``.

        Raises:
            RuntimeError: If a quality of service in the parameters is none.
            ValueError: If a parameter is not valid.
        """
        Node.__init__(self, "pose_estimator", **node_options)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self.failed = threading.Event()
        self._closing = threading.Event()
        self._load = load
        self._worker: Worker | None = None
        self._enabled, self._failure = True, ""
        self._settings = LiveSettings(self, self._check, lambda: self.state not in ("unconfigured", "inactive"))
        self._configured = self._settings.config
        self.cameras = [Camera(self, name, self._settings, self._put) for name in self.config.cameras]
        self._health = DiagnosticsPublisher(self, self.cameras)
        self._transitions = Transitions(self, self._service_change_state, self._update)
        self.create_service(SetBool, "~/enable", self._enable)
        self.create_timer(UPDATE_S, self._update, clock=Clock(clock_type=ClockType.STEADY_TIME))
        if self.config.autostart:
            self._transitions.start(self._start_by_itself)

    @property
    def config(self) -> NodeConfig:
        """The parameters."""
        return self._settings.config

    @property
    def state(self) -> str:
        """Where it is in its lifecycle: ``"unconfigured"``, ``"configuring"``, ``"inactive"`` and so on."""
        return str(self._state_machine.current_state[1])

    @told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model that the parameters ask for."""
        self._configured = self.config
        return self._start_worker()

    @told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Receive and answer; load the model first if ``deactivate`` has given it back."""
        if self._worker is None and self._start_worker() != SUCCESS:
            return FAILURE
        topics = ", ".join(camera.topic for camera in self.cameras)
        lazily = ", once somebody listens" if self.config.lazy == "drop" else ""
        self.get_logger().info(f"ready: receiving images from {topics}{lazily}")
        return SUCCESS

    @told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer no more, and give the model back."""
        self._failure = ""
        self._stop_worker()
        return SUCCESS

    @told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model back."""
        return self.on_deactivate(state)

    @told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back. The process stays, and can only be ended."""
        return self.on_deactivate(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back: the node can be configured again. The diagnostics go on to say why."""
        self._stop_worker()
        return SUCCESS

    def explain(self, failure: str) -> None:
        """Say why it does not work, in the log and in the diagnostics."""
        self._failure = failure
        self.get_logger().fatal(failure)

    def close(self, timeout_s: float | None = None) -> bool:
        """Stop after the images in hand.

        Returns:
            Whether it stopped in time.
        """
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._closing.set()
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
        """Stop, and take the node off the graph."""
        self.close()
        super().destroy_node()

    def _start_by_itself(self) -> None:
        try:
            started = self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS
        except Exception as error:  # rclpy's own: the context may be gone by now
            started = False
            self._warn(f"could not start: {describe_error(error)}")
        if not (started or self._closing.is_set()):
            self.failed.set()

    def _start_worker(self) -> TransitionCallbackReturn:
        """Load a model, and wait for it."""
        self._failure = ""
        config = self.config.with_network_of(self._configured)
        model = config.model or "of this package"
        self.get_logger().info(f"loading the model {model}")
        say = self.get_logger().info
        worker = Worker(self.cameras, self._settings, lambda progress: self._load(config, progress, say), self._warn)
        self._worker = worker
        while not worker.loaded.wait(POLL_S):
            if self._closing.is_set():
                return FAILURE
            self._tell_progress(*worker.progress)
        if worker.error is not None:
            self._worker, self._failure, worker.error = None, describe_error(worker.error), None
            self.get_logger().fatal(f"the model {model} cannot be loaded: {self._failure}")
            return FAILURE
        try:
            self._check(self.config)  # it may have changed since
        except ValueError as error:
            self._stop_worker()
            self._failure = describe_error(error)
            self.get_logger().fatal(f"the model {model} does not go with the parameters: {self._failure}")
            return FAILURE
        if estimator := worker.estimator:
            runner = estimator.runner
            self.get_logger().info(f"loaded {estimator.model_name}: {runner.description}")
            if runner.reason:
                self.get_logger().info(f"runtime: {runner.reason}")
        return SUCCESS

    def _tell_progress(self, what: str, fraction: float) -> None:
        share = f": {100 * fraction:.0f} %" if fraction >= 0 else ""
        if what != LOADING:
            self.get_logger().info(f"{what}{share}", throttle_duration_sec=PROGRESS_PERIOD_S)

    def _warn(self, text: str) -> None:
        self.get_logger().error(text)

    def _stop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _put(self, camera: Camera, message: Any) -> None:
        if worker := self._worker:
            worker.waiting.put(camera, message)

    def _check(self, config: NodeConfig) -> None:
        estimator = self._worker and self._worker.estimator
        if estimator and config.decoder != estimator.config.decoder:
            estimator.with_decoder(config.decoder)

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        self._update()
        response.success = True
        response.message = ("enabled" if self._enabled else "disabled") + f"; the node is {self.state}"
        return response

    def _update(self) -> None:
        """Hold subscriptions to what is needed, and report; in the executor's thread."""
        for camera in self.cameras:
            camera.update(self.state == "active", self._enabled)
        self._health.publish_if_due(self._condition, self.config.diagnostics)

    def _condition(self) -> NodeState:
        worker = self._worker
        estimator = worker and worker.estimator
        state = self._state_in_words(worker)
        if not estimator:
            return NodeState(state)
        runner = estimator.runner
        return NodeState(state, estimator.model_name, runner.description, runner.device, particulars(runner))

    def _state_in_words(self, worker: Worker | None) -> str:
        if self._failure:
            return f"FAILED: {self._failure}"
        if worker and not worker.loaded.is_set():
            what, fraction = worker.progress
            share = f" {100 * fraction:.0f} %" if fraction >= 0 else ""
            return "LOADING" if what == LOADING else f"BUILDING{share}: {what}"
        return "DISABLED" if self.state == "active" and not self._enabled else self.state.upper()
