"""MoveNet: CenterNet with small separable heads on a MobileNet V2 with a feature pyramid.

Each keypoint has its own sub-cell offset, and is found by its heatmap and the prediction from the person's centre
together: see ``decoder.snapping``. The publisher's rule is ``weighted``. ``scaled`` is more accurate. A cell and its
offset are measured from the edge of the image: cell c and
offset d lie at x = 4 (c + d) - 0.5.

References:
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, TensorFlow Blog, 2021.
    Zhou et al., Objects as Points, arXiv:1904.07850, section 3 and 4.2 (heads).
    Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144, section 3.
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.mobilenet_v2 import MobileNetV2
from pose_ros.network.model import HeadedNetwork, PoseNetwork
from pose_ros.skeleton import COCO_17, Skeleton

STRIDE = 4
ORIGIN = -0.5
TAPS = (3, 6, 10, 18)
"""Layers of the backbone that the pyramid reads: strides 4, 8, 16 and 32."""
PYRAMID = ((64, 32), (32, 24), (24, 24))
"""Channels before and after the separable convolution of each level, strides 16, 8 and 4."""
MULTIPOSE_WIDTH = 1.5
HIDDEN = 96
SCORE_THRESHOLD = 0.13
"""Lowest value of a keypoint. The publisher's is 0.127."""
LOGITS = ("centres", "heatmaps")


class FeaturePyramid(nn.Module):
    """Merge four feature maps, from coarse to fine: add the upsampled map and the finer one, and convolve.

    Args:
        channels: Channels of the maps, fine to coarse.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        *finer, coarsest = channels
        self.coarsest = nn.Conv2d(coarsest, PYRAMID[0][0], 1)
        rows = list(zip(reversed(finer), PYRAMID, strict=True))
        self.laterals = nn.ModuleList(nn.Conv2d(cin, before, 1) for cin, (before, _) in rows)
        self.smooth = nn.ModuleList(SeparableConv(before, after) for _, (before, after) in rows)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map the features of strides 4 to 32 to (B, 24, H / 4, W / 4)."""
        return self.levels(features)[-1]

    def levels(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the merged maps of the strides 16, 8 and 4."""
        *finer, coarsest = features
        merged, results = self.coarsest(coarsest), []
        for fine, lateral, smooth in zip(reversed(finer), self.laterals, self.smooth, strict=True):
            merged = smooth(upsample_2x(merged) + lateral(fine))
            results.append(merged)
        return results


class SeparableConv(nn.Sequential):
    """Depthwise 3 × 3 and pointwise convolution, ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(cin, cin, 3, padding=1, groups=cin, bias=False)
        self.pointwise = nn.Conv2d(cin, cout, 1)
        self.act = nn.ReLU(inplace=True)


def upsample_2x(features: Tensor) -> Tensor:
    """Double the resolution, bilinear with half-pixel centres."""
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


def make_heads(skeleton: Skeleton, with_boxes: bool) -> dict[str, nn.Module]:
    """Make the heads: a separable 3 × 3 to 96 channels, and a 1 × 1."""
    keypoints = len(skeleton)
    boxes = {"sizes": 2, "centre_offsets": 2} if with_boxes else {}
    sizes = {"centres": 1, **boxes, "heatmaps": keypoints}
    sizes |= {"keypoint_offsets": 2 * keypoints, "heatmap_offsets": 2 * keypoints}
    channels = PYRAMID[-1][1]
    return {
        name: nn.Sequential(SeparableConv(channels, HIDDEN), nn.Conv2d(HIDDEN, size, 1)) for name, size in sizes.items()
    }


def movenet(name: str, width: float, skeleton: Skeleton, grouping: str, pixels: InputSpec) -> HeadedNetwork:
    """Build a MoveNet.

    Args:
        name: Name of the network.
        width: Width of the backbone.
        skeleton: Keypoints to predict.
        grouping: ``"centernet"`` for many people, ``"single"`` for one.
        pixels: Input tensor.
    """
    backbone = make_backbone(width)
    spec = ModelSpec(
        *(name, skeleton, STRIDE, ORIGIN),
        input=pixels,
        grouping=grouping,
        snapping="scaled",
        score_threshold=SCORE_THRESHOLD,
        licence="Apache-2.0",
    )
    heads = make_heads(skeleton, with_boxes=grouping == "centernet")
    return HeadedNetwork(spec, backbone, FeaturePyramid(backbone.channels), heads, LOGITS)


def make_backbone(width: float, taps: tuple[int, ...] = TAPS) -> MobileNetV2:
    """Make the backbone, to stride 32, with folded normalisation."""
    return MobileNetV2(width, norm=False, last=1280, taps=taps, pads_after=True)


def movenet_multipose(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """Build MultiPose Lightning, for many people."""
    return movenet("movenet_multipose", MULTIPOSE_WIDTH, skeleton, "centernet", describe_pixels(short_side=384))


def movenet_lightning(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """Build SinglePose Lightning, for one person in the middle of the image."""
    return movenet("movenet_lightning", 1.0, skeleton, "single", describe_pixels(192, (192, 192)))


def movenet_thunder(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """Build SinglePose Thunder, for one person in the middle of the image."""
    return movenet("movenet_thunder", 1.75, skeleton, "single", describe_pixels(256, (256, 256)))


def describe_pixels(short_side: int, size_wh: tuple[int, int] | None = None) -> InputSpec:
    """Describe the input: RGB from -1 to 1."""
    scale = (127.5, 127.5, 127.5)
    return InputSpec("image", "NCHW", "float32", "rgb", scale, scale, 32, short_side, size_wh)


NETWORKS = {
    "movenet_lightning": movenet_lightning,
    "movenet_multipose": movenet_multipose,
    "movenet_thunder": movenet_thunder,
}
