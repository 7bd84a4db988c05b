"""Draw contact sheets of a network in training: labels, and the people of every grouping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pose_ros.arrays import Image
from pose_ros.datasets.preview import draw_sample
from pose_ros.datasets.sample import Sample
from pose_ros.decoder import make_decoder
from pose_ros.fields import GROUPING_HEADS, Fields, ModelSpec
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import add_title, arrange
from pose_ros.network.model import PoseNetwork
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform
from pose_ros.to_image import to_image
from pose_ros.training.loader import Normaliser, pixels_of, split_samples


def available_groupings(spec: ModelSpec) -> list[str]:
    """Return the groupings that a network has the fields for."""
    heads = {head.field for head in spec.heads}
    possible = [name for name, needed in GROUPING_HEADS.items() if heads.issuperset(needed)]
    return [name for name in possible if name != "single"] or possible


def predict_fields(network: PoseNetwork, samples: Sequence[Sample], batch: int = 8) -> Iterator[Fields]:
    """Predict the fields of samples, one by one. The network stays in evaluation mode afterwards."""
    network.eval()
    spec, device = network.spec, next(network.parameters()).device
    normalise = Normaliser(spec.input, device)
    for chosen in split_samples(samples, batch):
        images = torch.from_numpy(np.stack([pixels_of(sample, spec.input) for sample in chosen]))
        with torch.no_grad():
            outputs = network.fields(normalise(images.to(device)))
        arrays = {name: output.float().cpu().numpy() for name, output in outputs.items()}
        yield from (spec.fields(arrays, index) for index in range(len(chosen)))


def find_people(network: PoseNetwork, samples: Sequence[Sample]) -> dict[str, list[People]]:
    """Detect the people of each sample with every grouping, in pixels of the samples."""
    spec = network.spec
    decoders = {name: make_decoder(spec, name) for name in available_groupings(spec)}
    fields = list(predict_fields(network, samples))
    transforms = [ImageTransform.unchanged(sample.size_wh) for sample in samples]
    return {
        name: [to_image(decode(each), spec, transform) for each, transform in zip(fields, transforms, strict=True)]
        for name, decode in decoders.items()
    }


def draw_contact_sheet(network: PoseNetwork, samples: Sequence[Sample]) -> Image:
    """Draw one row for each sample: its labels, and the people that every grouping finds."""
    skeleton = network.spec.skeleton
    people = find_people(network, samples)
    panels = []
    for index, sample in enumerate(samples):
        panels.append(add_title(draw_sample(sample, skeleton), f"labels: {len(sample.boxes)}"))
        for name, each in people.items():
            panels.append(add_title(draw(sample.image_bgr, each[index], skeleton), f"{name}: {len(each[index])}"))
    return arrange(panels, 1 + len(people))
