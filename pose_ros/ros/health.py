"""What the node publishes on ``/diagnostics``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile

from pose_ros.config import DiagnosticsConfig
from pose_ros.ros.camera import Camera, described
from pose_ros.ros.diagnostics import camera_status, runtime_status
from pose_ros.ros.outputs import OVERRIDABLE
from pose_ros.ros.peers import qos_events
from pose_ros.runtime.runner import Runner

_MIB = 2**20


@dataclass(frozen=True)
class Condition:
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
        return f"unknown: {described(error)}"
    return "{} of {} MiB".format(*(round(nbytes / _MIB) for nbytes in memory_bytes)) if memory_bytes else ""


class Health:
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

    def publish_if_due(self, ask: Callable[[], Condition], config: DiagnosticsConfig) -> None:
        """Ask and publish, unless the last time is less than ``period_s`` ago."""
        now_s = time.monotonic()
        if config.period_s > 0 and now_s - self._published_s >= config.period_s:
            self._published_s = now_s
            self._publisher.publish(self._report(ask(), config, now_s))

    def _report(self, condition: Condition, config: DiagnosticsConfig, now_s: float) -> DiagnosticArray:
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
