"""What a network says, drawn while it learns: the labels, and the people of every way of grouping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pose_ros.arrays import Image
from pose_ros.datasets.preview import drawn
from pose_ros.datasets.sample import Sample
from pose_ros.decoder import make_decoder
from pose_ros.fields import GROUPING_HEADS, Fields, ModelSpec
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import add_title, arrange
from pose_ros.network.model import PoseNetwork
from pose_ros.people import People
from pose_ros.training.loader import Normaliser, pixels


def groupings(spec: ModelSpec) -> list[str]:
    """The ways of grouping that a network has the fields for."""
    heads = {head.field for head in spec.heads}
    able = [name for name, needed in GROUPING_HEADS.items() if heads.issuperset(needed)]
    return [name for name in able if name != "single"] or able


def predicted(network: PoseNetwork, samples: Sequence[Sample], batch: int = 8) -> Iterator[Fields]:
    """What a network says of samples of one size, one after the other. It is in evaluation mode afterwards."""
    network.eval()
    spec, device = network.spec, next(network.parameters()).device
    normalised = Normaliser(spec.input, device)
    for first in range(0, len(samples), batch):
        chosen = [samples[index] for index in range(first, min(first + batch, len(samples)))]
        images = torch.from_numpy(np.stack([pixels(sample, spec.input.colour) for sample in chosen]))
        with torch.no_grad():
            outputs = network.fields(normalised(images.to(device)))
        arrays = {name: output.float().cpu().numpy() for name, output in outputs.items()}
        yield from (spec.fields(arrays, index) for index in range(len(chosen)))


def found(network: PoseNetwork, samples: Sequence[Sample]) -> dict[str, list[People]]:
    """The people of each sample, by way of grouping, in pixels of the samples."""
    decoders = {name: make_decoder(network.spec, name) for name in groupings(network.spec)}
    fields = list(predicted(network, samples))
    return {name: [decode(each) for each in fields] for name, decode in decoders.items()}


def contact_sheet(network: PoseNetwork, samples: Sequence[Sample]) -> Image:
    """A row for each sample: its labels, and what every way of grouping finds."""
    skeleton = network.spec.skeleton
    people = found(network, samples)
    panels = []
    for index, sample in enumerate(samples):
        panels.append(add_title(drawn(sample, skeleton), f"labels: {len(sample.boxes)}"))
        for name, each in people.items():
            panels.append(add_title(draw(sample.image_bgr, each[index], skeleton), f"{name}: {len(each[index])}"))
    return arrange(panels, 1 + len(people))
