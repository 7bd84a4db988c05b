"""Open the inputs of a run: the network, the training samples and the validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pose_ros.config import PreprocessConfig
from pose_ros.datasets.augment import Augmentation, TrainingStream, fit_sample
from pose_ros.datasets.crops import CropSamples, CropStream
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.pose_errors import KINDS, load_rates
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.sets import describe_labels, open_data_set, open_mixture
from pose_ros.datasets.taught import count_taught
from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.model import PoseNetwork
from pose_ros.preprocess import fit
from pose_ros.skeleton import Skeleton
from pose_ros.training.config import TrainingConfig, ValidationConfig
from pose_ros.training.loader import Examples, SampleStream
from pose_ros.training.start import build_initial_network
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets


@dataclass(frozen=True)
class RunInputs:
    """Inputs of a training run.

    Attributes:
        network: Network with its initial weights.
        stream: Training samples.
        epoch: Number of samples in one pass over the data.
        validation: Validation samples, as large as the input of the running model.
        notes: Lines of text about the inputs, for the watchers and the model card.
    """

    network: PoseNetwork
    stream: SampleStream
    epoch: int
    validation: Sequence[Sample] = ()
    notes: tuple[str, ...] = field(default=())


def open_run_inputs(config: TrainingConfig) -> RunInputs:
    """Open the network and the data of a configuration.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If network, weights, data and settings do not match.
    """
    network, weights = build_initial_network(config)
    skeleton, multiple = network.spec.skeleton, network.spec.input.multiple
    if any(side % multiple for side in config.size_wh):
        raise ValueError(f"size_wh: expected multiples of {multiple} px for {config.network}, got {config.size_wh}")
    mixture = open_mixture(config.data, skeleton)
    if network.spec.input.pose_channels:
        return _open_crops(config, network, weights, mixture)
    stream = TrainingStream(mixture, Augmentation(config.augmentation, skeleton), config.size_wh, config.seed)
    taught = count_taught(mixture, skeleton)
    if config.distillation.file is None:
        taught.check()
    validation = ValidationSamples(config.validation, skeleton, network.spec.input)
    counts = f"data: {len(mixture)} training images, {len(validation)} validation images"
    labels = *describe_labels(mixture.data_sets), *describe_labels(validation.data_sets)
    notes = (weights, counts, *labels, *taught.lines())
    return RunInputs(network, stream, len(mixture), validation, notes)


def _open_crops(config: TrainingConfig, network: PoseNetwork, weights: str, mixture: Mixture) -> RunInputs:
    """Open the crops and wrong poses for a network that refines a known pose.

    Raises:
        FileNotFoundError: If the file of the errors does not exist.
        ValueError: If the file of the errors is wrong, or ``size_wh`` is not that of the network.
    """
    skeleton, size_wh = network.spec.skeleton, network.spec.input.size_wh
    if tuple(config.size_wh) != size_wh:
        raise ValueError(f"size_wh: expected {size_wh}, the crops of {config.network}, got {config.size_wh}")
    rates, fewest = load_rates(config.pose_errors, skeleton), config.crops.fewest_keypoints
    stream = CropStream(mixture, rates, config.crops, config.augmentation, skeleton, size_wh, config.seed)
    data_sets = [open_data_set(each, skeleton) for each in config.validation.data]
    whole = [sample for data_set in data_sets for sample in data_set]
    validation = CropSamples(whole, rates, fewest, skeleton, size_wh, config.validation.samples, config.seed)
    counts = f"data: {len(mixture)} training images, crops of {len(validation)} people for validation"
    frequencies = " ".join(f"{kind} {rate:.3f}" for kind, rate in zip(KINDS[1:], rates.rates.mean(axis=0), strict=True))
    errors = f"errors of the poses, per keypoint: {frequencies}, share of misses without position {rates.absent:.2f}"
    notes = (weights, counts, *describe_labels([*mixture.data_sets, *data_sets]), errors)
    return RunInputs(network, stream, len(mixture), validation, notes)


class ValidationSamples(Sequence[Sample]):
    """Samples spread evenly over the validation data: whole images without augmentation, read on access.

    Each image has the size that the running model gives it, so that validation judges the model that is used.
    """

    def __init__(self, config: ValidationConfig, skeleton: Skeleton, input: InputSpec) -> None:
        self._skeleton, self._input = skeleton, input
        self.data_sets = [open_data_set(each, skeleton) for each in config.data]
        places = [(part, index) for part, images in enumerate(self.data_sets) for index in range(len(images))]
        count = min(config.samples, len(places))
        self._places = [places[i] for i in np.linspace(0, len(places) - 1, count).round().astype(int)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        part, place = self._places[index]
        sample = self.data_sets[part][place]
        size_wh = fit(sample.size_wh, self._input, PreprocessConfig()).input_wh
        return fit_sample(sample, size_wh, self._skeleton)


@dataclass(frozen=True)
class FixedStream:
    """Samples as a stream that returns them unchanged in every epoch."""

    samples: Sequence[Sample]

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the sample of an index."""
        return self.samples[index]


def make_examples(stream: SampleStream, epoch: int, spec: ModelSpec, config: TargetConfig) -> Examples:
    """Make examples: the images of samples, and their targets for the network of ``spec``."""
    return Examples(stream, epoch, partial(_targets, spec=spec, config=config), spec.input)


def _targets(sample: Sample, spec: ModelSpec, config: TargetConfig) -> dict[str, np.ndarray]:
    return make_targets(sample, spec, config)
