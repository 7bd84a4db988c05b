"""Make the training targets of a sample: the ideal fields of its labelled people."""

from __future__ import annotations

from collections.abc import Callable

from pose_ros.arrays import AnyArray
from pose_ros.datasets.sample import Sample
from pose_ros.fields import ModelSpec
from pose_ros.training.targets import centernet as targets_centernet
from pose_ros.training.targets import directpose as targets_directpose
from pose_ros.training.targets import personlab as targets_personlab
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.grid import GridLabels, to_grid
from pose_ros.training.targets.heatmaps import Target, bilinear, confidence_maps, gaussians
from pose_ros.training.targets.paf import pafs, part_affinity_fields
from pose_ros.training.targets.tags import tag_cells, tag_cells_around

__all__ = ["confidence_maps", "make_targets", "part_affinity_fields"]

WEIGHTS = "_weights"
"""Suffix of a field name that gives the name of its weights."""


def make_targets(sample: Sample, spec: ModelSpec, config: TargetConfig) -> dict[str, AnyArray]:
    """Make the target fields of a sample, and their weights.

    Args:
        sample: Sample of the input size of the network, with its skeleton.
        spec: Model description of the network. ``heads`` lists the fields.
        config: Forms of the targets.

    Returns:
        For each field f of the network: ``f``, float32 (C, H, W), and ``f_weights``, uint8 (C or 1, H, W). A weight is
        1 where the target is known, and 0 elsewhere. For tags only ``tag_cells``: int32 (most_people, K) or
        (most_people, K, 4), the cells of the keypoints of each person. For people and their scores, the targets of
        ``directpose.people`` and heatmaps.

    Raises:
        ValueError: If sample and network have different numbers of keypoints, or a field has no target.
    """
    labels = to_grid(sample, spec)
    targets: dict[str, AnyArray] = {}
    for name in dict.fromkeys(head.field for head in spec.heads):
        if name == "tags":
            cells = tag_cells_around if config.tag_reading == "around" else tag_cells
            targets["tag_cells"] = cells(labels, config.most_people)
        elif name == "people":
            named = {**targets_directpose.people(labels, spec, config), "heatmaps": _heatmaps(labels, spec, config)}
            for field, (target, weights) in named.items():
                targets |= {field: target, field + WEIGHTS: weights}
        elif name != "person_scores":  # made with the people
            targets[name], targets[name + WEIGHTS] = _get_maker(name)(labels, spec, config)
    return targets


def _heatmaps(labels: GridLabels, spec: ModelSpec, config: TargetConfig) -> Target:
    forms = {"disk": targets_personlab.disks, "centernet": targets_centernet.peaks, "bilinear": bilinear}
    return forms.get(config.heatmap_form, gaussians)(labels, config)


_Maker = Callable[[GridLabels, ModelSpec, TargetConfig], Target]
_FIELDS: dict[str, _Maker] = {
    "heatmaps": _heatmaps,
    "pafs": lambda labels, spec, config: pafs(labels, spec.limbs, config),
    "short_offsets": lambda labels, spec, config: targets_personlab.short_offsets(labels, config),
    "mid_offsets": lambda labels, spec, config: targets_personlab.mid_offsets(labels, spec.limbs, config),
    "long_offsets": lambda labels, spec, config: targets_personlab.long_offsets(labels),
    "segmentation": lambda labels, spec, config: targets_personlab.segmentation(labels),
    "centres": lambda labels, spec, config: targets_centernet.centres(labels, config),
    "centre_offsets": lambda labels, spec, config: targets_centernet.centre_offsets(labels, config),
    "sizes": lambda labels, spec, config: targets_centernet.sizes(labels, config),
    "keypoint_offsets": lambda labels, spec, config: targets_centernet.keypoint_offsets(labels, config),
    "heatmap_offsets": lambda labels, spec, config: targets_centernet.heatmap_offsets(labels, config),
}
"""Function that makes each field. Tags are separate: only their cells are known, not their values."""


def _get_maker(name: str) -> _Maker:
    if name not in _FIELDS:
        raise ValueError(f"heads: expected tags, {', '.join(_FIELDS)}, got {name}, which has no target")
    return _FIELDS[name]
