"""Define the outputs of a network for one image (Fields) and the description of a model (ModelSpec).

A model file contains its description as JSON, under the key ``pose_ros`` of its ONNX metadata. For public models
without one, a YAML file with the same content, ``<model>.yaml``, is placed next to ``<model>.onnx``. Only the
description contains channel numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.config_file import build_config, to_plain
from pose_ros.skeleton import Limb, Skeleton
from pose_ros.yaml_text import parse_yaml

METADATA_KEY = "pose_ros"
"""Entry of an ONNX file with the description of the model."""
NETWORK_KEY = "pose_ros.network"
"""Entry of a compact ONNX file with the name of its network in ``network/zoo.py``."""
GROUPING_HEADS = {
    "paf": ("heatmaps", "pafs"),
    "tag": ("heatmaps", "tags"),
    "personlab": ("heatmaps", "short_offsets", "mid_offsets"),
    "centernet": ("centres", "keypoint_offsets"),
    "single": ("heatmaps",),
    "direct": ("people", "person_scores"),
}
"""Fields that each grouping requires."""
OPTIONAL_HEADS = {
    "personlab": ("long_offsets", "segmentation"),
    "centernet": ("centre_offsets", "sizes", "heatmaps"),
    "single": ("centres", "keypoint_offsets"),
    "direct": ("boxes",),
}
"""Fields that a grouping uses if the model has them."""
SNAPPING = ("nearest", "weighted", "scaled")
"""Rules for moving a keypoint that is an offset from a person's centre to its heatmap."""
FRONT_HEADS = ("peaks", "limb_scores")
"""Extra outputs of a network with a decode front. They replace heatmaps and PAFs."""
PERSON_FIELDS = ("people", "person_scores", "boxes")
"""Fields with one column for each person, instead of a grid of cells."""

MAX_MULTIPLE = 1024
"""Largest stride, and largest divisor of the sides of an input, pixels. Published networks have up to 128."""
MAX_SHORT_SIDE, MAX_SIDE = 4096, 8192
"""Largest shorter side and side of an input, pixels, as in the settings."""
MAX_PIXELS = 1 << 24
MAX_KEYPOINTS, MAX_CHANNELS = 1000, 8192
MAX_NUMBER = 1e6
"""Largest mean, and largest or inverse smallest std, of an input."""


