"""Import HRNet's checkpoints: the single-person networks of COCO and MPII, and HigherHRNet of COCO and CrowdPose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.higherhrnet import higherhrnet
from pose_ros.network.hrnet import hrnet
from pose_ros.network.model import PoseNetwork
from pose_ros.network.zoo import Builder
from pose_ros.skeleton import COCO_17, CROWDPOSE_14, MPII_16, Skeleton

SKELETONS = {len(skeleton): skeleton for skeleton in (COCO_17, MPII_16, CROWDPOSE_14)}

_PREFIXES = {
    "final_layer.": "heads.heatmaps.",
    "final_layers.0.": "coarse.",
    "final_layers.1.": "fine.",
    "deconv_layers.0.0.": "doubled.",
    "deconv_layers.0.1.0.": "doubled.3.",
    "deconv_layers.0.2.0.": "doubled.4.",
    "deconv_layers.0.3.0.": "doubled.5.",
    "deconv_layers.0.4.0.": "doubled.6.",
}
_FINEST = tuple(f"stage{stage}.0.branches.0.0.conv{conv}.weight" for stage in (2, 3, 4) for conv in (1, 2))


def skeleton_of(keypoints: int) -> Skeleton:
    """Return the skeleton of the HRNet family with a number of keypoints.

    Raises:
        ValueError: If no skeleton has this number.
    """
    if keypoints not in SKELETONS:
        raise ValueError(
            f"checkpoint: expected the keypoints of {', '.join(s.name for s in SKELETONS.values())}, got {keypoints}: "
            "the file does not contain their names; name its network with --network"
        )
    return SKELETONS[keypoints]


def crop_size_wh(skeleton: Skeleton) -> tuple[int, int]:
    """Return the size of the crops that single-person networks are trained on, px. MPII's crops are square."""
    return (256, 256) if skeleton == MPII_16 else (192, 256)


def output_channels(shapes: Shapes, layer: str, default: int = len(COCO_17)) -> int:
    """Return the output channels of a convolution. ``default`` if it is missing, so that ``fill`` reports its keys."""
    return next((shapes[key][0] for key in (f"{layer}.bias", f"{layer}.weight") if key in shapes), default)


def width_of(shapes: Shapes) -> int | None:
    """Return the channels of the finest resolution. None if the checkpoint has no HRNet."""
    return next((shapes[key][0] for key in _FINEST if key in shapes), None)


def rename_keys(state: State, prefixes: Mapping[str, str]) -> State:
    """Replace known prefixes of keys by ours. All other keys belong to the backbone."""
    return {_rename_key(key, prefixes): value for key, value in state.items()}


def _rename_key(key: str, prefixes: Mapping[str, str]) -> str:
    for prefix, replacement in prefixes.items():
        if key.startswith(prefix):
            return replacement + key.removeprefix(prefix)
    return f"backbone.{key}"


def _network(shapes: Shapes) -> Builder | None:
    width = width_of(shapes)
    if width is None:
        return None
    if any(key.startswith("final_layers.") for key in shapes):
        return partial(_higherhrnet, width, output_channels(shapes, "final_layers.1"))
    if any(key.startswith("final_layer.") for key in shapes):
        return partial(_hrnet, width, output_channels(shapes, "final_layer"))
    return None


def _higherhrnet(width: int, keypoints: int) -> PoseNetwork:
    return higherhrnet(skeleton_of(keypoints), width)


def _hrnet(width: int, keypoints: int) -> PoseNetwork:
    skeleton = skeleton_of(keypoints)
    return hrnet(skeleton, width, crop_size_wh(skeleton))


def _convert(state: State) -> State:
    return rename_keys(state, _PREFIXES)


PUBLISHER = Publisher("HRNet", _network, _convert)
