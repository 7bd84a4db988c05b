"""Read the settings of a training run from a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose_ros.config_file import read_config
from pose_ros.datasets.augment import AugmentConfig
from pose_ros.datasets.crops import CropConfig
from pose_ros.datasets.pose_errors import PoseErrorConfig
from pose_ros.datasets.sets import DataConfig
from pose_ros.settings import CheckedSettings, setting
from pose_ros.skeleton import Skeleton
from pose_ros.training.losses.config import LossConfig
from pose_ros.training.targets.config import TargetConfig


@dataclass(frozen=True)
class InitConfig(CheckedSettings):
    """Initial weights of the network."""

    file: Path | None = None
    parts: str = setting(
        "all",
        "Weights to load from the file: all; backbone: the backbone only; fitting: those with a matching name and "
        "shape, for example after a change of the skeleton.",
        choices=("all", "backbone", "fitting"),
    )
    backbone: Path | None = None  # checkpoint of a backbone, loaded after `file`


@dataclass(frozen=True)
class DistillationConfig(CheckedSettings):
    """Trained network (teacher) whose heatmaps and part affinity fields are learnt in addition to the labels."""

    file: Path | None = None
    weight: float = setting(0.5, "Weight of the teacher loss; the label loss has weight 1 - this.", low=0.0, high=1.0)


@dataclass(frozen=True)
class OptimiserConfig(CheckedSettings):
    """Optimiser of the weights. Biases and normalisation weights have no weight decay."""

    name: str = setting("adamw", "Optimiser.", choices=("adamw", "adam"))
    rate: float = setting(1.5e-3, "Highest learning rate.", low=0.0, high=10.0)
    backbone_rate: float = setting(4e-4, "Highest learning rate of the backbone.", low=0.0, high=10.0)
    weight_decay: float = setting(1e-2, "Weight decay.", low=0.0, high=1.0)
    backbone_weight_decay: float = setting(1e-3, "Weight decay of the backbone.", low=0.0, high=1.0)
    clip: float = setting(10.0, "Maximum gradient norm over all weights; 0 = no limit.", low=0.0, high=1e6)
    ema: float = setting(0.998, "Decay of the moving average of the weights; 0 = off.", low=0.0, high=0.999999)
    freeze: tuple[str, ...] = ()  # names of modules or weights, such as backbone.layers.0; * matches any text


@dataclass(frozen=True)
class ScheduleConfig(CheckedSettings):
    """Learning rate over the steps."""

    warm_up: int = setting(150, "Steps of the linear warm-up from 0.", low=0, high=10_000_000)
    shape: str = setting("cosine", "Decay of the rate after the warm-up.", choices=("cosine", "steps", "constant"))
    final: float = setting(0.02, "cosine: final rate, relative to the highest.", low=0.0, high=1.0)
    milestones: tuple[float, ...] = (0.6, 0.85)  # steps: positions of the drops, as fractions of all steps
    factor: float = setting(0.1, "steps: factor of the rate at each milestone.", low=0.0, high=1.0)


@dataclass(frozen=True)
class CheckpointConfig(CheckedSettings):
    """Checkpoints of the run: a run that is killed loses at most one interval."""

    steps: int = setting(1000, "Steps between checkpoints; 0 = off.", low=0, high=10_000_000)
    minutes: float = setting(10.0, "Minutes between checkpoints; 0 = off.", unit="min", low=0.0, high=10_000.0)
    keep: int = setting(2, "Number of newest checkpoints to keep.", low=1, high=1000)


@dataclass(frozen=True)
class LoaderConfig(CheckedSettings):
    """Worker processes that prepare the batches."""

    workers: int = setting(
        2, "Worker processes that prepare samples; 0 = none, the trainer process prepares them.", low=0, high=256
    )
    prefetch: int = setting(4, "Batches that each worker prepares in advance.", low=1, high=64)


@dataclass(frozen=True)
class ValidationConfig(CheckedSettings):
    """Validation on samples that are not used for training."""

    data: tuple[DataConfig, ...] = ()
    steps: int = setting(1000, "Steps between validations; 0 = only at the end.", low=0, high=10_000_000)
    samples: int = setting(500, "Maximum number of samples, spread evenly over the data.", low=1, high=1_000_000)
    pictures: int = setting(8, "Number of samples in the contact sheet of predictions; 0 = off.", low=0, high=100)


@dataclass(frozen=True)
class TrainingConfig(CheckedSettings):
    """All settings of a training run."""

    network: str
    output: Path
    data: tuple[DataConfig, ...]
    skeleton: Skeleton | None = None
    init: InitConfig = field(default_factory=InitConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    pose_errors: PoseErrorConfig = field(default_factory=PoseErrorConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    size_wh: tuple[int, int] = (320, 320)
    short_side: int = setting(
        0,
        "Short side of the images in validation and in the trained model; 0 = of the network.",
        unit="px",
        low=0,
        high=4096,
    )
    steps: int = setting(0, "Steps of the run; 0 = use epochs.", low=0, high=100_000_000)
    epochs: float = setting(0.0, "Length of the run in passes over the data; 0 = use steps.", low=0.0, high=1e6)
    batch: int = setting(16, "Samples per step, over all processes.", low=1, high=65536)
    accumulation: int = setting(
        1, "Number of batches that each step is split into; they are computed one after another.", low=1, high=1024
    )
    precision: str = setting("fp32", "Numeric precision of the network.", choices=("fp32", "bf16", "fp16"))
    device: str = setting("auto", "Device to train on.", choices=("auto", "cpu", "cuda"))
    threads: int = setting(
        0, "CPU threads of PyTorch; 0 = physical cores without those of the loader's workers.", low=0, high=1024
    )
    log_steps: int = setting(10, "Steps between rows in the log.", low=1, high=100_000)
    most_skipped: int = setting(
        20, "Consecutive steps without a finite loss that end the run with an error.", low=1, high=100_000
    )
    seed: int = setting(0, "Random seed of the initial weights and all samples.", low=0, high=2**31)
    name: str = setting("", "Name of the model; default: name of the network.")
    licence: str = setting("", "Licence of the trained weights; default: licence of the network.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.steps) == bool(self.epochs):
            raise ValueError(f"steps, epochs: expected one of them, got {self.steps} and {self.epochs:g}")
        if not self.data:
            raise ValueError("data: expected at least one training set, got none")
        if self.batch % self.accumulation:
            raise ValueError(f"batch: expected a multiple of accumulation ({self.accumulation}), got {self.batch}")


def load_config(path: str | Path, assignments: Sequence[str] = ()) -> TrainingConfig:
    """Read the settings of a run.

    Args:
        path: YAML file. Paths in it are relative to its folder.
        assignments: Texts ``name=value`` that override the file.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If a value has the wrong type.
        ValueError: If an entry is unknown, missing or out of range.
    """
    return read_config(TrainingConfig, Path(path), assignments)
