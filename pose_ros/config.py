"""Settings of every stage, as frozen data: the only place that holds defaults.

A field has the same name here, as a ROS parameter (``decoder.score_threshold``), in YAML and on the command line.
Its description, unit and range travel with it, so that parameters, help texts and documents are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that describes itself."""
    return field(default=default, metadata={"help": help, "unit": unit, "low": low, "high": high, "choices": choices})


def check_settings(config: Any) -> None:
    """Hold every field of a settings object against its own type, range and choices.

    Raises:
        TypeError: If a value has another type than the default.
        ValueError: If a value lies outside its range or choices.
    """
    for entry in fields(config):
        if "help" not in entry.metadata:
            continue
        name, value = f"{type(config).__name__}.{entry.name}", getattr(config, entry.name)
        wanted: type = type(entry.default)
        if not isinstance(value, (int, float) if wanted is float else wanted) or (
            isinstance(value, bool) and wanted is not bool
        ):
            raise TypeError(f"{name}: expected {wanted.__name__}, got {type(value).__name__} {value!r}")
        choices, low, high = entry.metadata["choices"], entry.metadata["low"], entry.metadata["high"]
        if choices and value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(c or repr(c) for c in choices)}, got {value!r}")
        if low is not None and not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, got {value}")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image is brought to the network's input size."""

    short_side: int = setting(
        0, "Shorter side of the network input; 0 takes the model's own.", unit="px", low=0, high=4096
    )
    max_long_side: int = setting(
        1312, "Longest allowed side of the network input, against extreme aspect ratios.", unit="px", low=32, high=8192
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class RuntimeConfig:
    """What runs the network."""

    backend: str = setting(
        "auto",
        "Runtime of the network; auto takes the fastest that works here for the file: for an ONNX file tensorrt, then "
        "onnx with CUDA, then openvino, then onnx on the CPU; for a checkpoint torch.",
        choices=("auto", "tensorrt", "onnx", "openvino", "torch"),
    )
    device: str = setting(
        "auto",
        "Where the network runs: cuda is an NVIDIA GPU, gpu and npu are Intel's, for openvino. auto takes what the "
        "runtime does best on; torch then takes the CPU.",
        choices=("auto", "cpu", "cuda", "gpu", "npu"),
    )
    gpu: int = setting(0, "Which of several NVIDIA GPUs.", low=0, high=63)
    provider: str = setting(
        "auto",
        "Execution provider of onnx; auto takes cuda where the device is cuda, and cpu elsewhere.",
        choices=("auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"),
    )
    precision: str = setting(
        "auto",
        "Arithmetic of the network; auto is the model's own. Other than that: tensorrt 8 fp16; openvino fp32, bf16, "
        "fp16; torch on cuda fp16.",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    threads: int = setting(0, "Threads of the network; 0 lets the runtime choose.", low=0, high=256)
    warm_up: bool = setting(True, "Run the network once on an empty image when it is loaded.")
    cache: str = setting("", "Folder of built engines; empty is pose_ros/engines in the user's cache folder.")
    least_size: str = setting("128x128", "tensorrt: smallest input that an engine takes, height x width.", unit="px")
    best_size: str = setting(
        "432x768",
        "tensorrt: the input that an engine is fastest at; openvino on an NPU: the only one, rounded up.",
        unit="px",
    )
    most_size: str = setting("1312x1312", "tensorrt: largest input that an engine takes.", unit="px")
    max_batch: int = setting(
        1, "Most images of one run, of several cameras; an engine of tensorrt is built for as many.", low=1, high=64
    )
    optimisation: int = setting(3, "tensorrt: how long a build looks for the fastest kernels.", low=0, high=5)
    workspace_mb: int = setting(
        0, "tensorrt: most memory that a build may try; 0 is any.", unit="MB", low=0, high=1_000_000
    )
    cuda_graph: bool = setting(True, "tensorrt: record each input shape once and replay it as a whole.")
    while_building: str = setting(
        "wait", "tensorrt: what answers until a new engine is built.", choices=("wait", "onnx")
    )

    def __post_init__(self) -> None:
        check_settings(self)
        least, best, most = (self.size_hw(name) for name in ("least", "best", "most"))
        if not all(low <= mid <= high for low, mid, high in zip(least, best, most, strict=True)):
            raise ValueError(
                f"RuntimeConfig: expected least_size <= best_size <= most_size, got {self.least_size}, "
                f"{self.best_size}, {self.most_size}"
            )

    def size_hw(self, which: str) -> tuple[int, int]:
        """Height and width, in px, of the ``"least"``, ``"best"`` or ``"most"`` size."""
        text = getattr(self, f"{which}_size")
        height, separator, width = text.partition("x")
        if not (separator and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            raise ValueError(f"RuntimeConfig.{which}_size: expected HEIGHTxWIDTH, such as 432x768, got {text!r}")
        return int(height), int(width)


@dataclass(frozen=True)
class DecoderConfig:
    """How fields become people. Distances are in field cells."""

    score_threshold: float = setting(0.07, "Lowest heatmap value of a keypoint.", low=0.0, high=1.0)
    max_peaks: int = setting(
        100, "Most keypoints of one kind; the strongest are kept. A decode front may find fewer.", low=1, high=1000
    )
    subpixel: str = setting(
        "quadratic",
        "Refinement of keypoints between field cells.",
        choices=("none", "quarter", "centroid", "quadratic", "dark"),
    )
    dark_kernel: int = setting(11, "Width of the blur of subpixel dark, odd; 1 is none.", unit="cells", low=1, high=31)
    paf_threshold: float = setting(0.05, "Lowest field value along a limb.", low=0.0, high=1.0)
    paf_fraction: float = setting(0.8, "Share of a limb's samples that reach paf_threshold.", low=0.0, high=1.0)
    matching: str = setting(
        "greedy", "How the links between keypoints are chosen from the PAFs.", choices=("greedy", "hungarian", "global")
    )
    tag_threshold: float = setting(
        1.0, "Tags: a keypoint joins a person whose tag is nearer than this.", low=0.001, high=100.0
    )
    tag_spatial: bool = setting(
        False, "Tags: stretch their distance by that in the image: better where tags are close, worse in noise."
    )
    complete: bool = setting(
        False, "Tags: look for missing keypoints on the whole map. It guesses: hidden keypoints get a place, too."
    )
    centre_threshold: float = setting(0.3, "CenterNet: lowest centre value of a person.", low=0.0, high=1.0)
    snap_threshold: float = setting(
        0.1, "CenterNet: lowest value of a heatmap's peak that keypoints move to.", low=0.0, high=1.0
    )
    snap_distance: float = setting(
        0.3,
        "CenterNet: how far a keypoint moves to a peak at most, relative to its person's longer side.",
        low=0.0,
        high=1.0,
    )
    half_cell: bool = setting(
        True,
        "CenterNet: without offset heads, points lie half a cell beyond their cell, as training rounded them down; "
        "false for models whose training did not: subpixel refines the heatmaps.",
    )
    soft_argmax: float = setting(
        0.0,
        "Single: place keypoints by the mean over the map, weighted by exp(this times the value); 0 takes the maximum.",
        low=0.0,
        high=1000.0,
    )
    hough_radius: float = setting(
        0.0,
        "PersonLab: radius of the disks that the heatmaps show; people then begin where the offsets of many cells "
        "meet (Hough voting). 0 begins them at the heatmaps' peaks.",
        unit="px",
        low=0.0,
        high=1000.0,
    )
    refinement_steps: int = setting(
        5, "PersonLab: how often the end of a long offset is corrected by the offset found there.", low=0, high=20
    )
    nms_radius: float = setting(
        10.0,
        "PersonLab: keypoints of one kind nearer than this are the same, and count for the better person only.",
        unit="px",
        low=0.0,
        high=1000.0,
    )
    mask_threshold: float = setting(
        0.5, "PersonLab: lowest segmentation value of a cell that shows a person.", low=0.0, high=1.0
    )
    mask_distance: float = setting(
        0.25,
        "PersonLab: how far the keypoints that a cell points at are from its person's, relative to the person's size.",
        low=0.0,
        high=100.0,
    )
    max_stretch: float = setting(
        2.5, "Longest limb, relative to what the person's other limbs let expect; 0 is any.", low=0.0, high=100.0
    )
    min_keypoints: int = setting(3, "Fewest keypoints of a person.", low=1, high=100)
    min_person_score: float = setting(0.05, "Lowest score of a person.", low=0.0, high=1.0)
    duplicate_oks: float = setting(
        0.7, "Two people more alike than this are one, and the worse is dropped; 1 keeps both.", low=0.0, high=1.0
    )
    max_people: int = setting(100, "Most people of one image; the best are kept.", low=1, high=1000)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.dark_kernel % 2 == 0:
            raise ValueError(f"DecoderConfig.dark_kernel: expected an odd number, got {self.dark_kernel}")


@dataclass(frozen=True)
class OverlayConfig:
    """How skeletons are drawn."""

    score_threshold: float = setting(0.05, "Lowest score of a drawn keypoint.", low=0.0, high=1.0)
    thickness: float = setting(1.0, "Line width, relative to the one fitted to the image.", low=0.1, high=10.0)
    boxes: bool = setting(False, "Draw the box of each person.")
    ids: bool = setting(False, "Write id and score beside each person.")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class MarkersConfig:
    """How people are shown in rviz."""

    RENAMED: ClassVar[Mapping[str, str]] = {"joint_m": "keypoint_m", "bone_m": "limb_m"}
    score_threshold: float = setting(0.05, "Lowest score of a shown keypoint.", low=0.0, high=1.0)
    colour: str = setting(
        "side", "Colours: left, right and middle of the body, or one for each person.", choices=("side", "person")
    )
    keypoint_m: float = setting(0.03, "Diameter of a keypoint.", unit="m", low=0.001, high=1.0)
    limb_m: float = setting(0.015, "Thickness of a limb.", unit="m", low=0.001, high=1.0)
    plane_m: float = setting(
        1.0,
        "Without depth: distance of the image plane from the camera. It is as wide as it is far, unless camera_info "
        "tells the angle of view.",
        unit="m",
        low=0.01,
        high=100.0,
    )
    lifetime_s: float = setting(1.0, "How long people stay when no image follows.", unit="s", low=0.0, high=60.0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class DiagnosticsConfig:
    """When the node complains about itself."""

    period_s: float = setting(1.0, "Seconds between reports; 0 is never.", unit="s", low=0.0, high=60.0)
    warn_age_s: float = setting(3.0, "An image this old is a warning.", unit="s", low=0.0, high=3600.0)
    error_age_s: float = setting(30.0, "An image this old is an error.", unit="s", low=0.0, high=3600.0)
    warn_latency_ms: float = setting(
        200.0, "A median latency this long is a warning.", unit="ms", low=0.0, high=100_000.0
    )
    error_latency_ms: float = setting(
        1000.0, "A median latency this long is an error.", unit="ms", low=0.0, high=100_000.0
    )
    warn_dropped: float = setting(0.5, "A share of dropped images this high is a warning.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class EstimatorConfig:
    """The settings of all stages between an image and its people."""

    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
