"""Settings of the node, including the settings of the library."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from pose_ros.config import (
    DecoderConfig,
    DiagnosticsConfig,
    EstimatorConfig,
    MarkersConfig,
    OverlayConfig,
    PreprocessConfig,
    RefinementConfig,
    RuntimeConfig,
    SmoothingConfig,
    TrackingConfig,
)
from pose_ros.fields import GROUPING_HEADS
from pose_ros.settings import CheckedSettings, setting

CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
NEEDS_CONFIGURE = ("model", "grouping", "preprocess", "runtime", "refinement.model", "refinement.most_people")
"""Settings of the loaded networks. A change takes effect when the node is configured."""
NEEDS_RESTART = ("cameras", "image_transport", "autostart")
"""Settings of the topics and the startup. A change takes effect when the node is restarted."""


@dataclass(frozen=True)
class NodeConfig(CheckedSettings):
    """All settings of the node. A field of a nested class becomes the parameter ``stage.field``."""

    model: str = setting("", "ONNX file of the network. Empty = the model of this package.")
    grouping: str = setting(
        "",
        "Grouping of keypoints into people. Empty = preferred grouping of the model.",
        choices=("", *GROUPING_HEADS),
    )
    cameras: tuple[str, ...] = setting(
        ("",),
        "Names of several cameras that share one network, each the prefix of its topics. One empty name = a single "
        "camera without prefix.",
    )
    image_transport: str = setting(
        "raw",
        "Transport of the images. compressed: subscribe to /compressed of the image topic.",
        choices=("raw", "compressed"),
    )
    autostart: bool = setting(True, "Configure and activate at startup. false = wait for a lifecycle manager.")
    lazy: str = setting(
        "drop",
        "Behaviour while no output has a subscriber. drop: unsubscribe from the images, keep: receive them but skip "
        "inference, off: process them anyway.",
        choices=("drop", "keep", "off"),
    )
    max_rate: float = setting(
        0.0,
        "Highest rate of processed images per camera. Further images are skipped. 0 = no limit.",
        unit="Hz",
        low=0.0,
        high=1000.0,
    )
    watchdog_s: float = setting(
        5.0,
        "Time without an image before a warning with the probable cause. 0 = off.",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    jpeg_quality: int = setting(80, "JPEG quality of ~/overlay/compressed.", unit="%", low=1, high=100)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    markers: MarkersConfig = field(default_factory=MarkersConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.cameras
        is_single = names == ("",)
        if not is_single and not (names and all(CAMERA_NAME.fullmatch(name) for name in names)):
            raise ValueError(
                f"cameras: expected names of letters, digits and _ that start with a letter, got {list(names)}"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"cameras: expected unique names, got {list(names)}")

    @property
    def estimator(self) -> EstimatorConfig:
        """Settings of the estimator. The batch size is at least the number of cameras."""
        runtime = replace(self.runtime, max_batch=min(64, max(self.runtime.max_batch, len(self.cameras))))
        return EstimatorConfig(self.preprocess, runtime, self.decoder, self.refinement, self.tracking, self.smoothing)

    def with_network_of(self, other: NodeConfig) -> NodeConfig:
        """Copy these settings, with the network settings of another object."""
        result = self
        for name in NEEDS_CONFIGURE:
            result = _with_value_of(other, result, name)
        return result


def _with_value_of(source: Any, target: Any, name: str) -> Any:
    """Copy settings with the value of another object. A dot in the name separates levels."""
    first, _, rest = name.partition(".")
    value = getattr(source, first)
    return replace(target, **{first: _with_value_of(value, getattr(target, first), rest) if rest else value})
