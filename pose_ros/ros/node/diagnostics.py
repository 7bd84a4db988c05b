"""What the node says about its health on ``/diagnostics``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSProfile

from pose_ros.config import DiagnosticsConfig
from pose_ros.ros.errors import describe_error
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.statistics import WINDOW_S, CameraSnapshot
from pose_ros.ros.qos import OVERRIDABLE, qos_events
from pose_ros.runtime.runner import Runner

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
_MIB = 2**20
ACTIVE = "ACTIVE"
_LEVELS = {"ERROR": ERROR, "FAILED": ERROR, **dict.fromkeys(["LOADING", "CONFIGURING", "ACTIVATING", "BUILDING"], WARN)}
_Reason = tuple[bytes, str]


def camera_status(
    name: str,
    snapshot: CameraSnapshot,
    state: str,
    config: DiagnosticsConfig,
    extra: Mapping[str, str] | None = None,
    hardware_id: str = "",
) -> DiagnosticStatus:
    """The status of one camera, its level and a message that says why.

    Args:
        name: Name of the status, such as ``"pose_estimator: front"``.
        snapshot: How the camera fares.
        state: As in ``runtime_status``. Only an ``ACTIVE`` camera is held against the thresholds: it is STALE until
            its first image comes or is overdue.
        config: The thresholds.
        extra: Further values, such as the resolved topic or the size of the images.
        hardware_id: The device that runs the network.
    """
    reasons = list(_complaints(snapshot, config)) if _word(state) == ACTIVE else [(_level(state), state)]
    if not reasons and snapshot.received == 0:
        reasons = [(STALE, "waiting for the first image")]
    level = max((level for level, _ in reasons), default=OK)
    message = "; ".join(text for _, text in reasons) or _in_words(snapshot)
    values = {"state": state, **{key: _text(value) for key, value in asdict(snapshot).items()}, **(extra or {})}
    return _status(level, name, message, values, hardware_id)


def runtime_status(
    state: str,
    model: str,
    runtime: str,
    extra: Mapping[str, str] | None = None,
    hardware_id: str = "",
    name: str = "pose_estimator: runtime",
) -> DiagnosticStatus:
    """The status of model and runtime.

    Args:
        state: In words; the first decides on the level, in any case. ``ERROR …`` and ``FAILED …`` are errors;
            ``LOADING``, ``CONFIGURING``, ``ACTIVATING`` and ``BUILDING 43 %`` warn that nothing is answered yet; every
            other state (``ACTIVE``, ``IDLE``, ``DISABLED``, ``INACTIVE``, …) is somebody's wish, and fine.
        model: Name and hash of the model; empty before it is loaded.
        runtime: What runs it, and its engine.
        extra: Further values, such as ``GPU memory``.
        hardware_id: The device that runs the network.
        name: Name of the status.
    """
    values = {"state": state, "model": model, "runtime": runtime, **(extra or {})}
    return _status(_level(state), name, state, values, hardware_id)


def _word(state: str) -> str:
    return state.upper().partition(" ")[0].rstrip(":")


def _level(state: str) -> bytes:
    return _LEVELS.get(_word(state), OK)


def _complaints(now: CameraSnapshot, limits: DiagnosticsConfig) -> Iterator[_Reason]:
    age = f"no image for {now.image_age_s:.1f} s" if now.received else f"no image yet, for {now.image_age_s:.1f} s"
    yield from _held_against(now.image_age_s, limits.warn_age_s, limits.error_age_s, age)
    if now.image_age_s < limits.warn_age_s and now.answer_age_s >= limits.error_age_s:
        yield WARN, f"images come, but none was answered for {now.answer_age_s:.1f} s"
    if now.broken_recent:
        yield WARN, f"{now.broken_recent} images of the last {WINDOW_S:g} s could not be answered: see the log"
    latency = f"median latency {now.latency_median_ms:.0f} ms"
    yield from _held_against(now.latency_median_ms, limits.warn_latency_ms, limits.error_latency_ms, latency)
    if now.dropped_share and now.dropped_share >= limits.warn_dropped:
        yield WARN, f"{now.dropped_share:.0%} of the images dropped: the network takes {now.network_ms:.0f} ms"


def _held_against(value: float, warn: float, error: float, text: str) -> Iterator[_Reason]:
    """NaN is never too much."""
    if value >= error:
        yield ERROR, text
    elif value >= warn:
        yield WARN, text


def _in_words(now: CameraSnapshot) -> str:
    latency = "" if math.isnan(now.latency_median_ms) else f", latency {now.latency_median_ms:.0f} ms"
    return f"{now.answers_hz:.1f} of {now.images_hz:.1f} images per second answered{latency}"


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "unknown" if math.isnan(value) else f"{value:.2f}"


def _status(level: bytes, name: str, message: str, values: Mapping[str, str], hardware_id: str) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware_id, values=pairs)


@dataclass(frozen=True)
class NodeState:
    """The node as a whole.

    Attributes:
        state: In words.
        model: Its name and hash; empty before it is loaded.
        runtime: What runs it.
        device: Where that is.
        extra: What else there is to know.
    """

    state: str
    model: str = ""
    runtime: str = ""
    device: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def particulars(runner: Runner) -> dict[str, str]:
    """What else there is to know of a runtime, by its name: why it was taken, what it builds, the memory of its GPU."""
    known = {"reason": runner.reason, "engine": runner.state, "GPU memory": _gpu_memory_in_words(runner)}
    return {name: text for name, text in known.items() if text}


def _gpu_memory_in_words(runner: Runner) -> str:
    try:
        memory_bytes = runner.gpu_memory_bytes()
    except Exception as error:  # nobody's work depends on it
        return f"unknown: {describe_error(error)}"
    return "{} of {} MiB".format(*(round(nbytes / _MIB) for nbytes in memory_bytes)) if memory_bytes else ""


class DiagnosticsPublisher:
    """Publishes the state of the node and of each camera, one status each."""

    def __init__(self, node: Node, cameras: Sequence[Camera]) -> None:
        self._node, self._cameras = node, cameras
        self._publisher = node.create_publisher(
            DiagnosticArray,
            "/diagnostics",
            QoSProfile(depth=10),
            qos_overriding_options=OVERRIDABLE,
            event_callbacks=qos_events(node, "/diagnostics", node.get_logger().warning, is_publisher=True),
        )
        self._published_s = 0.0

    def publish_if_due(self, ask: Callable[[], NodeState], config: DiagnosticsConfig) -> None:
        """Ask and publish, unless the last time is less than ``period_s`` ago."""
        now_s = time.monotonic()
        if config.period_s > 0 and now_s - self._published_s >= config.period_s:
            self._published_s = now_s
            self._publisher.publish(self._report(ask(), config, now_s))

    def _report(self, condition: NodeState, config: DiagnosticsConfig, now_s: float) -> DiagnosticArray:
        name, device = self._node.get_fully_qualified_name().lstrip("/"), condition.device
        report = DiagnosticArray()
        report.header.stamp = self._node.get_clock().now().to_msg()
        runtime = runtime_status(
            condition.state, condition.model, condition.runtime, condition.extra, device, f"{name}: runtime"
        )
        report.status = [runtime]
        for camera in self._cameras:
            extra = {"topic": camera.topic, "image_size": "{} x {}".format(*camera.size_wh)}
            extra["watchdog"] = "misses images" if camera.silent else "quiet"
            snapshot = camera.statistics.snapshot(now_s)
            state = self._camera_state(camera, condition.state)
            title = f"{name}: {camera.name or 'camera'}"
            report.status.append(camera_status(title, snapshot, state, config, extra, device))
        return report

    @staticmethod
    def _camera_state(camera: Camera, state: str) -> str:
        if state != "ACTIVE" or camera.wanted:
            return state
        return "IDLE: nobody listens" if camera.enabled else "DISABLED"