@dataclass(frozen=True)
class Fields:
    """Output arrays of one image, channels first. Fields with H rows and W columns are all on one grid.

    A network with a decode front also outputs the M strongest peaks and the values of the limbs between them. These are
    a few thousand numbers, where heatmaps and PAFs are a million.

    Attributes:
        heatmaps: (K, H, W) or (K + 1, H, W) confidence of each keypoint. The last of K + 1 channels is the background,
            which is ignored.
        pafs: (2 L, H, W) part affinity fields: x and y of the unit vector along each limb, limb by limb.
        tags: (K D, H, W) associative embeddings, D numbers per keypoint: channel k D + d.
        short_offsets: (2 K, H, W) x and y from a cell to the nearby keypoint, px, keypoint by keypoint.
        mid_offsets: (4 E, H, W) from a keypoint to its neighbour along an edge, px: x and y of each edge forward
            (from its first keypoint to its second), then x and y of each edge backward.
        long_offsets: (2 K, H, W) x and y from a cell of a person to that person's keypoint, px.
        segmentation: (1, H, W) probability that a cell shows a person.
        centres: (1, H, W) confidence of a person's centre.
        centre_offsets: (2, H, W) x and y from a centre's cell to the centre, cells.
        sizes: (2, H, W) width and height of the person centred at a cell, cells.
        keypoint_offsets: (2 K, H, W) x and y from a centre's cell to the person's keypoint, cells.
        heatmap_offsets: (2, H, W) or (2 K, H, W) x and y from a heatmap's peak cell to the keypoint, cells. All
            keypoints share the two channels, or each keypoint has its own.
        peaks: (K, M, 3) x and y in cells and score of each keypoint's peaks, the strongest first. Score 0 = no peak.
        limb_scores: (L, M, M) value of each limb from peak i of its first to peak j of its second keypoint, at most 1.
            0 or less = no link.
        people: (3 K, P) x, y and score of each keypoint of P people, or (2 K, P) without scores. ``PeopleSpec`` gives
            the units.
        person_scores: (1, P) confidence of each person.
        boxes: (4, P) box of each person, in the form and units of ``PeopleSpec``.
        input_wh: (2,) width and height of the network input, pixels. Only used for people in fractions of it.
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
    people: AnyArray | None = None
    person_scores: AnyArray | None = None
    boxes: AnyArray | None = None
    input_wh: AnyArray | None = None


def field_array(name: str, array: AnyArray | None, *channels: int) -> FloatArray:
    """Return a field as C-contiguous float32, after checking its shape.

    An array that already has this form is not copied.

    Args:
        name: Name of the field, for errors.
        array: (C, H, W), any real type.
        channels: The numbers of channels C that the decoder can read.

    Raises:
        ValueError: If the field is missing, not numeric, not (C, H, W), empty, or has another number of channels.
    """
    wanted = " or ".join(map(str, dict.fromkeys(channels)))
    if array is None:
        raise ValueError(f"{name}: expected an array of {wanted} channels, got None: the model has no such head")
    array = np.asarray(array)
    if array.ndim != 3 or array.shape[0] not in channels or 0 in array.shape:
        raise ValueError(f"{name}: expected shape ({wanted}, H, W), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def heatmap_array(array: AnyArray | None, keypoint_count: int) -> FloatArray:
    """Return the heatmaps (K, H, W) as ``field_array`` does, without a background channel.

    Raises:
        ValueError: If they are missing, not numeric, or have another shape.
    """
    return field_array("heatmaps", array, keypoint_count, keypoint_count + 1)[:keypoint_count]


def sigmoid(logits: AnyArray) -> FloatArray:
    """Convert logits to probabilities. NaN stays NaN."""
    with np.errstate(over="ignore"):
        probabilities = 1 / (1 + np.exp(-np.asarray(logits, np.float32)))
    return probabilities.astype(np.float32, copy=False)


@dataclass(frozen=True)
class InputSpec:
    """Input tensor of a network. Value = (pixel - mean) / std, per channel, in the colour order of the network.

    Attributes:
        tensor: Name of the input.
        layout: ``"NHWC"`` or ``"NCHW"``.
        dtype: ``"uint8"``, ``"int32"`` or ``"float32"``.
        colour: ``"rgb"`` or ``"bgr"``.
        mean: Mean to subtract from each channel. (0, 0, 0) for a network that normalises its input itself.
        std: Divisor of each channel.
        multiple: Divisor of width and height, pixels.
        short_side: Shorter side at which the model works best, pixels.
        size_wh: Width and height of a network with fixed input size, pixels.
        pose_channels: Number of heatmaps of a known pose that follow the three colours, one for each keypoint. Value =
            a Gaussian times 255 for uint8, or times 1 for float32. 0 = the network takes the image alone.
        pose_sigma: Standard deviation of the Gaussians of the known pose, pixels.
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
    pose_channels: int = 0
    pose_sigma: float = 7.0

    def __post_init__(self) -> None:
        _check_choice("input.layout", self.layout, ("NHWC", "NCHW"))
        _check_choice("input.dtype", self.dtype, ("uint8", "int32", "float32"))
        _check_choice("input.colour", self.colour, ("rgb", "bgr"))
        if self.dtype != "float32" and (any(self.mean) or set(self.std) != {1.0}):
            raise ValueError(f"input: expected mean 0 and std 1 with dtype {self.dtype} (the network normalises)")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError(f"input: expected 3 means and 3 stds, got {self.mean} and {self.std}")
        for low, name in ((-MAX_NUMBER, "mean"), (1 / MAX_NUMBER, "std")):
            for value in getattr(self, name):
                _check_range(f"input.{name}", value, low, MAX_NUMBER)
        _check_range("input.multiple", self.multiple, 1, MAX_MULTIPLE)
        _check_range("input.short_side", self.short_side, self.multiple, MAX_SHORT_SIDE)
        _check_range("input.pose_sigma", self.pose_sigma, 0.1, MAX_SIDE)
        if self.pose_channels and self.dtype == "int32":
            raise ValueError("input.dtype: expected uint8 or float32 with pose_channels, got int32")
        if self.size_wh is not None:
            if len(self.size_wh) != 2:
                raise ValueError(f"input.size_wh: expected (width, height), got {self.size_wh}")
            for side in self.size_wh:
                _check_range("input.size_wh", side, 1, MAX_SIDE)
            _check_range("input.size_wh: width x height", self.size_wh[0] * self.size_wh[1], 1, MAX_PIXELS)

    @property
    def channels(self) -> int:
        """Number of channels: three colours, and the heatmaps of a known pose."""
        return 3 + self.pose_channels

    @property
    def channel_mean(self) -> tuple[float, ...]:
        """Mean of each channel."""
        return (*self.mean, *(0.0,) * self.pose_channels)

    @property
    def channel_std(self) -> tuple[float, ...]:
        """Divisor of each channel. Heatmaps are stored as pixels, 0 to 255."""
        return (*self.std, *(255.0,) * self.pose_channels)

    def tensor_wh(self, tensor: AnyArray) -> tuple[int, int]:
        """Return width and height of an input tensor, pixels.

        Args:
            tensor: Tensor with its batch axis, in the layout of the network.
        """
        height, width = tensor.shape[1:3] if self.layout == "NHWC" else tensor.shape[2:4]
        return width, height


