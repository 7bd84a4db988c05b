"""Settings of every stage as frozen dataclasses. All default values are defined here.

A field has the same name here, as a ROS parameter (``decoder.score_threshold``), in YAML and on the command line.
It carries its description, unit and range. ROS parameters, help texts and documents are generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pose_ros.settings import CheckedSettings, setting

LARGEST_SIDE = 8192
"""Largest side of a network input, px."""
MAX_SCALES = 8
AUTO = -1
"""Value of ``short_side`` for ``auto``."""
NOT_ANONYMISED = "none"
"""Value of ``overlay.anonymise`` that changes nothing."""


@dataclass(frozen=True)
class PreprocessConfig(CheckedSettings):
    """Resizing of images to the network input."""

    short_side: int = setting(
        0,
        "Shorter side of the network input. 0 = preferred size of the model. auto (-1) = one of scales for each image, "
        "by the people of the last seconds.",
        unit="px",
        low=AUTO,
        high=4096,
        words={"auto": AUTO},
    )
    scales: tuple[int, ...] = setting(
        (0,),
        "Shorter sides of several runs per image, whose people are merged, such as [256, 448]. Slower, more accurate. "
        "[0] = one run, at short_side. With short_side auto: the sizes to choose from, [0] = 0.5 to 2 times the "
        "preferred size.",
        unit="px",
    )
    scale_order: str = setting(
        "together",
        "Order of scales: all of them on each image, or one per image, in turn. alternate needs tracking.",
        choices=("together", "alternate"),
    )
    max_long_side: int = setting(
        0,
        "Longest side of the network input. Limits extreme aspect ratios. 0 = 1312, or 8192 if short_side is set.",
        unit="px",
        low=0,
        high=LARGEST_SIDE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.max_long_side < 32:
            raise ValueError(
                f"PreprocessConfig.max_long_side: expected 0 or 32 to {LARGEST_SIDE}, got {self.max_long_side}"
            )

        is_single = self.scales == (0,)
        if not is_single and not (self.scales and all(1 <= side <= 4096 for side in self.scales)):
            raise ValueError(f"PreprocessConfig.scales: expected sides of 1 to 4096 px, got {list(self.scales)}")
        if len(set(self.scales)) < len(self.scales) or len(self.scales) > MAX_SCALES:
            raise ValueError(
                f"PreprocessConfig.scales: expected at most {MAX_SCALES} different sides, got {list(self.scales)}"
            )
        if self.scale_order == "alternate" and (is_single or self.short_side == AUTO):
            got = "short_side auto" if self.short_side == AUTO else f"scales {list(self.scales)}"
            raise ValueError(
                f"PreprocessConfig.scale_order: expected together with one run per image, got alternate with {got}; "
                "set two scales and no short_side"
            )

    @property
    def long_side(self) -> int:
        """Longest side of the network input, px. A short side that the user asks for is not cut by a default."""
        return self.max_long_side or (LARGEST_SIDE if self.short_side > 0 else 1312)

    def views(self, sides: tuple[int, ...] = ()) -> tuple[PreprocessConfig, ...]:
        """Return the settings of each input size: these, or one for each of ``scales``.

        Args:
            sides: Sizes that ``short_side: auto`` chooses from if ``scales`` names none, px.
        """
        if self.short_side == AUTO:
            # A size that the user has not asked for stays within the default limit
            one = replace(self, short_side=0, scales=(0,), max_long_side=self.long_side)
            named = sides if self.scales == (0,) else self.scales
            return tuple(replace(one, short_side=side) for side in named) or (one,)
        if self.scales == (0,):
            return (self,)
        return tuple(replace(self, short_side=side, scales=(0,), scale_order="together") for side in self.scales)


@dataclass(frozen=True)
class RuntimeConfig(CheckedSettings):
    """Runtime and device of the network."""

    backend: str = setting(
        "auto",
        "Runtime of the network. auto = first that works: tensorrt, onnx with CUDA, openvino, onnx on the CPU. "
        "For a checkpoint, auto = torch. For an address triton://..., auto = triton.",
        choices=("auto", "tensorrt", "onnx", "openvino", "torch", "triton"),
    )
    device: str = setting(
        "auto",
        "Device of the network. cuda = NVIDIA GPU, gpu and npu = Intel devices of openvino. "
        "auto = best device of the runtime, cpu for torch.",
        choices=("auto", "cpu", "cuda", "gpu", "npu"),
    )
    gpu: int = setting(0, "Index of the NVIDIA GPU.", low=0, high=63)
    provider: str = setting(
        "auto",
        "onnx: execution provider. auto = cuda if the device is cuda, else cpu.",
        choices=("auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"),
    )
    precision: str = setting(
        "auto",
        "Numeric precision. auto = precision of the model. Other values: fp16 for tensorrt 8 and torch on cuda, "
        "any for openvino.",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    threads: int = setting(0, "CPU threads of the network. 0 = physical cores of the process.", low=0, high=256)
    warm_up: bool = setting(True, "Run the network once on an empty image after loading.")
    cache: str = setting("", "Folder of built engines. Empty = pose_ros/engines in the user's cache folder.")
    least_size: str = setting("128x128", "tensorrt: smallest input of an engine, height x width.", unit="px")
    best_size: str = setting(
        "352x640",
        "tensorrt: input that an engine is optimised for. openvino on an NPU: the only input size, rounded up.",
        unit="px",
    )
    most_size: str = setting("1312x1312", "tensorrt: largest input of an engine, height x width.", unit="px")
    max_batch: int = setting(
        1, "Most images per run, from several cameras. tensorrt builds engines for this batch size.", low=1, high=64
    )
    optimisation: int = setting(
        3, "tensorrt: builder optimisation level. Higher levels search longer for fast kernels.", low=0, high=5
    )
    workspace_mb: int = setting(
        0, "tensorrt: most memory that one kernel may try in a build. 0 = no limit.", unit="MB", low=0, high=1_000_000
    )
    cuda_graph: bool = setting(True, "tensorrt: record a CUDA graph per input shape and replay it.")
    while_building: str = setting(
        "wait", "tensorrt: wait for an engine build, or run onnx until it is done.", choices=("wait", "onnx")
    )
    connect_timeout_s: float = setting(
        30.0, "triton: longest wait for the server at the start.", unit="s", low=0.0, high=86_400.0
    )
    request_timeout_ms: float = setting(
        1000.0, "triton: longest wait for the result of one run.", unit="ms", low=1.0, high=600_000.0
    )
    shared_memory: bool = setting(
        True, "triton: pass images to a server on this machine through shared memory, if it can read that."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        least, best, most = (self.size_hw(name) for name in ("least", "best", "most"))
        if not all(low <= mid <= high for low, mid, high in zip(least, best, most, strict=True)):
            raise ValueError(
                f"RuntimeConfig: expected least_size <= best_size <= most_size, got {self.least_size}, "
                f"{self.best_size}, {self.most_size}"
            )

    def size_hw(self, which: str) -> tuple[int, int]:
        """Return height and width of one of the input sizes, px.

        Args:
            which: ``"least"``, ``"best"`` or ``"most"``.

        Raises:
            ValueError: If the text of the size is not HEIGHTxWIDTH.
        """
        text = getattr(self, f"{which}_size")
        height, separator, width = text.partition("x")
        if not (separator and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            raise ValueError(f"RuntimeConfig.{which}_size: expected HEIGHTxWIDTH, such as 352x640, got {text!r}")
        return int(height), int(width)


@dataclass(frozen=True)
class DecoderConfig(CheckedSettings):
    """Grouping of keypoints into people. Distances are in field cells unless a unit is given."""

    score_threshold: float = setting(
        0.0, "Lowest heatmap value of a keypoint. 0 = the value in the description of the model.", low=0.0, high=1.0
    )
    with_centres: bool = setting(
        True, "PAF, tags: take keypoints from the centre of a person where they are more certain. For models with both."
    )
    max_peaks: int = setting(
        0,
        "Most keypoints of one type. The strongest are kept. A decode front may find fewer. In noise: at most about "
        "300 of each type, and 300 centres. 0 = 100, or max_people if it is larger.",
        low=0,
        high=1000,
    )
    subpixel: str = setting(
        "auto",
        "Refinement of keypoint positions between field cells. offsets = those of the network. "
        "auto = offsets if the model has them, else quadratic.",
        choices=("auto", "none", "quarter", "centroid", "quadratic", "dark", "offsets"),
    )
    dark_kernel: int = setting(
        11, "Width of the blur of subpixel dark, an odd number. 1 = no blur.", unit="cells", low=1, high=31
    )
    paf_threshold: float = setting(0.05, "Lowest PAF value along a limb.", low=0.0, high=1.0)
    paf_fraction: float = setting(0.8, "Share of a limb's samples that must reach paf_threshold.", low=0.0, high=1.0)
    matching: str = setting(
        "greedy",
        "PAF: selection of the links between keypoints. PAF, tags: partition = lowest cost of all people together, "
        "slow, needs SciPy.",
        choices=("greedy", "hungarian", "global", "partition"),
    )
    partition_ms: float = setting(
        200.0,
        "Matching partition: time limit per image. Groups of keypoints that are not solved in time keep the greedy "
        "result. 0 = no limit.",
        unit="ms",
        low=0.0,
        high=60_000.0,
    )
    tag_threshold: float = setting(
        1.0, "Tags: largest tag distance between a keypoint and its person.", low=0.001, high=100.0
    )
    tag_spatial: bool = setting(
        False, "Tags: scale tag distances by image distances. Better for similar tags, worse in noise."
    )
    complete: bool = setting(
        False, "Tags: search the whole heatmap for missing keypoints. Hidden keypoints get a guessed position."
    )
    centre_threshold: float = setting(0.1, "CenterNet: lowest centre value of a person.", low=0.0, high=1.0)
    snap_threshold: float = setting(
        0.1, "CenterNet: lowest heatmap value of a peak that keypoints snap to.", low=0.0, high=1.0
    )
    snap_distance: float = setting(
        0.3,
        "CenterNet: longest snap of a keypoint, relative to the longer side of the person's box.",
        low=0.0,
        high=1.0,
    )
    half_cell: bool = setting(
        True,
        "CenterNet without offset heads: add half a cell, for models trained with positions rounded down. "
        "false = refine with subpixel instead.",
    )
    soft_argmax: float = setting(
        0.0,
        "Single: place keypoints at the mean weighted by exp(soft_argmax * heatmap). 0 = off, use the maximum.",
        low=0.0,
        high=1000.0,
    )
    hough_radius: float = setting(
        0.0,
        "PersonLab: radius of the heatmap disks, for seeds found by Hough voting. 0 = off, seeds are heatmap peaks.",
        unit="px",
        low=0.0,
        high=1000.0,
    )
    refinement_steps: int = setting(
        5, "PersonLab: most corrections of an offset by the short offset at its end. 0 = off.", low=0, high=20
    )
    nms_radius: float = setting(
        10.0,
        "PersonLab: two keypoints of one type within this distance count for the better person only.",
        unit="px",
        low=0.0,
        high=1000.0,
    )
    masks: bool = setting(True, "PersonLab: find the mask of each person, if the model has the fields for it.")
    mask_threshold: float = setting(0.5, "PersonLab: lowest segmentation value of a person's cell.", low=0.0, high=1.0)
    mask_distance: float = setting(
        0.25,
        "PersonLab: largest mean error of the keypoints that a mask cell points at, relative to the person's size.",
        low=0.0,
        high=100.0,
    )
    max_stretch: float = setting(
        2.5, "Longest limb, relative to the length predicted from the other limbs. 0 = no limit.", low=0.0, high=100.0
    )
    min_keypoints: int = setting(3, "Fewest keypoints of a person.", low=1, high=100)
    min_person_score: float = setting(0.05, "Lowest score of a person.", low=0.0, high=1.0)
    duplicate_oks: float = setting(
        0.7, "Not tag, single: OKS above which the worse of two people is dropped. 1 = off.", low=0.0, high=1.0
    )
    max_people: int = setting(
        0,
        "Most people per image. The best are kept. 0 = 100, or max_peaks if it is larger.",
        low=0,
        high=1000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dark_kernel % 2 == 0:
            raise ValueError(f"DecoderConfig.dark_kernel: expected an odd number, got {self.dark_kernel}")

    @property
    def most_people(self) -> int:
        """Most people per image."""
        return self.max_people or max(100, self.max_peaks)

    @property
    def most_peaks(self) -> int:
        """Most keypoints of one type."""
        return self.max_peaks or max(100, self.max_people)


@dataclass(frozen=True)
class RefinementConfig(CheckedSettings):
    """Second network that refines the keypoints of each person on a crop."""

    PATHS: ClassVar[tuple[str, ...]] = ("model",)
    model: str = setting("", "Network for one person: ONNX file or checkpoint, such as MoveNet Thunder. Empty = off.")
    most_people: int = setting(
        20, "Most people that are refined in an image, the largest first. They are one batch.", low=1, high=64
    )
    min_person_px: float = setting(
        32.0,
        "Smallest person that is refined: longer side of the box of the keypoints.",
        unit="px",
        low=0.0,
        high=4096.0,
    )
    period: int = setting(
        1, "Each person is refined in every n-th image, and unchanged between. 1 = in each image.", low=1, high=1000
    )
    budget_ms: float = setting(
        0.0,
        "Time for the people of an image. The largest are refined first, at least one. 0 = no limit.",
        unit="ms",
        low=0.0,
        high=10_000.0,
    )
    rotate: bool = setting(
        False, "Turn each crop so that the torso is upright. For people who lie, and for turned cameras."
    )


@dataclass(frozen=True)
class TrackingConfig(CheckedSettings):
    """Settings of the ids of people."""

    enabled: bool = setting(True, "Give people ids that stay the same over images.")
    hits: int = setting(3, "Images in which a person must be seen before it gets an id.", low=1, high=100)
    lost_s: float = setting(
        3.0, "Time after which a person who is not seen loses the id.", unit="s", low=0.0, high=60.0
    )
    strong_score: float = setting(
        0.2,
        "Score of a person from which a new track starts. Weaker detections only continue existing tracks.",
        low=0.0,
        high=1.0,
    )
    bridge_s: float = setting(
        0.0,
        "Time for which a person who is not seen stays in the result, at the predicted place with state LOST. 0 = off.",
        unit="s",
        low=0.0,
        high=60.0,
    )
    camera_motion: bool = setting(False, "Compensate the motion of the camera by optical flow. For moving robots.")


@dataclass(frozen=True)
class SmoothingConfig(CheckedSettings):
    """Settings of the One-Euro filter of keypoints. It needs tracking."""

    enabled: bool = setting(False, "Smooth keypoints over time. Needs tracking.")
    cutoff_hz: float = setting(
        1.0, "Cut-off frequency for keypoints at rest. Lower = smoother.", unit="Hz", low=0.01, high=100.0
    )
    speed_gain: float = setting(
        4.0,
        "Increase of the cut-off frequency with the speed, in Hz per body size and second. Higher = less lag.",
        low=0.0,
        high=100.0,
    )
    gap_s: float = setting(
        0.5, "Time without a keypoint after which the filter starts again.", unit="s", low=0.0, high=60.0
    )


@dataclass(frozen=True)
class DepthConfig(CheckedSettings):
    """Keypoints in metres from a depth image that is registered to the colour image."""

    enabled: bool = setting(False, "Compute keypoints in metres.")
    tolerance_ms: float = setting(
        20.0, "Largest difference between the stamps of a colour and a depth image.", unit="ms", low=0.0, high=1000.0
    )
    wait_ms: float = setting(
        100.0,
        "Longest wait of a colour image for its depth image. In a bag by the stamps, in the node after the network.",
        unit="ms",
        low=0.0,
        high=10_000.0,
    )
    min_m: float = setting(0.2, "Shortest distance that the sensor measures.", unit="m", low=0.0, high=1000.0)
    max_m: float = setting(10.0, "Longest distance that the sensor measures.", unit="m", low=0.01, high=1000.0)
    noise: float = setting(
        0.0015,
        "Standard deviation of a measured distance, relative to its square. Decides what one surface is, and the "
        "uncertainty.",
        unit="1/m",
        low=0.0,
        high=0.1,
    )
    surface: bool = setting(
        False, "Return the points on the surface of the body. false = inside the body, at the joints."
    )
    monocular: bool = setting(
        False,
        "For images without depth: estimate position_3d from the proportions of the body. Rough. keypoints_3d is empty "
        "then.",
    )
    body_height_m: float = setting(
        1.7, "Monocular: height of a person. Its relative error is that of the distance.", unit="m", low=0.3, high=3.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_m < self.max_m:
            raise ValueError(f"DepthConfig.min_m: expected less than max_m, got {self.min_m} and {self.max_m}")


@dataclass(frozen=True)
class RegionsConfig(CheckedSettings):
    """Parts of the images where nobody is looked for."""

    PATHS: ClassVar[tuple[str, ...]] = ("ignore",)
    ignore: str = setting(
        "",
        "YAML file with polygons for each camera, or image that is white where people are ignored: those whose centre "
        "is there. Empty = off.",
    )


@dataclass(frozen=True)
class OverlayConfig(CheckedSettings):
    """Style of drawn skeletons."""

    score_threshold: float = setting(0.05, "Lowest score of a drawn keypoint.", low=0.0, high=1.0)
    thickness: float = setting(1.0, "Line width, relative to the width that fits the image.", low=0.1, high=10.0)
    boxes: bool = setting(False, "Draw the box of each person.")
    ids: bool = setting(False, "Write the id next to each person. Without tracking: the score.")
    masks: bool = setting(True, "Colour the pixels of each person, if the model finds masks.")
    trails_s: float = setting(
        0.0, "Time for which the path of a person with an id is drawn. 0 = off.", unit="s", low=0.0, high=60.0
    )
    anonymise: str = setting(
        NOT_ANONYMISED,
        "Cover the heads of people in drawn images. Heads of people who are not found stay visible.",
        choices=(NOT_ANONYMISED, "blur", "pixelate", "black"),
    )
    head_margin: float = setting(1.6, "Size of a covered head, relative to its estimated size.", low=1.0, high=5.0)


@dataclass(frozen=True)
class MarkersConfig(CheckedSettings):
    """Style of people in RViz."""

    RENAMED: ClassVar[Mapping[str, str]] = {"joint_m": "keypoint_m", "bone_m": "limb_m"}
    score_threshold: float = setting(0.05, "Lowest score of a shown keypoint.", low=0.0, high=1.0)
    colour: str = setting(
        "side", "Colours: one per side of the body (left, right, middle) or one per person.", choices=("side", "person")
    )
    keypoint_m: float = setting(0.03, "Diameter of a keypoint.", unit="m", low=0.001, high=1.0)
    limb_m: float = setting(0.015, "Thickness of a limb.", unit="m", low=0.001, high=1.0)
    plane_m: float = setting(
        1.0,
        "Without depth: distance of the image plane from the camera. Its width equals this distance, unless "
        "camera_info gives the field of view.",
        unit="m",
        low=0.01,
        high=100.0,
    )
    ids: bool = setting(False, "Write the id of each tracked person above the head.")
    trails_s: float = setting(
        0.0, "Length of the trail of each tracked person in space. Needs depth. 0 = off.", unit="s", low=0.0, high=60.0
    )
    lifetime_s: float = setting(
        1.0, "Time until people disappear when no image follows. 0 = no limit.", unit="s", low=0.0, high=60.0
    )


@dataclass(frozen=True)
class DiagnosticsConfig(CheckedSettings):
    """Limits of the node's diagnostics."""

    period_s: float = setting(1.0, "Time between reports. 0 = off.", unit="s", low=0.0, high=60.0)
    warn_age_s: float = setting(3.0, "Image age that causes a warning.", unit="s", low=0.0, high=3600.0)
    error_age_s: float = setting(30.0, "Image age that causes an error.", unit="s", low=0.0, high=3600.0)
    warn_latency_ms: float = setting(200.0, "Median latency that causes a warning.", unit="ms", low=0.0, high=100_000.0)
    error_latency_ms: float = setting(
        1000.0, "Median latency that causes an error.", unit="ms", low=0.0, high=100_000.0
    )
    warn_dropped: float = setting(0.5, "Share of dropped images that causes a warning.", low=0.0, high=1.0)
    warn_lost: float = setting(
        0.1, "Share of images lost between camera and node that causes a warning. 1 = off.", low=0.01, high=1.0
    )


def check_turns(preprocess: PreprocessConfig, tracking: TrackingConfig) -> None:
    """Check that the people of scales in turn are joined.

    Raises:
        ValueError: If ``preprocess.scale_order`` is ``alternate``, and tracking is off.
    """
    if preprocess.scale_order == "alternate" and not tracking.enabled:
        raise ValueError(
            "preprocess.scale_order: expected together without tracking, got alternate; set tracking.enabled, which "
            "joins the people of the scales"
        )


@dataclass(frozen=True)
class EstimatorConfig:
    """Settings of all stages between an image and its people."""

    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    regions: RegionsConfig = field(default_factory=RegionsConfig)

    def __post_init__(self) -> None:
        check_turns(self.preprocess, self.tracking)
