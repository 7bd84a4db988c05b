"""A network held against samples that it has not learnt: its losses, and the average precision of its people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from pose_ros.training.contact_sheet import groupings, predicted
from pose_ros.training.learner import Loss
from pose_ros.training.loader import Normaliser, stacked
from pose_ros.training.run_inputs import InOrder, examples


def validated(network: PoseNetwork, samples: Sequence[Sample], loss: Loss, config: TrainingConfig) -> dict[str, float]:
    """Losses, means over the samples, and by way of grouping the AP, where pycocotools is installed.

    Args:
        network: The network, on its device; it is in evaluation mode afterwards.
        samples: Of its input size.
        loss: Stages and targets to the loss and its parts.
        config: Targets and size of a batch.
    """
    network.eval()
    sums: dict[str, float] = defaultdict(float)
    labels: list[Sample] = []
    people: dict[str, list[People]] = {name: [] for name in groupings(network.spec)}
    decoders = {name: make_decoder(network.spec, name) for name in people}
    for part in _batches(samples, config.batch):
        for name, value in _losses(network, part, loss, config).items():
            sums[name] += value * len(part) / len(samples)
        for fields in predicted(network, part):
            for name, decode in decoders.items():
                people[name].append(decode(fields))
        labels += [_without_image(sample) for sample in part]
    return {**sums, **_precisions(network, labels, people)}


def precision(network: PoseNetwork, labels: Sequence[Sample], people: Sequence[People]) -> float:
    """The average precision of the people found in samples; 0 where nobody is labelled.

    Raises:
        ImportError: If pycocotools is missing.
    """
    skeleton = network.spec.skeleton
    found = [to_detections(each, skeleton, skeleton) for each in people]
    return average_precision(data_of(labels, skeleton), found)["AP"] or 0.0


def _precisions(network: PoseNetwork, labels: Sequence[Sample], people: dict[str, list[People]]) -> dict[str, float]:
    if find_spec("pycocotools") is None:
        return {}
    return {f"AP_{name}": precision(network, labels, each) for name, each in people.items()}


def _losses(network: PoseNetwork, samples: Sequence[Sample], loss: Loss, config: TrainingConfig) -> dict[str, float]:
    device = next(network.parameters()).device
    taught = examples(InOrder(samples), len(samples), network.spec, config.targets)
    batch = {name: value.to(device) for name, value in stacked([taught[i] for i in range(len(samples))]).items()}
    images = Normaliser(network.spec.input, device)(batch.pop("image"))
    with torch.no_grad():
        total, parts = loss(network(images), batch)
    return {name: float(value) for name, value in {"loss": total, **parts}.items()}


def _batches(samples: Sequence[Sample], count: int) -> Iterator[list[Sample]]:
    for first in range(0, len(samples), count):
        yield [samples[i] for i in range(first, min(first + count, len(samples)))]


def _without_image(sample: Sample) -> Sample:
    return replace(sample, image_bgr=np.zeros((1, 1, 3), np.uint8), ignored=None, people_map=None)
