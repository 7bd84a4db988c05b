"""DirectPose: every cell of a feature pyramid predicts one person with all keypoints, without grouping.

Keypoints are far from the cell that predicts them. KPAlign therefore works in two steps. The locator predicts roughly
where the keypoints are. The predictor reads the features there, one pyramid level finer, and adds what is missing.
Neighbouring keypoints share a rough place: the 17 keypoints of COCO have 9.

Heatmaps at stride 8 are an auxiliary task. They are trained together with the people, and are not computed afterwards.
The authors published no code. The visibility of keypoints, the sizes and the groups are those of GluonCV's DirectPose.
Its weights do not fit, because its backbone blurs before each stride.

References:
    Tian et al., DirectPose: Direct End-to-End Multi-Person Pose Estimation, arXiv:1911.07451, section 3.
    Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355, section 3.
    Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, section 4.1 (first bias of the scores).
    Guo et al., GluonCV and GluonNLP, arXiv:1907.04433 (an implementation with weights).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.deformable import sample
from pose_ros.network.mobilenet_v2 import MobileNetV2
from pose_ros.network.model import IMAGENET_INPUT, FieldTensors, PoseNetwork, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

STRIDE = 8
"""Stride of the finest level. Each further level has twice the stride of the last one."""
BACKBONE_LEVELS = 3
"""Levels that are made from the backbone. The coarser ones are made from the last of these."""
PRIOR = 0.01
"""Probability that a cell is a person or a keypoint, before training."""
SCORE_THRESHOLD = 0.3
"""Lowest visibility of a keypoint."""
PARTS = {"nose": "head", "eye": "head", "ear": "head", "wrist": "elbow", "ankle": "knee"}
"""Keypoints that share a rough place with others of their side, or of the head."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a DirectPose.

    Attributes:
        levels: Levels of the pyramid, 3 or more.
        channels: Channels of the pyramid.
        group_channels: Channels of each group of keypoints.
        convs: Convolutions of the two towers before the outputs.
        short_side: Short side of the images, px.
    """

    levels: int = 5
    channels: int = 256
    group_channels: int = 64
    convs: int = 4
    short_side: int = 800


SMALL = Sizes(levels=3, channels=64, group_channels=16, convs=2, short_side=256)


class DirectPose(PoseNetwork):
    """Pyramid on a backbone, and one set of heads for all its levels.

    Args:
        name: Name of the network.
        skeleton: Keypoints to predict.
        backbone: Module from images to feature maps, of which the last three have the strides 8, 16 and 32.
        sizes: Sizes of the pyramid and the heads.
    """

    def __init__(self, name: str, skeleton: Skeleton, backbone: ResNet | MobileNetV2, sizes: Sizes) -> None:
        super().__init__()
        multiple = STRIDE << (sizes.levels - 1)
        pixels = replace(IMAGENET_INPUT, multiple=multiple, short_side=sizes.short_side)
        spec = ModelSpec(
            *(name, skeleton, STRIDE, (STRIDE - 1) / 2),
            input=pixels,
            grouping="direct",
            score_threshold=SCORE_THRESHOLD,
        )
        self.spec = with_heads(spec, ("people", "person_scores"))
        channels, groups = sizes.channels, keypoint_groups(skeleton)
        grouped = len(groups) * sizes.group_channels
        self.backbone = backbone
        self.pyramid = Pyramid(backbone.channels[-BACKBONE_LEVELS:], channels, sizes.levels)
        self.score_tower = nn.Sequential(*(_conv_norm_relu(channels, channels) for _ in range(sizes.convs)))
        self.score = nn.Conv2d(channels, 1, 3, padding=1)
        self.tower = nn.Sequential(
            _conv_norm_relu(channels, grouped, group_size=4),
            *(_conv_norm_relu(grouped, grouped, len(groups), group_size=4) for _ in range(sizes.convs - 1)),
        )
        self.centreness = nn.Conv2d(grouped, 1, 3, padding=1)
        self.align = KPAlign(groups, sizes.group_channels)
        half = channels // 2
        self.heatmaps = nn.Sequential(
            *(_conv_norm_relu(channels, half), _conv_norm_relu(half, half)),
            nn.Conv2d(half, len(skeleton), 3, padding=1),
        )
        self._init_weights()

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute one stage for training.

        Returns:
            ``heatmaps`` (B, K, H / 8, W / 8) logits. The others have P columns, the cells of all levels, row by row,
            the finest level first: ``person_scores`` and ``centreness`` (B, 1, P) logits, ``person_offsets`` (B, 2 K,
            P) x and y from the cell to its keypoints in cells of its level, ``keypoint_scores`` (B, K, P) logits.
        """
        levels = self.pyramid(self.backbone(images)[-BACKBONE_LEVELS:])
        return [{"heatmaps": self.heatmaps(levels[0]), **self._predict(levels)}]

    def fields(self, images: Tensor) -> FieldTensors:
        """Compute the people of all cells, in cells of the finest level, and their scores."""
        levels = self.pyramid(self.backbone(images)[-BACKBONE_LEVELS:])
        outputs = {name: output.float() for name, output in self._predict(levels).items()}
        xy = place_people(outputs["person_offsets"], levels)
        people = torch.cat([xy, outputs["keypoint_scores"].sigmoid()[:, :, None]], dim=2)
        scores = outputs["person_scores"].sigmoid() * outputs["centreness"].sigmoid()  # FCOS, section 3.3
        return {"people": people.flatten(1, 2), "person_scores": scores}

    def _predict(self, levels: Sequence[Tensor]) -> FieldTensors:
        towers = [self.tower(level) for level in levels]
        offsets, visibilities = zip(*self.align(towers), strict=True)
        maps = {
            "person_scores": [self.score(self.score_tower(level)) for level in levels],
            "centreness": [self.centreness(tower) for tower in towers],
            "person_offsets": offsets,
            "keypoint_scores": visibilities,
        }
        return {name: torch.cat([each.flatten(2) for each in fields], dim=2) for name, fields in maps.items()}

    def _init_weights(self) -> None:
        for part in (self.score_tower, self.score, self.tower, self.centreness, self.align, self.heatmaps):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.normal_(module.weight, std=0.01)
                    nn.init.zeros_(module.bias)
        for conv in (self.score, self.heatmaps[-1]):
            nn.init.constant_(conv.bias, math.log(PRIOR / (1 - PRIOR)))


