"""Import DEKR's checkpoints, of COCO and CrowdPose.

DEKR's offsets are centre minus keypoint. Ours point from the centre to the keypoint, so the last convolutions are
negated.
"""

from __future__ import annotations

import re
from functools import partial

from pose_ros.checkpoint.hrnet import output_channels, skeleton_of, width_of
from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.dekr import dekr
from pose_ros.network.model import PoseNetwork
from pose_ros.network.zoo import Builder

_KEY_RULES = (
    (r"transition_heatmap\.", "heatmaps."),
    (r"head_heatmap\.0\.0\.", "heatmaps.3."),
    (r"head_heatmap\.1\.", "heatmaps.4."),
    (r"transition_offset\.", "shares."),
    (r"offset_feature_layers\.(\d+\.\d)\.transform_matrix_conv\.", r"branches.\1.matrix."),
    (r"offset_feature_layers\.(\d+\.\d)\.translation_conv\.", r"branches.\1.translation."),
    (r"offset_feature_layers\.(\d+\.\d)\.adapt_conv\.", r"branches.\1."),
    (r"offset_feature_layers\.(\d+\.\d)\.bn\.", r"branches.\1.norm."),
    (r"offset_final_layer\.(\d+)\.", r"branches.\1.2."),
    (r"", "backbone."),
)


def _network(shapes: Shapes) -> Builder | None:
    width = width_of(shapes)
    if width is None or not any(key.startswith("offset_final_layer.") for key in shapes):
        return None
    return partial(_build, width, output_channels(shapes, "head_heatmap.1", default=18) - 1)


def _build(width: int, keypoints: int) -> PoseNetwork:
    return dekr(skeleton_of(keypoints), width)


def _convert(state: State) -> State:
    return {
        _rename_key(key): -value if key.startswith("offset_final_layer.") else value
        for key, value in state.items()
        if not key.endswith(".regular_matrix")  # the kernel's nine points, a constant
    }


def _rename_key(key: str) -> str:
    pattern, replacement = next(row for row in _KEY_RULES if re.match(row[0], key))
    return re.sub(f"^{pattern}", replacement, key)


PUBLISHER = Publisher("DEKR", _network, _convert)
