"""Publish the health of the node on ``/diagnostics``."""

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
from pose_ros.ros.node.loss import describe_loss
from pose_ros.ros.node.statistics import WINDOW_S, CameraSnapshot
from pose_ros.ros.qos import OVERRIDABLE, qos_events
from pose_ros.runtime.runner import Runner
from pose_ros.texts import format_count, printable

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
    """Make the status of one camera: its level, and a message with the reasons.

    Args:
        name: Name of the status, such as ``"pose_estimator: front"``.
        snapshot: Statistics of the camera.
        state: State as in ``runtime_status``. Only an ``ACTIVE`` camera is compared with the thresholds. It is STALE
            until its first image arrives or is overdue.
        config: Thresholds.
        extra: Additional values, such as the resolved topic or the size of the images.
        hardware_id: Device that runs the network.
    """
    reasons = list(_find_problems(snapshot, config)) if _first_word(state) == ACTIVE else [(_level(state), state)]
    if not reasons and snapshot.received == 0:
        reasons = [(STALE, "waiting for the first image")]
    level = max((level for level, _ in reasons), default=OK)
    message = "; ".join(text for _, text in reasons) or _describe_rate(snapshot)
    values = {"state": state, **{key: _format_value(value) for key, value in asdict(snapshot).items()}, **(extra or {})}
    return _make_status(level, name, message, values, hardware_id)


def runtime_status(
    state: str,
    model: str,
    runtime: str,
    extra: Mapping[str, str] | None = None,
    hardware_id: str = "",
    name: str = "pose_estimator: runtime",
) -> DiagnosticStatus:
    """Make the status of the model and its runtime.

    Args:
        state: State as text. Its first word, in upper or lower case, decides the level. ``ERROR …`` and ``FAILED …``
            are errors. ``LOADING``, ``CONFIGURING``, ``ACTIVATING`` and ``BUILDING 43 %`` are warnings, because no
            image is processed yet. Every other state (``ACTIVE``, ``IDLE``, ``DISABLED``, ``INACTIVE``, …) is
            intended, and its level is OK.
        model: Name and hash of the model. Empty before it is loaded.
        runtime: Runtime of the model, and its engine.
        extra: Additional values, such as ``GPU memory``.
        hardware_id: Device that runs the network.
        name: Name of the status.
    """
    values = {"state": state, "model": model, "runtime": runtime, **(extra or {})}
    return _make_status(_level(state), name, state, values, hardware_id)


def _first_word(state: str) -> str:
    return state.upper().partition(" ")[0].rstrip(":")


def _level(state: str) -> bytes:
    return _LEVELS.get(_first_word(state), OK)


def _find_problems(now: CameraSnapshot, limits: DiagnosticsConfig) -> Iterator[_Reason]:
    age = f"no image for {now.image_age_s:.1f} s" if now.received else f"no image yet after {now.image_age_s:.1f} s"
    yield from _check_limits(now.image_age_s, limits.warn_age_s, limits.error_age_s, age)
    if now.image_age_s < limits.warn_age_s and now.answer_age_s >= limits.error_age_s:
        yield WARN, f"images arrive, but no poses were published for {now.answer_age_s:.1f} s"
    if now.broken_recent:
        yield WARN, f"{format_count(now.broken_recent, 'image')} failed in the last {WINDOW_S:g} s: see the log"
    if loss := describe_loss(now.lost_share, now.missing_share, limits.warn_lost):
        yield WARN, f"{loss}: see the log"
    latency = f"median latency {now.latency_median_ms:.0f} ms"
    yield from _check_limits(now.latency_median_ms, limits.warn_latency_ms, limits.error_latency_ms, latency)
    if now.dropped_share and now.dropped_share >= limits.warn_dropped:
        yield WARN, f"{now.dropped_share:.0%} of the images dropped: the network takes {now.network_ms:.0f} ms"


def _check_limits(value: float, warn: float, error: float, text: str) -> Iterator[_Reason]:
    """Compare a value with its limits. NaN never exceeds them."""
    if value >= error:
        yield ERROR, text
    elif value >= warn:
        yield WARN, text


def _describe_rate(now: CameraSnapshot) -> str:
    latency = "" if math.isnan(now.latency_median_ms) else f", latency {now.latency_median_ms:.0f} ms"
    return f"{now.answers_hz:.1f} of {now.images_hz:.1f} images per second processed{latency}"


def _format_value(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "unknown" if math.isnan(value) else f"{value:.2f}"


def _make_status(
    level: bytes, name: str, message: str, values: Mapping[str, str], hardware_id: str
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=printable(value)) for key, value in values.items()]
    texts = {"name": name, "message": message, "hardware_id": hardware_id}
    return DiagnosticStatus(level=level, values=pairs, **{key: printable(text) for key, text in texts.items()})


@dataclass(frozen=True)
class NodeState:
    """State of the node, its model and its runtime.

    Attributes:
        state: State as text, as in ``runtime_status``.
        model: Name and hash of the model. Empty before it is loaded.
        runtime: Runtime of the model.
        device: Device that runs the model.
        extra: Additional values, by name.
    """

    state: str
    model: str = ""
    runtime: str = ""
    device: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def runtime_details(runner: Runner) -> dict[str, str]:
    """Return details of a runtime, by name: why it was chosen, what it builds, the memory of its GPU."""
    details = {"reason": runner.reason, "engine": runner.state, "GPU memory": _describe_gpu_memory(runner)}
    return {name: text for name, text in details.items() if text}


def _describe_gpu_memory(runner: Runner) -> str:
    try:
        memory_bytes = runner.gpu_memory_bytes()
    except Exception as error:  # a missing number must not stop the diagnostics
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

    def publish_if_due(self, get_state: Callable[[], NodeState], config: DiagnosticsConfig) -> None:
        """Get the state and publish it, unless the last report is less than ``period_s`` old."""
        now_s = time.monotonic()
        if config.period_s > 0 and now_s - self._published_s >= config.period_s:
            self._published_s = now_s
            self._publisher.publish(self._make_report(get_state(), config, now_s))

    def _make_report(self, now: NodeState, config: DiagnosticsConfig, now_s: float) -> DiagnosticArray:
        name, device = self._node.get_fully_qualified_name().lstrip("/"), now.device
        report = DiagnosticArray()
        report.header.stamp = self._node.get_clock().now().to_msg()
        runtime = runtime_status(now.state, now.model, now.runtime, now.extra, device, f"{name}: runtime")
        report.status = [runtime]
        for camera in self._cameras:
            extra = {"topic": camera.topic, "image_size": "{} x {}".format(*camera.size_wh)}
            extra["watchdog"] = "no images" if camera.silent else "ok"
            snapshot = camera.statistics.snapshot(now_s)
            state = self._camera_state(camera, now.state)
            title = f"{name}: {camera.name or 'camera'}"
            report.status.append(camera_status(title, snapshot, state, config, extra, device))
        return report

    @staticmethod
    def _camera_state(camera: Camera, state: str) -> str:
        if state != "ACTIVE" or camera.wanted:
            return state
        return "IDLE: no subscriber" if camera.enabled else "DISABLED"
