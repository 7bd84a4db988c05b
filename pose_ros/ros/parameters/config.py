"""The settings of the node: those of the library's stages, and its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from pose_ros.config import (
    DecoderConfig,
    DiagnosticsConfig,
    EstimatorConfig,
    MarkersConfig,
    OverlayConfig,
    PreprocessConfig,
    RuntimeConfig,
    check_settings,
    setting,
)
from pose_ros.fields import GROUPING_HEADS

CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
IN_USE = ("model", "grouping", "preprocess", "runtime")
"""What the loaded network was made with: it changes when the node is configured."""
FIXED = ("cameras", "image_transport", "autostart")
"""What the topics of the node, and its start, were made with: it changes when the node is started anew."""


@dataclass(frozen=True)
class NodeConfig:
    """Everything that a user may set on the node; a field of a nested class becomes the parameter ``stage.field``."""

    model: str = setting("", "ONNX file of the network; empty takes the one that comes with the package.")
    grouping: str = setting(
        "", "How keypoints become people; empty takes the way that the model prefers.", choices=("", *GROUPING_HEADS)
    )
    cameras: tuple[str, ...] = setting(
        ("",),
        "Names of several cameras, which share one network: each has its topics under its name. One empty name is a "
        "single camera whose topics have no name in front.",
    )
    image_transport: str = setting(
        "raw", "How images come: compressed subscribes to the image topic's /compressed.", choices=("raw", "compressed")
    )
    autostart: bool = setting(True, "Configure and activate at the start; false waits for a lifecycle manager.")
    lazy: str = setting(
        "drop",
        "While nobody listens to the node: drop gives the images up, keep receives them but finds nobody in them, off "
        "works on.",
        choices=("drop", "keep", "off"),
    )
    max_rate: float = setting(
        0.0, "Most images per second of each camera; 0 is any. Others are skipped.", unit="Hz", low=0.0, high=1000.0
    )
    watchdog_s: float = setting(
        5.0, "Say why, when no image has come for so long; 0 is never.", unit="s", low=0.0, high=3600.0
    )
    jpeg_quality: int = setting(80, "Quality of ~/overlay/compressed.", unit="%", low=1, high=100)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    markers: MarkersConfig = field(default_factory=MarkersConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        check_settings(self)
        names = self.cameras
        is_single = names == ("",)
        if not is_single and not (names and all(CAMERA_NAME.fullmatch(name) for name in names)):
            raise ValueError(
                f"cameras: expected names of letters, digits and _ that begin with a letter, got {list(names)}"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"cameras: expected names that differ, got {list(names)}")

    @property
    def estimator(self) -> EstimatorConfig:
        """The settings of the library; a network for several cameras takes an image of each at once."""
        runtime = replace(self.runtime, max_batch=min(64, max(self.runtime.max_batch, len(self.cameras))))
        return EstimatorConfig(self.preprocess, runtime, self.decoder)

    def with_network_of(self, other: NodeConfig) -> NodeConfig:
        """These settings with those of another for the network."""
        return replace(self, **{name: getattr(other, name) for name in IN_USE})
