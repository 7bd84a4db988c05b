"""What every network of this package is: images in, named fields out, with a description of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from pose_ros.fields import HeadSpec, InputSpec, ModelSpec
from pose_ros.skeleton import Skeleton

FieldTensors = dict[str, Tensor]
"""Field name (an attribute of ``pose_ros.fields.Fields``) to (B, C, H, W), channels in the order of ``Fields``."""

IMAGENET_INPUT = InputSpec(
    tensor="image",
    layout="NCHW",
    dtype="float32",
    colour="rgb",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)
"""The mean and spread of ImageNet's pixels, which torchvision's weights expect."""


class PoseNetwork(nn.Module):
    """A pose network.

    Attributes:
        spec: Its description. ``spec.input`` tells how pixels become the (B, 3, H, W) float32 that ``forward`` takes:
            value = (pixel - mean) / std, in the colour order of ``spec.input.colour``. ``spec.heads`` has one entry
            per field of ``fields``, and the tensor of each bears the field's name.
    """

    spec: ModelSpec

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of ``spec.input.multiple``.

        Returns:
            What each supervised stage says, the last stage last; heatmaps, centres and segmentation are logits where
            the publisher's loss takes logits.
        """
        raise NotImplementedError

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for use: the fields of ``spec.heads``, confidences in [0, 1], all on the last grid."""
        return self(images)[-1]


class HeadedNetwork(PoseNetwork):
    """A backbone, a neck and named heads, each free to be exchanged.

    Args:
        spec: The description; its heads are made of the names of ``heads``.
        backbone: Images to a tuple of feature maps, fine to coarse, or to one feature map.
        neck: What the backbone gives to the one feature map that the heads read; ``nn.Identity()`` for none.
        heads: Field name to module.
        logits: The fields whose heads give logits.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backbone: nn.Module,
        neck: nn.Module,
        heads: Mapping[str, nn.Module],
        logits: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.spec = with_heads(spec, heads)
        self.backbone = backbone
        self.neck = neck
        self.heads = nn.ModuleDict(heads)
        self.logits = logits

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one stage."""
        features = self.neck(self.backbone(images))
        return [{name: head(features) for name, head in self.heads.items()}]

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for use."""
        return with_probabilities(self(images)[-1], self.logits)


class Coarsest(nn.Module):
    """The last of a backbone's feature maps."""

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Feature maps, fine to coarse, to one."""
        return features[-1]


def crop_spec(
    name: str,
    skeleton: Skeleton,
    size_wh: tuple[int, int] = (192, 256),
    origin: float = 0.0,
    licence: str = "MIT",
) -> ModelSpec:
    """The description, but for the heads, of a network of stride 4 for the crop of one person, with ImageNet's pixels.

    Args:
        name: Of the network.
        skeleton: Its keypoints.
        size_wh: Of the crop, px.
        origin: See ``ModelSpec``.
        licence: Of the publisher's weights.
    """
    crop = replace(IMAGENET_INPUT, multiple=32, short_side=min(size_wh), size_wh=size_wh)
    return ModelSpec(name, skeleton, 4, origin, input=crop, grouping="single", licence=licence)


def with_heads(spec: ModelSpec, names: Mapping[str, object] | tuple[str, ...]) -> ModelSpec:
    """A description whose outputs are tensors of the fields' own names."""
    return replace(spec, heads=tuple(HeadSpec(name, name) for name in names))


def with_probabilities(outputs: FieldTensors, logits: tuple[str, ...]) -> FieldTensors:
    """The outputs with some fields' logits made confidences."""
    return {name: output.sigmoid() if name in logits else output for name, output in outputs.items()}
