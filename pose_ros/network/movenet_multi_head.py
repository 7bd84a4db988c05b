"""MoveNet with more heads: part affinity fields, tags and centres from one network, on the keypoints of OpenPose.

Backbone, pyramid and heads of MoveNet MultiPose find 17 keypoints and the centres. This network adds the neck, part
affinity fields and tags. Their stages read the features of strides 4, 8 and 16, and work at the strides 8 and 16, to
see large parts of a person.

A tag is a place: the cell of the keypoint plus a predicted vector, in units of 48 px. Training makes the tags of a
person agree, so the vectors learn to point to one place of that person. People who are far apart have different tags
without training.

References:
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, TensorFlow Blog, 2021.
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.2.
    Newell et al., Associative Embedding, arXiv:1611.05424 (pull and push).
    Neven et al., Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth,
    arXiv:1906.11109, section 3.1 (embeddings that are coordinates plus vectors).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads, with_probabilities
from pose_ros.network.movenet import (
    LOGITS,
    MULTIPOSE_WIDTH,
    PYRAMID,
    SCORE_THRESHOLD,
    STRIDE,
    FeaturePyramid,
    SeparableConv,
    describe_pixels,
    make_backbone,
    make_heads,
    upsample_2x,
)
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

ORIGIN = 1.5
"""Position of the first cell, px. The offsets are from the middle of a cell, MoveNet's from its corner."""
TAPS = (3, 6, 10, 13, 18)
"""Layers of the backbone: those of MoveNet, and the last of stride 16 before the channels double."""
CHANNELS = 128
TAG_UNIT_PX = 48.0
TAG_DIMENSIONS = 2
COARSE = 8
"""Stride of the stages, px."""
PEOPLE_SCALE = 1 / 16
"""Factor on the vectors from centres to keypoints, in cells, as an input of the stages."""
RARE_LOGIT = -4.6
"""Logit of an untrained keypoint: probability .01."""


class MoveNetMultiHead(PoseNetwork):
    """MoveNet MultiPose with a neck keypoint, part affinity fields and tags.

    Args:
        skeleton: Keypoints. Those of COCO come from MoveNet's heads. All others are predicted by new heads.
    """

    def __init__(self, skeleton: Skeleton = OPENPOSE_18) -> None:
        super().__init__()
        spec = ModelSpec(
            *("pose_ros_movenet", skeleton, STRIDE, ORIGIN),
            input=describe_pixels(short_side=352),
            grouping="paf",
            snapping="scaled",
            score_threshold=SCORE_THRESHOLD,
            licence="Apache-2.0",
        )
        self.backbone = make_backbone(MULTIPOSE_WIDTH, TAPS)
        fine, middle, coarse, context, last = self.backbone.channels
        self.neck = FeaturePyramid((fine, middle, coarse, last))
        self.heads = nn.ModuleDict(make_heads(COCO_17, with_boxes=True))
        added = [name for name in skeleton.keypoint_names if name not in COCO_17.keypoint_names]
        names = (*COCO_17.keypoint_names, *added)
        order = torch.tensor([names.index(name) for name in skeleton.keypoint_names])
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("pair_order", torch.stack([2 * order, 2 * order + 1], dim=1).flatten(), persistent=False)
        self._added = len(added)
        self.added = self._make_added(len(added)) if added else None
        self._sizes = [2 * len(skeleton.limbs), TAG_DIMENSIONS * len(skeleton)]
        self.spec = with_heads(spec, (*self.heads, "pafs", "tags"))
        self.context = nn.Conv2d(PYRAMID[0][1] + context, CHANNELS, 1)
        features = CHANNELS + PYRAMID[1][1] + PYRAMID[2][1] + 3 * len(skeleton)
        total = sum(self._sizes)
        self.stages = nn.ModuleList(FieldStage(cin, total) for cin in (features, CHANNELS + total))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: two stages at stride 8, then all other fields at stride 4."""
        fine, coarse = self._run(images)
        return [*coarse, fine]

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for inference."""
        fine, coarse = self._run(images)
        upsampled = {name: upsample_2x(field) for name, field in coarse[-1].items()}
        return with_probabilities({**fine, **upsampled}, LOGITS)

    def _run(self, images: Tensor) -> tuple[FieldTensors, list[FieldTensors]]:
        """Return the fields of stride 4, and those of each stage at stride 8."""
        fine, middle, coarse, context, last = self.backbone(images)
        levels = self.neck.levels((fine, middle, coarse, last))
        outputs = self._run_heads(levels[-1])
        features = self._make_features(levels, context, outputs)
        inner, fields = self.stages[0](features)
        stages = [self._split(fields)]
        for stage in self.stages[1:]:
            inner, correction = stage(torch.cat([inner, fields], dim=1))
            fields = fields + correction
            stages.append(self._split(fields))
        return outputs, stages

    def _run_heads(self, features: Tensor) -> FieldTensors:
        """Compute MoveNet's fields for the keypoints of the skeleton."""
        outputs = {name: head(features) for name, head in self.heads.items()}
        outputs |= {name: outputs[name] - 0.5 for name in outputs if name.endswith("_offsets")}
        names = ("heatmaps", "keypoint_offsets", "heatmap_offsets")
        if self.added is not None:
            added = self.added(features).split([self._added, 2 * self._added, 2 * self._added], dim=1)
            outputs |= {name: torch.cat([outputs[name], more], dim=1) for name, more in zip(names, added, strict=True)}
        for name in names:
            outputs[name] = outputs[name].index_select(1, self.order if name == "heatmaps" else self.pair_order)
        return outputs

    def _make_features(self, levels: list[Tensor], context: Tensor, outputs: FieldTensors) -> Tensor:
        """Merge the features, the heatmaps and the predicted people at stride 8."""
        coarse, middle, fine = levels
        found = functional.max_pool2d(outputs["heatmaps"].sigmoid(), 2)
        people = functional.avg_pool2d(outputs["keypoint_offsets"], 2) * PEOPLE_SCALE
        wide = upsample_2x(self.context(torch.cat([coarse, context], dim=1)))
        return torch.cat([wide, middle, functional.avg_pool2d(fine, 2), found, people], dim=1)

    def _split(self, fields: Tensor) -> FieldTensors:
        """Split the output of a stage, and turn the vectors of the tags into places."""
        pafs, vectors = fields.split(self._sizes, dim=1)
        vectors = vectors.float()  # bfloat16 cannot tell neighbouring cells apart
        return {"pafs": pafs, "tags": vectors + _places(vectors)}

    def _make_added(self, count: int) -> nn.Module:
        """Make the head of the added keypoints: logits, then offsets from the centre, then those of the peaks."""
        last = nn.Conv2d(CHANNELS, 5 * count, 1)
        nn.init.constant_(last.bias[:count], RARE_LOGIT)
        return nn.Sequential(SeparableConv(PYRAMID[-1][1], CHANNELS), last)


