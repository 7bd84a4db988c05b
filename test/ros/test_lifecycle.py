"""Tests of the lifecycle: valid and invalid transitions, and models that cannot be loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from pose_ros.estimator import PoseEstimator
from pose_ros.ros.node.estimator_node import PoseEstimatorNode, load_estimator

NODE = "/pose_estimator"
LINGER_S = 1.0


class Loads:
    """Loads estimators and counts the open ones. The first ``failing`` loads fail. All loads wait for ``release``."""

    def __init__(self, failing: int = 0) -> None:
        self.failing = failing
        self.configs: list[Any] = []
        self.open = 0
        self.release: threading.Event | None = None
        self.threads: set[str] = set()

    def __call__(self, config: Any, progress: Any, notify: Any) -> PoseEstimator:
        self.configs.append(config)
        self.threads.add(threading.current_thread().name)
        if self.release is not None:
            progress("building an engine", 0.43)
            assert self.release.wait(120)
        if len(self.configs) <= self.failing:
            raise ValueError("model: expected a network, got none")
        estimator = load_estimator(config, progress, notify)
        close = estimator.runner.close
        estimator.runner.close = lambda: (close(), self._count(-1))[0]
        self._count(1)
        return estimator

    def _count(self, change: int) -> None:
        self.open += change


Change = Callable[..., bool]


@pytest.fixture
def change(call: Any) -> Change:
    """Return a function that requests a transition, by label or number, and returns whether it succeeded."""

    def change(label: str = "", number: int = 0) -> bool:
        transition = Transition(label=label, id=number)
        return bool(call(ChangeState, f"{NODE}/change_state", transition=transition).success)

    return change


@pytest.fixture
def state(call: Any) -> Callable[[], str]:
    """Return a function that requests the state."""
    return lambda: str(call(GetState, f"{NODE}/get_state").current_state.label)


def test_a_managed_node_does_not_start_by_itself(graph: Any, make_node: Any, make_camera: Any, state: Any) -> None:
    loads = Loads()
    make_node(loads, autostart=False)
    camera = make_camera()
    assert state() == "unconfigured"
    graph.until(lambda: graph.node.count_subscribers(camera.poses_topic) == 1, "the poses have a subscriber")
    assert (loads.configs, camera.publisher.get_subscription_count()) == ([], 0)


def test_the_whole_lifecycle(
    graph: Any, make_node: Any, make_camera: Any, change: Change, state: Any, paint: Any, image_message: Any
) -> None:
    loads = Loads()
    node = make_node(loads, autostart=False)
    camera = make_camera()
    for _ in range(2):
        assert change("configure") and state() == "inactive"
        assert loads.open == 1
        for _ in range(2):
            assert change("activate") and state() == "active"
            camera.connect()
            assert len(camera.ask(image_message(paint(20))).people) == 1
            assert change("deactivate") and state() == "inactive"
            assert loads.open == 0  # the GPU memory is released
            graph.until(lambda: camera.publisher.get_subscription_count() == 0, "the node unsubscribes")
        assert change("cleanup") and state() == "unconfigured"
    assert len(loads.configs) == 4  # each configure, and each activate after a deactivate
    assert loads.threads == {"pose_worker"}
    assert change("shutdown") and state() == "finalized"
    assert not node.failed.is_set()


@pytest.mark.parametrize("before", [[], ["configure"], ["configure", "activate"]], ids=" ".join)
def test_shutdown_from_every_state_releases_everything(make_node: Any, change: Change, state: Any, before: Any) -> None:
    loads = Loads()
    make_node(loads, autostart=False)
    assert all(change(label) for label in before)
    assert change("shutdown") and state() == "finalized"
    assert loads.open == 0


INVALID = {
    "unconfigured": ([], ["activate", "deactivate", "cleanup"]),
    "inactive": (["configure"], ["configure", "deactivate"]),
    "active": (["configure", "activate"], ["configure", "activate", "cleanup"]),
    "finalized": (["shutdown"], ["configure", "activate", "deactivate", "cleanup", "shutdown"]),
}


@pytest.mark.parametrize("where", INVALID)
def test_an_invalid_transition_is_refused_and_harmless(make_node: Any, change: Change, state: Any, where: str) -> None:
    before, refused = INVALID[where]
    make_node(Loads(), autostart=False)
    assert all(change(label) for label in before)
    for label in [*refused, "unknown transition", "destroy"]:
        assert not change(label), label
        assert state() == where
    for number in (255, 77, Transition.TRANSITION_CALLBACK_SUCCESS):  # rclpy raises on these
        assert not change(number=number), number
    numbers = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4, "shutdown": 5}
    for label in refused:
        assert not change(number=numbers[label]), label
    assert state() == where


def test_after_a_response_the_next_request_is_accepted(make_node: Any, change: Change, state: Any) -> None:
    """Test this also while the thread of the last request is slow to exit."""
    node = make_node(Loads(), autostart=False)
    end_signal = node._transitions._end_signal
    node._transitions._end_signal = SimpleNamespace(trigger=lambda: (end_signal.trigger(), time.sleep(LINGER_S)))
    assert all(change(label) for label in ("configure", "activate", "deactivate", "cleanup", "configure"))
    assert state() == "inactive"


def test_a_visible_state_can_be_left_at_once(
    graph: Any, make_node: Any, change: Change, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With autostart the node is active a moment before the transition has finished."""
    activate = PoseEstimatorNode.trigger_activate

    def activate_and_linger(node: PoseEstimatorNode) -> Any:
        result = activate(node)
        time.sleep(LINGER_S)
        return result

    monkeypatch.setattr(PoseEstimatorNode, "trigger_activate", activate_and_linger)
    make_node(Loads())
    graph.until(lambda: state() == "active", "it is active")
    assert change("deactivate") and state() == "inactive"