class KPAlign(nn.Module):
    """Keypoint alignment: a locator for each group of keypoints, and a predictor that reads the features there.

    Args:
        groups: Keypoints of each group.
        channels: Channels of each group.
    """

    def __init__(self, groups: Sequence[Sequence[int]], channels: int) -> None:
        super().__init__()
        count, grouped = len(groups), len(groups) * channels
        self.channels, self.sizes = channels, [len(group) for group in groups]
        order = [keypoint for group in groups for keypoint in group]
        self.order = [order.index(keypoint) for keypoint in range(len(order))]
        self.locator = nn.Conv2d(grouped, 2 * count, 3, padding=1, groups=count)
        self.sampler = _conv_norm_relu(grouped, grouped, count, group_size=4)
        self.predictors = nn.ModuleList(nn.Conv2d(channels, 3 * size, 1) for size in self.sizes)

    def forward(self, towers: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Predict the keypoints of the cells of each level.

        Args:
            towers: (B, groups x channels, H, W) of each level, fine to coarse.

        Returns:
            For each level (B, 2 K, H, W) x and y from the cell in its cells, and (B, K, H, W) logits of visibility.
        """
        sources = [self.sampler(tower) for tower in towers]
        places = [self.locator(tower) for tower in towers]
        finest = self._predict(sources[0], places[0], 1)
        return [finest, *(self._predict(*each, 2) for each in zip(sources[:-1], places[1:], strict=True))]

    def _predict(self, source: Tensor, places: Tensor, ratio: int) -> tuple[Tensor, Tensor]:
        """Predict the keypoints at places (B, 2 groups, H, W) from a source with ``ratio`` times as many cells."""
        height, width = places.shape[2:]
        places = places.float().unflatten(
            1, (-1, 2)
        )  # (B, groups, 2, H, W), because places need more than 8 or 11 bits
        columns = torch.arange(width, device=places.device, dtype=places.dtype)
        rows = torch.arange(height, device=places.device, dtype=places.dtype)[:, None]
        x, y = (_to_finer(each, ratio).flatten(0, 1) for each in (places[:, :, 0] + columns, places[:, :, 1] + rows))
        # In a trace, unflatten would turn the grid of the source, by which sampling divides, into constants.
        shares = source.reshape(-1, self.channels, *source.shape[2:])  # (B groups, channels, …)
        sampled = sample(shares.float(), x, y).to(source.dtype).unflatten(0, (-1, len(self.sizes)))
        offsets, visibilities = [], []
        for group, (predict, size) in enumerate(zip(self.predictors, self.sizes, strict=True)):
            residuals, visibility = predict(sampled[:, group]).split([2 * size, size], dim=1)
            offsets.append(residuals.unflatten(1, (size, 2)) / ratio + places[:, group, None])
            visibilities.append(visibility)
        return torch.cat(offsets, dim=1)[:, self.order].flatten(1, 2), torch.cat(visibilities, dim=1)[:, self.order]


class Pyramid(nn.Module):
    """Feature pyramid. Levels beyond those of the backbone are made by convolutions of stride 2.

    Args:
        channels: Channels of the backbone's maps, fine to coarse.
        cout: Channels of each level.
        levels: Number of levels, at least the number of maps.
    """

    def __init__(self, channels: Sequence[int], cout: int, levels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(cin, cout, 1) for cin in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(cout, cout, 3, padding=1) for _ in channels)
        self.coarser = nn.ModuleList(nn.Conv2d(cout, cout, 3, 2, 1) for _ in range(levels - len(channels)))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map the backbone's features to the levels (B, cout, H, W), fine to coarse."""
        merged = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for fine, coarse in reversed(list(pairwise(range(len(merged))))):
            merged[fine] = merged[fine] + functional.interpolate(merged[coarse], scale_factor=2.0)
        levels = [smooth(features) for smooth, features in zip(self.smooth, merged, strict=True)]
        for index, conv in enumerate(self.coarser):
            levels.append(conv(levels[-1].relu() if index else levels[-1]))
        return levels


def place_people(offsets: Tensor, levels: Sequence[Tensor]) -> Tensor:
    """Convert offsets from cells to positions in cells of the finest level.

    Args:
        offsets: (B, 2 K, P) x and y of each keypoint, in cells of the level.
        levels: (B, C, H, W) maps of the levels, of which only the shapes are read.

    Returns:
        (B, K, 2, P) x and y.
    """
    cells, scales = [], []
    for index, level in enumerate(levels):
        height, width = level.shape[2:]
        columns, rows = (torch.arange(size, device=offsets.device, dtype=offsets.dtype) for size in (width, height))
        xy = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)]).flatten(1)
        cells.append(_to_finer(xy, 2**index))
        scales.append(torch.full_like(xy[:1], 2**index))
    return offsets.unflatten(1, (-1, 2)) * torch.cat(scales, dim=1) + torch.cat(cells, dim=1)


