"""Settings of the node, including the settings of the library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pose_ros.config import (
    DecoderConfig,
    DepthConfig,
    DiagnosticsConfig,
    EstimatorConfig,
    MarkersConfig,
    OverlayConfig,
    PreprocessConfig,
    RefinementConfig,
    RegionsConfig,
    RuntimeConfig,
    SmoothingConfig,
    TrackingConfig,
    check_turns,
)
from pose_ros.fields import GROUPING_HEADS
from pose_ros.media.decoding import MAX_IMAGE_MB
from pose_ros.settings import CheckedSettings, setting
from pose_ros.texts import quote

CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
NEEDS_CONFIGURE = (
    "model",
    "grouping",
    "preprocess",
    "runtime",
    "refinement.model",
    "refinement.most_people",
    "regions",
)
"""Settings of the loaded networks. A change takes effect when the node is configured."""
NEEDS_RESTART = ("cameras", "image_transport", "autostart", "outputs", "depth.transport")
"""Settings of the topics and the startup. A change takes effect when the node is restarted."""
NAMESPACE = re.compile(r"(~/|/)?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class OutputsConfig(CheckedSettings):
    """Messages of other packages that the node publishes, in addition to its own."""

    pose_array: bool = setting(True, "Publish ~/pose_array (geometry_msgs/PoseArray). Needs depth.")
    vision_msgs: bool = setting(
        False, "Publish ~/detections_2d and ~/detections_3d (vision_msgs). The latter needs depth."
    )
    people_msgs: bool = setting(
        False, "Publish ~/people (people_msgs/People) for social layers. Needs depth and tracking."
    )
    hri: bool = setting(False, "Publish the bodies of REP-155 (hri_msgs) and their frames. Needs tracking.")
    hri_prefix: str = setting("/humans", "Namespace of REP-155. A relative name is in the namespace of the node.")
    tf: bool = setting(False, "Publish the frame of each body on /tf. Needs depth and tracking.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not NAMESPACE.fullmatch(self.hri_prefix):
            raise ValueError(
                f"outputs.hri_prefix: expected a namespace such as /humans, without / at its end, got "
                f"{quote(self.hri_prefix)}"
            )


def check_camera_names(names: Sequence[str]) -> None:
    """Check the names of several cameras.

    Raises:
        ValueError: If there is no name, a name cannot be part of a topic, or a name occurs twice.
    """
    if not (names and all(CAMERA_NAME.fullmatch(name) for name in names)):
        raise ValueError(
            f"cameras: expected names of letters, digits and _ that start with a letter, got {list(names)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"cameras: expected unique names, got {list(names)}")


@dataclass(frozen=True)
class NodeDepthConfig(DepthConfig):
    """Keypoints in metres, in the node."""

    transport: str = setting(
        "raw",
        "Transport of the depth images. compressedDepth: subscribe to /compressedDepth of the depth topic.",
        choices=("raw", "compressedDepth"),
    )
    target_frame: str = setting(
        "",
        "Frame of all results in metres, by tf2 at the stamp of the image. Velocities are relative to it. Empty = "
        "frame of the image.",
    )

    @property
    def needs_transforms(self) -> bool:
        """Whether results in metres are transformed to another frame."""
        return self.enabled and self.target_frame != ""


@dataclass(frozen=True)
class NodeConfig(CheckedSettings):
    """All settings of the node. A field of a nested class becomes the parameter ``stage.field``."""

    model: str = setting(
        "", "ONNX file of the network, or triton://HOST[:PORT]/MODEL on a server. Empty = the model of this package."
    )
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
        "inference, never: process them anyway. off means never.",
        choices=("drop", "keep", "never", "off"),
    )
    max_rate: float = setting(
        0.0,
        "Highest rate of processed images per camera. Further images are skipped. 0 = no limit.",
        unit="Hz",
        low=0.0,
        high=1000.0,
    )
    max_image_mb: float = setting(
        float(MAX_IMAGE_MB),
        "Limit of the memory for decoding one compressed image. Larger images are refused.",
        unit="MB",
        low=1.0,
        high=4000.0,
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
    depth: NodeDepthConfig = field(default_factory=NodeDepthConfig)
    regions: RegionsConfig = field(default_factory=RegionsConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    markers: MarkersConfig = field(default_factory=MarkersConfig)
    outputs: OutputsConfig = field(default_factory=OutputsConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_turns(self.preprocess, self.tracking)
        if self.cameras != ("",):
            check_camera_names(self.cameras)
        in_frames = {name.replace("/", "_") for name in self.cameras}
        if (self.outputs.tf or self.outputs.hri) and len(in_frames) < len(self.cameras):
            raise ValueError(
                f"cameras: expected names that differ when / becomes _ in frames, got {list(self.cameras)}"
            )

    @property
    def is_lazy(self) -> bool:
        """Whether images are processed only while an output has a subscriber."""
        return self.lazy not in ("never", "off")

    @property
    def estimator(self) -> EstimatorConfig:
        """Settings of the estimator. The batch size is at least the number of cameras."""
        runtime = replace(self.runtime, max_batch=min(64, max(self.runtime.max_batch, len(self.cameras))))
        depth = DepthConfig(**{entry.name: getattr(self.depth, entry.name) for entry in fields(DepthConfig)})
        stages = (
            self.preprocess,
            runtime,
            self.decoder,
            self.refinement,
            self.tracking,
            self.smoothing,
            depth,
            self.regions,
        )
        return EstimatorConfig(*stages)

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
