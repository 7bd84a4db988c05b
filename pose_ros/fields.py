"""What a network says about one image (Fields), and how a model file describes itself (ModelSpec).

A model carries its description with it, as JSON under the key ``pose_ros`` of its ONNX metadata; a YAML file of the
same content, ``<model>.yaml`` beside ``<model>.onnx``, serves public models that have none. Nothing downstream knows
a channel number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.config_file import build_config, to_plain
from pose_ros.skeleton import Limb, Skeleton

METADATA_KEY = "pose_ros"
GROUPING_HEADS = {
    "paf": ("heatmaps", "pafs"),
    "tag": ("heatmaps", "tags"),
    "personlab": ("heatmaps", "short_offsets", "mid_offsets"),
    "centernet": ("centres", "keypoint_offsets"),
    "single": ("heatmaps",),
}
"""The fields that each way of grouping needs."""
OPTIONAL_HEADS = {
    "personlab": ("long_offsets", "segmentation"),
    "centernet": ("centre_offsets", "sizes", "heatmaps", "heatmap_offsets"),
}
"""The fields that a way of grouping makes use of where the model has them."""
FRONT_HEADS = ("peaks", "limb_scores")
"""What a network with a decode front gives beside heatmaps and PAFs, in place of them."""


@dataclass(frozen=True)
class Fields:
    """The output arrays of one image, channels first, all on one grid of H rows and W columns.

    A network with a decode front gives, beside its heatmaps and PAFs, the M strongest peaks and the values of the limbs
    between them: a few thousand numbers instead of a million.

    Attributes:
        heatmaps: (K or more, H, W) confidence of each keypoint; further channels (background) are ignored.
        pafs: (2 L, H, W) part affinity fields: x and y of the unit vector along each limb, limb by limb.
        tags: (K D, H, W) associative embeddings, D numbers per keypoint: channel k D + d.
        short_offsets: (2 K, H, W) x and y from a cell to the keypoint beside it, px; keypoint by keypoint.
        mid_offsets: (4 E, H, W) from a keypoint to its neighbour along an edge, px: x and y of each edge forward
            (from its first keypoint to its second), then x and y of each edge backward.
        long_offsets: (2 K, H, W) x and y from a cell of a person to that person's keypoint, px.
        segmentation: (1, H, W) probability that a cell shows a person.
        centres: (1, H, W) confidence of a person's centre.
        centre_offsets: (2, H, W) x and y from a centre's cell to the centre, cells.
        sizes: (2, H, W) width and height of the person centred at a cell, cells.
        keypoint_offsets: (2 K, H, W) x and y from a centre's cell to the person's keypoint, cells.
        heatmap_offsets: (2, H, W) x and y from a heatmap's peak cell to the keypoint, cells.
        peaks: (K, M, 3) x and y in cells and score of each keypoint's peaks, the strongest first; score 0: no peak.
        limb_scores: (L, M, M) value of each limb from peak i of its first to peak j of its second keypoint, at most 1;
            0 or less: no link.
    """

    heatmaps: AnyArray | None = None
    pafs: AnyArray | None = None
    tags: AnyArray | None = None
    short_offsets: AnyArray | None = None
    mid_offsets: AnyArray | None = None
    long_offsets: AnyArray | None = None
    segmentation: AnyArray | None = None
    centres: AnyArray | None = None
    centre_offsets: AnyArray | None = None
    sizes: AnyArray | None = None
    keypoint_offsets: AnyArray | None = None
    heatmap_offsets: AnyArray | None = None
    peaks: AnyArray | None = None
    limb_scores: AnyArray | None = None


def field_array(name: str, array: AnyArray | None, channels: int) -> FloatArray:
    """A field as C-contiguous float32 with exactly the wanted channels; not copied when it already is.

    Raises:
        ValueError: If the field is missing, not numeric, not (C, H, W), empty, or has too few channels.
    """
    if array is None:
        raise ValueError(f"{name}: expected an array of {channels} channels, got None: the model has no such head")
    array = np.asarray(array)
    if array.ndim != 3 or array.shape[0] < channels or 0 in array.shape:
        raise ValueError(f"{name}: expected shape ({channels} or more, H, W), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    return np.ascontiguousarray(array[:channels], np.float32)


def sigmoid(logits: AnyArray) -> FloatArray:
    """Probabilities of logits; NaN stays NaN."""
    with np.errstate(over="ignore"):
        probabilities = 1 / (1 + np.exp(-np.asarray(logits, np.float32)))
    return probabilities.astype(np.float32, copy=False)


@dataclass(frozen=True)
class InputSpec:
    """The image tensor of a network: value = (pixel - mean) / std, per channel in the network's colour order.

    Attributes:
        tensor: Name of the input.
        layout: ``"NHWC"`` or ``"NCHW"``.
        dtype: ``"uint8"`` or ``"float32"``.
        colour: ``"rgb"`` or ``"bgr"``.
        mean: Subtracted from each channel; (0, 0, 0) for a network that normalises inside.
        std: Divides each channel.
        multiple: Width and height are multiples of this, pixels.
        short_side: Shorter side that the model works best at, pixels.
        size_wh: Width and height, for a network of fixed size.
    """

    tensor: str = "image"
    layout: str = "NHWC"
    dtype: str = "uint8"
    colour: str = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    multiple: int = 32
    short_side: int = 368
    size_wh: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _one_of("input.layout", self.layout, ("NHWC", "NCHW"))
        _one_of("input.dtype", self.dtype, ("uint8", "float32"))
        _one_of("input.colour", self.colour, ("rgb", "bgr"))
        if self.dtype == "uint8" and (any(self.mean) or set(self.std) != {1.0}):
            raise ValueError("input: expected mean 0 and std 1 with dtype uint8 (the network normalises inside)")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(s > 0 for s in self.std):
            raise ValueError(f"input: expected 3 means and 3 positive stds, got {self.mean} and {self.std}")
        if self.multiple < 1 or self.short_side < self.multiple:
            raise ValueError(f"input: expected short_side >= multiple >= 1, got {self.short_side} and {self.multiple}")
        if self.size_wh is not None and (len(self.size_wh) != 2 or min(self.size_wh) < 1):
            raise ValueError(f"input.size_wh: expected (width, height), got {self.size_wh}")


@dataclass(frozen=True)
class HeadSpec:
    """Where a field stands in the network's outputs.

    Attributes:
        field: Attribute of Fields that it fills.
        tensor: Name of the output, one image per batch entry.
        layout: ``"NCHW"`` or ``"NHWC"``.
        channels: The output's channels in the order of Fields; empty takes all as they are.
        activation: ``"sigmoid"`` where the output is a logit, else ``"none"``.
    """

    field: str
    tensor: str
    layout: str = "NCHW"
    channels: tuple[int, ...] = ()
    activation: str = "none"

    def __post_init__(self) -> None:
        _one_of("head.activation", self.activation, ("none", "sigmoid"))
        _one_of("head.field", self.field, tuple(f.name for f in fields(Fields)))
        _one_of("head.layout", self.layout, ("NCHW", "NHWC"))

    def read(self, outputs: Mapping[str, AnyArray], index: int) -> AnyArray:
        """The field of image ``index``: (C, H, W), a view where channels and activation allow it."""
        array = self._channels(outputs[self.tensor][index])
        return array if self.activation == "none" else sigmoid(array)

    def _channels(self, array: AnyArray) -> AnyArray:
        if self.layout == "NHWC":
            array = array.transpose(2, 0, 1)
        if not self.channels:
            return array
        first, last = self.channels[0], self.channels[-1]
        if self.channels == tuple(range(first, last + 1)):
            return array[first : last + 1]
        return array[list(self.channels)]


@dataclass(frozen=True)
class ModelSpec:
    """Everything a program must know to use a pose network.

    Attributes:
        name: Name of the model.
        skeleton: Its keypoints.
        stride: Pixels of the network input per field cell.
        origin: Where the field begins: cell (row, col) lies at x = col stride + origin, y = row stride + origin.
        limbs: (from, to) keypoints of each part affinity field; by default the skeleton's limbs.
        input: The image tensor.
        heads: The outputs.
        grouping: The way of grouping to prefer, a key of GROUPING_HEADS.
        licence: Licence of the weights.
    """

    name: str
    skeleton: Skeleton
    stride: float
    origin: float = 0.0
    limbs: tuple[Limb, ...] = ()
    input: InputSpec = field(default_factory=InputSpec)
    heads: tuple[HeadSpec, ...] = ()
    grouping: str = "paf"
    licence: str = "unknown"

    def __post_init__(self) -> None:
        if not self.limbs:
            object.__setattr__(self, "limbs", self.skeleton.limbs)
        if not all(0 <= k < len(self.skeleton) for limb in self.limbs for k in limb):
            raise ValueError(f"limbs: expected keypoint indices below {len(self.skeleton)}, got {self.limbs}")
        if not self.stride > 0:
            raise ValueError(f"stride: expected a positive number, got {self.stride}")
        _one_of("grouping", self.grouping, tuple(GROUPING_HEADS))

    def fields(self, outputs: Mapping[str, AnyArray], index: int = 0) -> Fields:
        """Name the outputs of a network run: the fields of image ``index`` of the batch, as far as they are given."""
        return Fields(**{head.field: head.read(outputs, index) for head in self.heads if head.tensor in outputs})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for YAML or JSON. ``from_dict`` reads it back."""
        data: dict[str, Any] = to_plain(self)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Read a description written by ``to_dict`` or by hand.

        Raises:
            ValueError: If an entry is unknown, missing, or has the wrong form.
        """
        try:
            return build_config(cls, data)
        except (TypeError, ValueError) as error:
            raise ValueError(f"model description: {error}") from error


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