def keypoint_groups(skeleton: Skeleton) -> list[list[int]]:
    """Return the keypoints of each group: the head, and for each side shoulder, arm, hip and leg.

    Keypoints with other names are groups of their own.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(skeleton.keypoint_names):
        *side, part = name.split("_")
        shared = PARTS.get(part, part)
        groups.setdefault("head" if shared == "head" else "_".join([*side, shared]), []).append(index)
    return list(groups.values())


def _to_finer(cells: Tensor, ratio: int) -> Tensor:
    """Convert positions in cells to a grid with ``ratio`` times as many cells. Both grids cover the same image."""
    return cells * ratio + (ratio - 1) / 2


def _conv_norm_relu(cin: int, cout: int, groups: int = 1, group_size: int = 0) -> nn.Sequential:
    """Make a 3 × 3 convolution. A group of its normalisation has ``group_size`` channels. 0 = up to 32 groups."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1, groups=groups),
        nn.GroupNorm(cout // group_size if group_size else min(32, cout // 2), cout),
        nn.ReLU(inplace=True),
    )


def directpose_resnet(skeleton: Skeleton = COCO_17, depth: int = 50) -> PoseNetwork:
    """Build DirectPose on a ResNet."""
    return DirectPose(f"directpose_resnet{depth}", skeleton, ResNet(depth), Sizes())


def directpose_mobilenet_v2(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """Build a small DirectPose on half a MobileNet V2. It is not a published network."""
    return DirectPose("directpose_mobilenet_v2", skeleton, MobileNetV2(0.5), SMALL)


NETWORKS = {
    "directpose_mobilenet_v2": directpose_mobilenet_v2,
    **{f"directpose_resnet{depth}": partial(directpose_resnet, depth=depth) for depth in (50, 101)},
}