def test_after_a_failed_load_the_node_can_try_again(graph: Any, make_node: Any, change: Change, state: Any) -> None:
    loads = Loads(failing=1)
    node = make_node(loads, autostart=False)
    assert not change("configure") and state() == "unconfigured"
    assert not node.failed.is_set()  # a managed node stays
    assert change("configure") and state() == "inactive"
    assert change("activate") and change("deactivate")
    loads.failing = 3
    assert not change("activate") and state() == "inactive"
    assert change("activate") and state() == "active"


def test_transitions_are_logged(make_node: Any, change: Change, log: Any, graph: Any) -> None:
    make_node(Loads(), autostart=False)
    assert all(change(label) for label in ("configure", "activate", "deactivate", "cleanup"))
    lines = ("unconfigured -> inactive", "inactive -> active", "active -> inactive", "inactive -> unconfigured")
    for line in lines:
        graph.until(lambda line=line: len(log.find(line)) == 1, line)


def test_a_bond_with_the_manager_of_nav2(graph: Any, make_node: Any, change: Change) -> None:
    """The manager makes its bond on the same topic, with the name of the node."""
    pytest.importorskip("bondpy", reason="bondpy is not installed")
    from bondpy.bondpy import Bond

    make_node(Loads(), autostart=False)
    assert change("configure")
    manager = Bond(graph.node, "bond", "pose_estimator")
    manager.start()
    assert change("activate")
    graph.until(lambda: manager.sm.getState().getName() == "SM.Alive", "the bond is formed")
    assert change("deactivate")
    graph.until(manager.is_broken, "the bond is broken")
    manager.shutdown()


