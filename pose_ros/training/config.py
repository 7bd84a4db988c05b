"""Everything that a training run is told: one YAML file, read into frozen settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose_ros.config import check_settings, setting
from pose_ros.config_file import read_config
from pose_ros.datasets.augment import AugmentConfig
from pose_ros.datasets.sets import DataConfig
from pose_ros.skeleton import Skeleton
from pose_ros.training.losses.config import LossConfig
from pose_ros.training.targets.config import TargetConfig


class _Checked:
    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class InitConfig(_Checked):
    """What the network knows at the start."""

    file: Path | None = None
    parts: str = setting(
        "all",
        "What is taken of the file: all of it; the backbone alone; or whatever fits by name and shape, as after a "
        "change of the skeleton.",
        choices=("all", "backbone", "fitting"),
    )
    backbone: Path | None = None  # a trunk of its own, taken after the file


@dataclass(frozen=True)
class DistillationConfig(_Checked):
    """A trained network whose heatmaps and part affinity fields are taught beside the labels."""

    file: Path | None = None
    weight: float = setting(0.5, "Share of the teacher in the loss; the labels have the rest.", low=0.0, high=1.0)


@dataclass(frozen=True)
class OptimiserConfig(_Checked):
    """How weights move. Biases and the weights of normalisations do not decay."""

    name: str = setting("adamw", "Optimiser.", choices=("adamw", "adam"))
    rate: float = setting(1.5e-3, "Highest learning rate.", low=0.0, high=10.0)
    backbone_rate: float = setting(4e-4, "The same, for the backbone.", low=0.0, high=10.0)
    weight_decay: float = setting(1e-2, "Weight decay.", low=0.0, high=1.0)
    backbone_weight_decay: float = setting(1e-3, "The same, for the backbone.", low=0.0, high=1.0)
    clip: float = setting(10.0, "Longest gradient, over all weights; 0 is any.", low=0.0, high=1e6)
    ema: float = setting(0.998, "Decay of the moving average of the weights; 0 is none.", low=0.0, high=0.999999)
    freeze: tuple[str, ...] = ()  # names of modules or weights, * for any, such as backbone.layers.0


@dataclass(frozen=True)
class ScheduleConfig(_Checked):
    """The learning rate over the steps."""

    warm_up: int = setting(150, "Steps in which the rate rises from 0.", low=0, high=10_000_000)
    shape: str = setting("cosine", "How it falls afterwards.", choices=("cosine", "steps", "constant"))
    final: float = setting(0.02, "Cosine: the last rate, relative to the highest.", low=0.0, high=1.0)
    milestones: tuple[float, ...] = (0.6, 0.85)  # steps: where it falls, as shares of all steps
    factor: float = setting(0.1, "Steps: what each milestone multiplies it by.", low=0.0, high=1.0)


@dataclass(frozen=True)
class CheckpointConfig(_Checked):
    """What a run that is killed loses at most."""

    steps: int = setting(1000, "Steps between checkpoints; 0 is never.", low=0, high=10_000_000)
    minutes: float = setting(10.0, "Minutes between checkpoints; 0 is never.", unit="min", low=0.0, high=10_000.0)
    keep: int = setting(2, "Newest checkpoints that are kept.", low=1, high=1000)


@dataclass(frozen=True)
class LoaderConfig(_Checked):
    """Who prepares the batches."""

    workers: int = setting(2, "Processes that prepare samples; 0 is the trainer itself.", low=0, high=256)
    prefetch: int = setting(4, "Batches that each of them has ready.", low=1, high=64)


@dataclass(frozen=True)
class ValidationConfig(_Checked):
    """What is held against samples that are never trained on."""

    data: tuple[DataConfig, ...] = ()
    steps: int = setting(1000, "Steps between validations; 0 is only at the end.", low=0, high=10_000_000)
    samples: int = setting(500, "Most samples, taken evenly from the data.", low=1, high=1_000_000)
    pictures: int = setting(8, "Samples whose predictions are drawn.", low=0, high=100)


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """A whole run."""

    network: str
    output: Path
    data: tuple[DataConfig, ...]
    skeleton: Skeleton | None = None
    init: InitConfig = field(default_factory=InitConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    size_wh: tuple[int, int] = (320, 320)
    steps: int = setting(0, "Steps of the run; 0 takes epochs.", low=0, high=100_000_000)
    epochs: float = setting(0.0, "The same in passes over the data.", low=0.0, high=1e6)
    batch: int = setting(16, "Samples of a step, over all processes.", low=1, high=65536)
    accumulation: int = setting(1, "Parts of a step that are computed one after the other.", low=1, high=1024)
    precision: str = setting("fp32", "Arithmetic of the network.", choices=("fp32", "bf16", "fp16"))
    device: str = setting("auto", "Where it computes.", choices=("auto", "cpu", "cuda"))
    threads: int = setting(0, "Threads of a CPU that trains; 0 lets torch choose.", low=0, high=1024)
    log_steps: int = setting(10, "Steps between rows of the log.", low=1, high=100_000)
    most_skipped: int = setting(20, "Steps in a row without a finite loss that end the run.", low=1, high=100_000)
    seed: int = setting(0, "Of the weights and of all samples.", low=0, high=2**31)
    name: str = setting("", "Name of the model; by default the network's.")
    licence: str = setting("", "Licence of the trained weights; by default the network's.")

    def __post_init__(self) -> None:
        check_settings(self)
        if bool(self.steps) == bool(self.epochs):
            raise ValueError(f"steps, epochs: expected one of them, got {self.steps} and {self.epochs:g}")
        if not self.data:
            raise ValueError("data: expected at least one set to train on, got none")
        if self.batch % self.accumulation:
            raise ValueError(f"batch: expected a multiple of accumulation ({self.accumulation}), got {self.batch}")


def load_config(path: str | Path, assignments: Sequence[str] = ()) -> TrainingConfig:
    """Read the settings of a run.

    Args:
        path: The YAML file; paths in it are relative to its folder.
        assignments: ``name=value``, stronger than the file.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If a value is of another type.
        ValueError: If an entry is unknown, missing or out of range.
    """
    return read_config(TrainingConfig, Path(path), assignments)