@dataclass(frozen=True)
class HeadSpec:
    """Place of a field in the outputs of a network.

    Attributes:
        field: Attribute of Fields.
        tensor: Name of the output. Its first axis is the batch.
        layout: ``"NCHW"`` or ``"NHWC"``. For PERSON_FIELDS ``"NCP"`` or ``"NPC"``, where P counts the people. Further
            axes of C are joined: the channels of (N, P, K, 3) are x, y and score of the first keypoint, and so on.
        channels: Channels of the output, in the order of Fields. Empty = all, in their order.
        activation: ``"sigmoid"`` if the output is a logit, else ``"none"``.
    """

    field: str
    tensor: str
    layout: str = "NCHW"
    channels: tuple[int, ...] = ()
    activation: str = "none"

    def __post_init__(self) -> None:
        _check_choice("head.activation", self.activation, ("none", "sigmoid"))
        _check_choice("head.field", self.field, tuple(f.name for f in fields(Fields) if f.name != "input_wh"))
        layouts = ("NCP", "NPC") if self.field in PERSON_FIELDS else ("NCHW", "NHWC")
        _check_choice(f"head.layout of {self.field}", self.layout, layouts)
        _check_range("head.channels: number", len(self.channels), 0, MAX_CHANNELS)
        for channel in self.channels:
            _check_range("head.channels", channel, 0, MAX_CHANNELS - 1)

    def read(self, outputs: Mapping[str, AnyArray], index: int) -> AnyArray:
        """Read the field of one image.

        Args:
            outputs: Outputs of the network by name.
            index: Index of the image in the batch.

        Returns:
            (C, H, W) or (C, P), a view if channels and activation allow it.

        Raises:
            ValueError: If the output lacks the image, or has other axes or fewer channels.
        """
        if not index < len(outputs[self.tensor]):
            raise ValueError(
                f"output {self.tensor!r}: expected results of {index + 1} images or more, got shape "
                f"{outputs[self.tensor].shape}; set runtime.max_batch to 1, or export the model with a free batch size"
            )
        array = self._select_channels(outputs[self.tensor][index])
        return array if self.activation == "none" else sigmoid(array)

    def _select_channels(self, array: AnyArray) -> AnyArray:
        if self.field in PERSON_FIELDS:
            array = self._join_axes(array)
        elif self.layout == "NHWC":
            array = array.transpose(2, 0, 1)
        if not self.channels:
            return array
        if max(self.channels) >= len(array):
            raise ValueError(
                f"output {self.tensor!r}: expected more than {max(self.channels)} channels for the head {self.field}, "
                f"got {len(array)}; correct channels or layout in the description"
            )
        first, last = self.channels[0], self.channels[-1]
        if self.channels == tuple(range(first, last + 1)):
            return array[first : last + 1]
        return array[list(self.channels)]

    def _join_axes(self, array: AnyArray) -> AnyArray:
        """Return people as (C, P)."""
        if array.ndim < 2:
            raise ValueError(f"output {self.tensor!r}: expected layout {self.layout}, got one number for each person")
        if self.layout == "NPC":
            return array.reshape(len(array), math.prod(array.shape[1:])).T
        return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


@dataclass(frozen=True)
class PeopleSpec:
    """Form of the people that a network outputs itself, for the grouping ``direct``.

    Attributes:
        units: ``"pixels"``: coordinates times ``stride`` plus ``origin`` are pixels of the network input.
            ``"fractions"``: coordinates times width or height of the network input plus ``origin`` are its pixels.
        box: ``"corners"`` for x_min, y_min, x_max, y_max. ``"centre"`` for x and y of the centre, width, height.
        nms: Whether the network removes duplicates itself. Otherwise the decoder does so.
    """

    units: str = "pixels"
    box: str = "corners"
    nms: bool = False

    def __post_init__(self) -> None:
        _check_choice("people.units", self.units, ("pixels", "fractions"))
        _check_choice("people.box", self.box, ("corners", "centre"))