def test_an_error_in_a_transition_leads_back_to_unconfigured(
    graph: Any, make_node: Any, change: Change, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    node = make_node(Loads(), autostart=False, diagnostics__period_s=0.1)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    assert all(change(label) for label in ("configure", "activate", "deactivate"))
    with monkeypatch.context() as patch:
        patch.setattr(node, "_start_worker", lambda: 1 / 0)
        assert not change("activate")
    assert state() == "unconfigured" and node._worker is None
    failed = "FAILED: on_activate: ZeroDivisionError"
    graph.until(
        lambda: any(s.message.startswith(failed) for r in reports for s in r.status), "the diagnostics have the reason"
    )
    assert change("configure") and change("activate") and state() == "active"


def test_the_node_stays_responsive_while_a_model_loads(
    graph: Any, make_node: Any, change: Change, state: Any, call: Any
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    loads = Loads()
    loads.release = threading.Event()
    node = make_node(loads, autostart=False, diagnostics__period_s=0.1)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    client = graph.node.create_client(ChangeState, f"{NODE}/change_state")
    graph.until(client.service_is_ready, "the service is available")
    configured = client.call_async(ChangeState.Request(transition=Transition(label="configure")))
    graph.until(lambda: loads.configs, "the model loads")
    assert state() == "configuring"
    assert not change("activate") and not change("shutdown")  # one transition at a time
    threshold = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
    changes = [Parameter(name="decoder.score_threshold", value=threshold)]
    assert call(SetParameters, f"{NODE}/set_parameters", parameters=changes).results[0].successful
    building = lambda: any(s.message.startswith("BUILDING 43 %") for r in reports for s in r.status)  # noqa: E731
    graph.until(building, "the diagnostics show the progress")
    assert not configured.done()
    loads.release.set()
    graph.until(configured.done, "the transition ends")
    assert configured.result().success and state() == "inactive"
    assert node.config.decoder.score_threshold == 0.5


def test_settings_that_do_not_match_the_loaded_model_fail(
    graph: Any, make_node: Any, state: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_decoder(estimator: PoseEstimator, config: Any) -> PoseEstimator:
        if config.score_threshold == 0.5:
            raise ValueError("decoder: expected another threshold")
        return estimator

    monkeypatch.setattr(PoseEstimator, "with_decoder", with_decoder)
    loads = Loads()
    loads.release = threading.Event()
    make_node(loads, autostart=False)
    client = graph.node.create_client(ChangeState, f"{NODE}/change_state")
    graph.until(client.service_is_ready, "the service is available")
    configured = client.call_async(ChangeState.Request(transition=Transition(label="configure")))
    graph.until(lambda: loads.configs, "the model loads")
    threshold = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
    changes = [Parameter(name="decoder.score_threshold", value=threshold)]
    assert call(SetParameters, f"{NODE}/set_parameters", parameters=changes).results[0].successful
    loads.release.set()
    graph.until(configured.done, "the transition ends")
    assert not configured.result().success and state() == "unconfigured" and loads.open == 0


def test_a_model_that_does_not_match_is_released(make_node: Any, change: Change, state: Any) -> None:
    from pose_ros.runtime.onnx import OnnxRunner

    closed: list[OnnxRunner] = []

    def close(runner: OnnxRunner) -> None:
        closed.append(runner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxRunner, "close", close)
        make_node(autostart=False, grouping="personlab")
        assert not change("configure") and state() == "unconfigured"
    assert len(closed) == 1


def test_the_model_changes_when_the_node_is_configured_again(
    graph: Any, make_node: Any, make_camera: Any, change: Change, call: Any, paint: Any, image_message: Any
) -> None:
    loads = Loads()
    node: PoseEstimatorNode = make_node(loads)
    camera = make_camera()
    camera.connect()
    threads = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=1)
    parameters = [Parameter(name="runtime.threads", value=threads)]
    rejected = call(SetParameters, f"{NODE}/set_parameters", parameters=parameters).results[0]
    assert not rejected.successful and "deactivate" in rejected.reason
    assert change("deactivate")
    assert call(SetParameters, f"{NODE}/set_parameters", parameters=parameters).results[0].successful
    assert change("activate")
    assert loads.configs[-1].runtime.threads == 0  # the configured value
    assert all(change(label) for label in ("deactivate", "cleanup", "configure", "activate"))
    assert loads.configs[-1].runtime.threads == 1
    camera.connect()
    assert len(camera.ask(image_message(paint(20))).people) == 1
    assert node.state == "active"


def test_the_image_in_progress_is_processed_before_the_node_is_inactive(
    graph: Any, make_node: Any, make_camera: Any, slow: PoseEstimator, state: Any, paint: Any, image_message: Any
) -> None:
    make_node(lambda *_: slow)
    camera = make_camera()
    camera.connect()
    camera.send(image_message(paint(20)))
    graph.until(lambda: slow.runner.started == 1, "the network runs")
    client = graph.node.create_client(ChangeState, f"{NODE}/change_state")
    graph.until(client.service_is_ready, "the service is available")
    stopped = client.call_async(ChangeState.Request(transition=Transition(label="deactivate")))
    graph.until(lambda: state() == "deactivating", "it stops")
    assert not stopped.done() and not camera.answers
    slow.runner.release.release()
    graph.until(stopped.done, "it has stopped")
    assert stopped.result().success
    graph.until(lambda: camera.answers, "the image is processed")


def test_a_node_can_be_destroyed_while_its_model_loads(graph: Any, make_node: Any) -> None:
    loads = Loads()
    loads.release = threading.Event()
    node = make_node(loads)
    graph.until(lambda: loads.configs, "the model loads")
    assert not node.close(timeout_s=0.01)
    loads.release.set()
    assert node.close(timeout_s=120)
    assert not node.failed.is_set() and loads.open == 0
