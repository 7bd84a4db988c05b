"""What a run works on: its network, its samples, and those that it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pose_ros.datasets.augment import Augmentation, TrainingStream, fitted
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.sets import open_mixture, open_pictures
from pose_ros.fields import ModelSpec
from pose_ros.network.model import PoseNetwork
from pose_ros.skeleton import Skeleton
from pose_ros.training.config import TrainingConfig, ValidationConfig
from pose_ros.training.loader import Examples, SampleStream
from pose_ros.training.start import starting_network
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets


@dataclass(frozen=True)
class RunInputs:
    """What a run works on.

    Attributes:
        network: The network, with the weights that it begins with.
        stream: The samples that it is taught.
        epoch: How many are one pass over the data.
        validation: The samples that it is judged by, all of the network's input size.
        notes: What is to be told of them.
    """

    network: PoseNetwork
    stream: SampleStream
    epoch: int
    validation: Sequence[Sample] = ()
    notes: tuple[str, ...] = field(default=())


def open_run_inputs(config: TrainingConfig) -> RunInputs:
    """Open what a configuration names.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If something does not fit.
    """
    network, weights = starting_network(config)
    skeleton, multiple = network.spec.skeleton, network.spec.input.multiple
    if any(side % multiple for side in config.size_wh):
        raise ValueError(f"size_wh: expected multiples of {multiple} px for {config.network}, got {config.size_wh}")
    mixture = open_mixture(config.data, skeleton)
    stream = TrainingStream(mixture, Augmentation(config.augmentation, skeleton), config.size_wh, config.seed)
    validation = Validation(config.validation, skeleton, config.size_wh)
    notes = (weights, f"data: {len(mixture)} pictures, {len(validation)} to validate")
    return RunInputs(network, stream, len(mixture), validation, notes)


class Validation(Sequence[Sample]):
    """Samples spread evenly over the validation data, whole pictures without augmentation, read when asked for."""

    def __init__(self, config: ValidationConfig, skeleton: Skeleton, size_wh: tuple[int, int]) -> None:
        self._skeleton, self._size_wh = skeleton, size_wh
        self._sets = [open_pictures(each, skeleton) for each in config.data]
        places = [(part, index) for part, pictures in enumerate(self._sets) for index in range(len(pictures))]
        count = min(config.samples, len(places))
        self._places = [places[i] for i in np.linspace(0, len(places) - 1, count).round().astype(int)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        part, place = self._places[index]
        return fitted(self._sets[part][place], self._size_wh, self._skeleton)


@dataclass(frozen=True)
class InOrder:
    """Samples as a stream that shows each as it is."""

    samples: Sequence[Sample]

    def sample(self, epoch: int, index: int) -> Sample:
        """The sample of an index."""
        return self.samples[index]


def examples(stream: SampleStream, epoch: int, spec: ModelSpec, config: TargetConfig) -> Examples:
    """Samples with what the network of a spec is taught of them."""
    return Examples(stream, epoch, partial(_targets, spec=spec, config=config), spec.input.colour)


def _targets(sample: Sample, spec: ModelSpec, config: TargetConfig) -> dict[str, np.ndarray]:
    return make_targets(sample, spec, config)
