"""The interface of all networks: images in, named fields out, and a description of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from pose_ros.fields import PERSON_FIELDS, HeadSpec, InputSpec, ModelSpec
from pose_ros.skeleton import Skeleton

FieldTensors = dict[str, Tensor]
"""Field name (an attribute of ``pose_ros.fields.Fields``) to (B, C, H, W), channels in the order of ``Fields``.

Fields with one column for each person are (B, C, P).
"""

IMAGENET_INPUT = InputSpec(
    tensor="image",
    layout="NCHW",
    dtype="float32",
    colour="rgb",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)
"""Mean and standard deviation of the pixels of ImageNet, which torchvision's weights expect."""


class PoseNetwork(nn.Module):
    """Base class of pose networks.

    Attributes:
        spec: Model description. ``spec.input`` describes how to normalise pixels for ``forward``, which takes
            (B, 3, H, W) float32: value = (pixel - mean) / std, in the colour order ``spec.input.colour``.
            ``spec.heads`` has one entry per field of ``fields``. Its tensor has the name of the field.
        zoo_name: Name in the zoo. Empty for a network that was not built by ``zoo.build``.
    """

    spec: ModelSpec
    zoo_name: str = ""

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training.

        Args:
            images: (B, 3, H, W), normalised. H and W are multiples of ``spec.input.multiple``.

        Returns:
            The outputs of each supervised stage, in order. Heatmaps, centres and segmentation are logits if the
            publisher's loss takes logits.
        """
        raise NotImplementedError

    def fields(self, images: Tensor) -> FieldTensors:
        """Compute the fields of ``spec.heads`` for inference: confidences in [0, 1], all on the last grid."""
        return self(images)[-1]


class HeadedNetwork(PoseNetwork):
    """Network of a backbone, a neck and named heads, all replaceable.

    Args:
        spec: Model description. Its heads are replaced by the names of ``heads``.
        backbone: Module from images to a tuple of feature maps, fine to coarse, or to one feature map.
        neck: Module from the backbone's output to the one feature map that the heads read. ``nn.Identity()`` = no neck.
        heads: Field name to module.
        logits: Names of the fields whose heads return logits.
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
        """Run the network for inference."""
        return with_probabilities(self(images)[-1], self.logits)


class CoarsestMap(nn.Module):
    """Neck that selects the last feature map of a backbone."""

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Select the last of the feature maps, which go from fine to coarse."""
        return features[-1]


def crop_spec(
    name: str,
    skeleton: Skeleton,
    size_wh: tuple[int, int] = (192, 256),
    origin: float = 0.0,
    licence: str = "MIT",
) -> ModelSpec:
    """Describe a network of stride 4 for crops of one person, normalised as for ImageNet. The heads are not set.

    Args:
        name: Name of the network.
        skeleton: Keypoints to predict.
        size_wh: Size of the crop, px.
        origin: Origin of the field. See ``ModelSpec``.
        licence: Licence of the publisher's weights.
    """
    crop = replace(IMAGENET_INPUT, multiple=32, short_side=min(size_wh), size_wh=size_wh)
    return ModelSpec(name, skeleton, 4, origin, input=crop, grouping="single", licence=licence)


def with_heads(spec: ModelSpec, names: Mapping[str, object] | tuple[str, ...]) -> ModelSpec:
    """Return a copy of a description, with one output tensor per name. Each has the name of its field."""
    heads = (HeadSpec(name, name, "NCP" if name in PERSON_FIELDS else "NCHW") for name in names)
    return replace(spec, heads=tuple(heads))


def with_probabilities(outputs: FieldTensors, logits: tuple[str, ...]) -> FieldTensors:
    """Return the outputs with the logits of the named fields converted to confidences."""
    return {name: output.sigmoid() if name in logits else output for name, output in outputs.items()}