@dataclass(frozen=True)
class ModelSpec:
    """Description of a pose network, with everything that a program needs to use it.

    Attributes:
        name: Name of the model.
        skeleton: Keypoints of the model.
        stride: Pixels of the network input per field cell.
        origin: Position of the first cell, pixels. Cell (row, col) lies at x = col stride + origin and
            y = row stride + origin.
        limbs: (from, to) keypoints of each part affinity field. Default: limbs of the skeleton.
        input: Input tensor.
        heads: Outputs.
        grouping: Preferred grouping, a key of GROUPING_HEADS.
        snapping: Rule of the CenterNet grouping, one of SNAPPING. ``"nearest"``: a keypoint moves to the nearest peak
            of its heatmap. ``"weighted"``, ``"scaled"``: to the best cell of the person's box, by heatmap and
            distance. See ``decoder/snapping.py``.
        score_threshold: Lowest heatmap value of a keypoint, above 0 and at most 1.
        licence: Licence of the weights.
        people: Form of the people, for the grouping ``direct``.
    """

    name: str
    skeleton: Skeleton
    stride: float
    origin: float = 0.0
    limbs: tuple[Limb, ...] = ()
    input: InputSpec = field(default_factory=InputSpec)
    heads: tuple[HeadSpec, ...] = ()
    grouping: str = "paf"
    snapping: str = "nearest"
    score_threshold: float = 0.07
    licence: str = "unknown"
    people: PeopleSpec = field(default_factory=PeopleSpec)

    def __post_init__(self) -> None:
        if not self.limbs:
            object.__setattr__(self, "limbs", self.skeleton.limbs)
        outside = [limb for limb in self.limbs if not all(0 <= k < len(self.skeleton) for k in limb)]
        if outside:
            raise ValueError(f"limbs: expected keypoint indices below {len(self.skeleton)}, got {outside[0]}")
        _check_range("stride", self.stride, 1 / MAX_MULTIPLE, MAX_MULTIPLE)
        _check_range("origin", self.origin, -MAX_SIDE, MAX_SIDE)
        _check_range("skeleton: number of keypoints", len(self.skeleton), 1, MAX_KEYPOINTS)
        _check_range("limbs: number", len(self.limbs), 0, MAX_CHANNELS // 2)
        _check_range("heads: number", len(self.heads), 0, len(fields(Fields)))
        _check_choice("grouping", self.grouping, tuple(GROUPING_HEADS))
        if self.input.pose_channels not in (0, len(self.skeleton)):
            raise ValueError(
                f"input.pose_channels: expected 0 or one for each of the {len(self.skeleton)} keypoints, got "
                f"{self.input.pose_channels}"
            )
        _check_choice("snapping", self.snapping, SNAPPING)
        if not 0 < self.score_threshold <= 1:
            raise ValueError(f"score_threshold: expected a number above 0, at most 1, got {self.score_threshold}")

    def fields(
        self, outputs: Mapping[str, AnyArray], index: int = 0, input_wh: tuple[int, int] | None = None
    ) -> Fields:
        """Read the fields of one image from the outputs of a run. Fields without an output stay None.

        Args:
            outputs: Outputs of the network by name.
            index: Index of the image in the batch.
            input_wh: Width and height of the network input, pixels. None = ``input.size_wh``.

        Raises:
            ValueError: If an output lacks the image, or has other axes or fewer channels.
        """
        found = {head.field: head.read(outputs, index) for head in self.heads if head.tensor in outputs}
        size_wh = input_wh or self.input.size_wh
        needs_size = self.people.units == "fractions" and size_wh is not None
        return Fields(**found, input_wh=np.array(size_wh) if needs_size else None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for YAML or JSON. ``from_dict`` reads it back."""
        data: dict[str, Any] = to_plain(self)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Read a description written by ``to_dict`` or by hand.

        Raises:
            ValueError: If an entry is unknown or missing, or has the wrong form.
        """
        try:
            return build_config(cls, data)
        except (TypeError, ValueError) as error:
            raise ValueError(f"model description: {error}") from error

    @classmethod
    def parse(cls, text: str, source: str) -> ModelSpec:
        """Read a description from a YAML or JSON text.

        Args:
            text: The text.
            source: Name of the text, for errors.

        Raises:
            ValueError: If the text is not YAML, or an entry is unknown or missing, or has the wrong form.
        """
        data = parse_yaml(text, source)
        if not isinstance(data, dict):
            raise ValueError(f"{source}: expected the entries of a model description, got {type(data).__name__}")
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError if a number is outside its range, or NaN."""
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value}")