class FieldStage(nn.Module):
    """One stage: residual separable convolutions at stride 8, then at stride 16, then at stride 8.

    The fields of a new stage are 0, so that a later stage starts as no correction.

    Args:
        cin: Channels of the input.
        cout: Channels of the fields.
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(*_conv(cin, CHANNELS, 1))
        self.before, self.coarse, self.after = _blocks(1), _blocks(3), _blocks(1)
        self.leave = nn.Conv2d(CHANNELS, cout, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features (B, CHANNELS, H, W) and the fields (B, cout, H, W)."""
        features = self.before(self.enter(features))
        features = self.after(features + upsample_2x(self.coarse(functional.avg_pool2d(features, 2))))
        return features, self.leave(features)


class ResidualSeparable(nn.Sequential):
    """Depthwise 3 × 3 and pointwise convolution, added to their input."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return features + super().forward(features)


def _blocks(count: int) -> nn.Module:
    layers = (_conv(CHANNELS, CHANNELS, 3, groups=CHANNELS) + _conv(CHANNELS, CHANNELS, 1) for _ in range(count))
    return nn.Sequential(*(ResidualSeparable(*row) for row in layers))


def _conv(cin: int, cout: int, size: int, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(cin, cout, size, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def _places(vectors: Tensor) -> Tensor:
    """Return the places of the cells (1, C, H, W) from the middle of the map, x and y in turn, in units of the tags."""
    ones = vectors[:1, :1].clamp(1, 1)  # torch.arange and torch.ones_like would fix the size in an exported file
    along_x, along_y = ones.cumsum(dim=3), ones.cumsum(dim=2)
    places = [axis - axis.mean(dim=(2, 3), keepdim=True) for axis in (along_x, along_y)]
    return torch.cat(places, dim=1).repeat(1, vectors.shape[1] // TAG_DIMENSIONS, 1, 1) * (COARSE / TAG_UNIT_PX)


NETWORKS = {"pose_ros_movenet": MoveNetMultiHead}
