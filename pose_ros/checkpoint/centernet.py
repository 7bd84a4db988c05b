"""Import CenterNet's multi-person pose checkpoints: DLA-34 with DCNv2, the large hourglass, and ResNets."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.centernet import centernet_dla34, centernet_hourglass, centernet_resnet
from pose_ros.network.resnet import BLOCKS
from pose_ros.network.zoo import Builder

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern and its replacement."""

HEADS = {
    "hm": "centres",
    "wh": "sizes",
    "hps": "keypoint_offsets",
    "reg": "centre_offsets",
    "hm_hp": "heatmaps",
    "hp_offset": "heatmap_offsets",
}
PARTS = {"proj": "projections", "up": "upsamplings", "node": "nodes"}

_UNUSED = re.compile(r"base\.level[34]\.project\..*|(base\.)?fc\..*")
"""Keys that are saved and never used: shortcuts of nested trees, and classifiers."""

_NAMES = "|".join(HEADS)
_HEAD: Rule = (rf"^({_NAMES})\.", lambda match: f"heads.{HEADS[match[1]]}.")

_RULES: dict[str, tuple[Rule, ...]] = {
    "dla_up.": (
        _HEAD,
        (r"^base\.", "backbone."),
        (r"^dla_up\.ida_(\d+)\.", r"neck.steps.\1."),
        (r"^ida_up\.", "neck.last."),
        (r"\.(proj|up|node)_(\d+)\.", lambda match: f".{PARTS[match[1]]}.{int(match[2]) - 1}."),
        (r"\.actf\.0\.", ".norm."),
    ),
    "kps.": (
        (rf"^({_NAMES})\.(\d+)\.", lambda match: f"heads.{match[2]}.{HEADS[match[1]]}."),
        (r"^(heads\.\d+\.\w+)\.0\.conv\.", r"\1.0."),
        (r"^(heads\.\d+\.\w+)\.1\.", r"\1.2."),
        (r"^pre\.0\.conv\.", "backbone.stem.0.0."),
        (r"^pre\.0\.bn\.", "backbone.stem.0.1."),
        (r"^pre\.1\.", "backbone.stem.2."),
        (r"^kps\.", "backbone.hourglasses."),
        (r"^cnvs\.(\d+)\.conv\.", r"backbone.ends.\1.0."),
        (r"^cnvs\.(\d+)\.bn\.", r"backbone.ends.\1.1."),
        (r"^inters_\.", "backbone.past."),
        (r"^cnvs_\.", "backbone.back."),
        (r"^inters\.", "backbone.between."),
        (r"\.up1(?=\.)", ".around"),
        (r"\.low1(?=\.)", ".down"),
        (r"\.low2(?=\.)", ".inner"),
        (r"\.low3(?=\.)", ".up"),
        (r"\.skip\.", ".downsample."),
    ),
    "deconv_layers.": (
        _HEAD,
        (r"^deconv_layers\.", "neck."),
        (r"^(conv1|bn1|layer\d)\.", r"backbone.\1."),
    ),
}
"""Rules by backbone. Each backbone is identified by the prefix of a key that no other has."""


def _network(shapes: Shapes) -> Builder | None:
    backbone = _find_backbone(shapes)
    if backbone is None or not any(key.startswith("hps.") for key in shapes):
        return None
    if backbone == "deconv_layers.":
        depth = _find_depth(shapes)
        return partial(centernet_resnet, depth=depth) if depth else None
    return centernet_dla34 if backbone == "dla_up." else centernet_hourglass


def _find_backbone(shapes: Shapes | State) -> str | None:
    return next((prefix for prefix in _RULES if any(key.startswith(prefix) for key in shapes)), None)


def _find_depth(shapes: Shapes) -> int | None:
    """Find the depth of a ResNet from its numbers of blocks. None if no ResNet has these numbers."""
    blocks = tuple(len({key.split(".")[1] for key in shapes if key.startswith(f"layer{n}.")}) for n in (1, 2, 3, 4))
    bottleneck = any(key.endswith(".conv3.weight") for key in shapes)
    return next((depth for depth in BLOCKS if BLOCKS[depth] == blocks and (depth >= 50) == bottleneck), None)


def _convert(state: State) -> State:
    rules = _RULES.get(_find_backbone(state) or "", ())
    return {_rename_key(key, rules): value for key, value in state.items() if not _UNUSED.fullmatch(key)}


def _rename_key(key: str, rules: tuple[Rule, ...]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


PUBLISHER = Publisher("CenterNet", _network, _convert)
