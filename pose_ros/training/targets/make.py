"""Training targets: the fields that an ideal network would give for known people."""

from __future__ import annotations

from collections.abc import Callable

from pose_ros.arrays import AnyArray
from pose_ros.datasets.sample import Sample
from pose_ros.fields import ModelSpec
from pose_ros.training.targets import centernet as targets_centernet
from pose_ros.training.targets import personlab as targets_personlab
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.grid import GridLabels, on_cells
from pose_ros.training.targets.heatmaps import Target, confidence_maps, gaussians
from pose_ros.training.targets.paf import pafs, part_affinity_fields
from pose_ros.training.targets.tags import tag_cells, tag_cells_around

__all__ = ["confidence_maps", "make_targets", "part_affinity_fields"]

WEIGHTS = "_weights"
"""A field's weights are named after it."""


def make_targets(sample: Sample, spec: ModelSpec, config: TargetConfig) -> dict[str, AnyArray]:
    """What a network is to say of a sample, and where that is known.

    Args:
        sample: Of the size of the network's input, on its skeleton.
        spec: The network; ``heads`` tells which fields.
        config: The forms.

    Returns:
        For each field f of the network ``f``, float32 (C, H, W), and ``f_weights``, uint8 (C or 1, H, W), 1 where it
        is taught and 0 where not; but for tags only ``tag_cells``, int32 (most_people, K) or
        (most_people, K, 4), where each person's are.

    Raises:
        ValueError: If the sample has other keypoints than the network, or the network gives what cannot be taught.
    """
    scene = on_cells(sample, spec)
    targets: dict[str, AnyArray] = {}
    for name in dict.fromkeys(head.field for head in spec.heads):
        if name == "tags":
            cells = tag_cells_around if config.tag_reading == "around" else tag_cells
            targets["tag_cells"] = cells(scene, config.most_people)
        else:
            targets[name], targets[name + WEIGHTS] = _maker(name)(scene, spec, config)
    return targets


def _heatmaps(scene: GridLabels, spec: ModelSpec, config: TargetConfig) -> Target:
    forms = {"disk": targets_personlab.disks, "centernet": targets_centernet.peaks}
    return forms.get(config.heatmap_form, gaussians)(scene, config)


_Maker = Callable[[GridLabels, ModelSpec, TargetConfig], Target]
_FIELDS: dict[str, _Maker] = {
    "heatmaps": _heatmaps,
    "pafs": lambda scene, spec, config: pafs(scene, spec.limbs, config),
    "short_offsets": lambda scene, spec, config: targets_personlab.short_offsets(scene, config),
    "mid_offsets": lambda scene, spec, config: targets_personlab.mid_offsets(scene, spec.limbs, config),
    "long_offsets": lambda scene, spec, config: targets_personlab.long_offsets(scene),
    "segmentation": lambda scene, spec, config: targets_personlab.segmentation(scene),
    "centres": lambda scene, spec, config: targets_centernet.centres(scene, config),
    "centre_offsets": lambda scene, spec, config: targets_centernet.centre_offsets(scene),
    "sizes": lambda scene, spec, config: targets_centernet.sizes(scene),
    "keypoint_offsets": lambda scene, spec, config: targets_centernet.keypoint_offsets(scene),
    "heatmap_offsets": lambda scene, spec, config: targets_centernet.heatmap_offsets(scene, config),
}
"""How each field is made; tags apart, of which only the places are known."""


def _maker(name: str) -> _Maker:
    if name not in _FIELDS:
        raise ValueError(f"heads: expected tags, {', '.join(_FIELDS)}, got {name}, which cannot be taught")
    return _FIELDS[name]
