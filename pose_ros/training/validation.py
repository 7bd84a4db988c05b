"""Validate a network on samples that are not used for training: losses and average precision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import torch

from pose_ros.datasets.sample import Sample
from pose_ros.decoder import make_decoder
from pose_ros.evaluation.coco import average_precision
from pose_ros.evaluation.data_sets import data_of
from pose_ros.evaluation.detections import to_detections
from pose_ros.network.model import PoseNetwork
from pose_ros.people import People
from pose_ros.training.config import TrainingConfig
from pose_ros.training.contact_sheet import available_groupings, predict_fields
from pose_ros.training.learner import Loss
from pose_ros.training.loader import Normaliser, split_samples, stack_examples
from pose_ros.training.run_inputs import FixedStream, make_examples


def validate(network: PoseNetwork, samples: Sequence[Sample], loss: Loss, config: TrainingConfig) -> dict[str, float]:
    """Compute the mean losses over the samples and, if pycocotools is installed, the AP of each grouping.

    Args:
        network: Network on its device. It stays in evaluation mode afterwards.
        samples: Validation samples, of any sizes.
        loss: Function of stages and targets that returns the loss and its parts.
        config: Settings of the targets and the batch size.

    Returns:
        Mean of each loss by name, and ``AP_<grouping>`` in percent.
    """
    network.eval()
    sums: dict[str, float] = defaultdict(float)
    labels: list[Sample] = []
    people: dict[str, list[People]] = {name: [] for name in available_groupings(network.spec)}
    decoders = {name: make_decoder(network.spec, name) for name in people}
    for part in split_samples(samples, config.batch):
        for name, value in _compute_losses(network, part, loss, config).items():
            sums[name] += value * len(part) / len(samples)
        for fields in predict_fields(network, part):
            for name, decode in decoders.items():
                people[name].append(decode(fields))
        labels += [_drop_image(sample) for sample in part]
    return {**sums, **_compute_aps(network, labels, people)}


def compute_ap(network: PoseNetwork, labels: Sequence[Sample], people: Sequence[People]) -> float:
    """Compute the average precision of the people detected in samples, 0 to 1. It is 0 if no person is labelled.

    Raises:
        ImportError: If pycocotools is missing.
    """
    skeleton = network.spec.skeleton
    detections = [to_detections(each, skeleton, skeleton) for each in people]
    return average_precision(data_of(labels, skeleton), detections)["AP"] or 0.0


def _compute_aps(network: PoseNetwork, labels: Sequence[Sample], people: dict[str, list[People]]) -> dict[str, float]:
    if find_spec("pycocotools") is None:
        return {}
    return {f"AP_{name}": 100 * compute_ap(network, labels, each) for name, each in people.items()}


def _compute_losses(
    network: PoseNetwork, samples: Sequence[Sample], loss: Loss, config: TrainingConfig
) -> dict[str, float]:
    device = next(network.parameters()).device
    examples = make_examples(FixedStream(samples), len(samples), network.spec, config.targets)
    stacked = stack_examples([examples[i] for i in range(len(samples))])
    batch = {name: value.to(device) for name, value in stacked.items()}
    images = Normaliser(network.spec.input, device)(batch.pop("image"))
    with torch.no_grad():
        total, parts = loss(network(images), batch)
    return {name: float(value) for name, value in {"loss": total, **parts}.items()}


def _drop_image(sample: Sample) -> Sample:
    return replace(sample, image_bgr=np.zeros((1, 1, 3), np.uint8), ignored=None, people_map=None)
