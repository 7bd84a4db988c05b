"""Wrap a network for deployment: from a raw image to fields, without pre- or post-processing outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.fields import FRONT_HEADS, InputSpec, ModelSpec
from pose_ros.network.front import DecodeFront
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads

INPUT = "image"
"""Name of the input tensor."""
FRONT_INPUTS = ("heatmaps", "pafs", "heatmap_offsets")
"""Fields that the front reads. A network may lack the last."""


class LowPrecisionNetwork(PoseNetwork):
    """Network that computes in a narrower type. Images and fields stay float32.

    Args:
        network: Network to wrap. Its weights are converted in place.
        dtype: Half precision or bfloat16.
    """

    def __init__(self, network: PoseNetwork, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec, self._dtype = network.spec, dtype
        self.network = network.to(dtype)

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for inference."""
        fields = self.network.fields(images.to(self._dtype))
        return {name: field.float() for name, field in fields.items()}


class DeployedNetwork(nn.Module):
    """Network that maps an image tensor to a tuple of float32 fields, in the order of ``names``.

    Attributes:
        spec: Description of the network, with the inputs and outputs of this wrapper.
        names: Names of the outputs: the network's fields in the order of its heads, then those of the front.
        front: Decode front, which finds peaks and limb scores in the fields. None = the decoder finds them.
    """

    def __init__(
        self,
        network: PoseNetwork,
        *,
        float_input: bool = False,
        front: DecodeFront | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: Network to wrap. It is not copied.
            float_input: Whether the input is (B, C, H, W) float32, already normalised. Else (B, H, W, C) uint8.
            front: Decode front, for a network with heatmaps and PAFs.
        """
        super().__init__()
        source = network.spec.input
        fields = tuple(head.field for head in network.spec.heads)
        self.names = (*fields, *FRONT_HEADS) if front else fields
        self.spec = with_heads(replace(network.spec, input=_input_spec(source, float_input)), self.names)
        self.normalises, self.network = not float_input, network
        self.front = front
        for name, values in (("mean", source.channel_mean), ("std", source.channel_std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network for inference."""
        pixels = images
        if self.normalises:  # TensorRT needs the cast as the first operation
            pixels = (images.float().permute(0, 3, 1, 2) - self.mean) / self.std
        fields = self.network.fields(pixels)
        if self.front is not None:
            outputs = self.front(*(fields[name] for name in FRONT_INPUTS if name in fields))
            fields = {**fields, **dict(zip(FRONT_HEADS, outputs, strict=True))}
        return tuple(fields[name] for name in self.names)

    def run_on_array(self, images: AnyArray) -> dict[str, FloatArray]:
        """Run the network on the CPU. Takes an array and returns arrays by output name."""
        with torch.inference_mode():
            return dict(zip(self.names, map(_to_array, self(torch.from_numpy(images))), strict=True))

    def run_front_on_arrays(self, fields: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Run only the front on the CPU, on named fields. Returns peaks and limb scores, or nothing without a front."""
        with torch.inference_mode():
            if self.front is None:
                return []
            names = [name for name in FRONT_INPUTS if name in fields]
            return list(map(_to_array, self.front(*(torch.from_numpy(fields[name]) for name in names))))


def round_weights(network: nn.Module) -> None:
    """Round the weights of a network in place to values of half precision. Vectors, such as biases, stay as they are.

    Raises:
        ValueError: If a weight is too large for half precision.
    """
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            rounded = weight.data.half().float()
            if not torch.isfinite(rounded).all():
                raise ValueError(
                    f"compact: expected weights below {torch.finfo(torch.half).max:g}, got more in {name}; "
                    "export the network without compact"
                )
            weight.data.copy_(rounded)


def make_front(spec: ModelSpec, max_peaks: int) -> DecodeFront:
    """Make the decode front of a network.

    Args:
        spec: Description of the network.
        max_peaks: Most peaks of each keypoint.

    Raises:
        ValueError: If the network has no heatmaps or no PAFs.
    """
    fields = [head.field for head in spec.heads]
    if not {"heatmaps", "pafs"} <= set(fields):
        raise ValueError(
            f"front: expected a network with heatmaps and pafs, got {spec.name} with {', '.join(fields)}; "
            "export it without a front"
        )
    return DecodeFront(len(spec.skeleton), spec.limbs, max_peaks)


def _to_array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.contiguous().numpy()
    return array


def _input_spec(source: InputSpec, float_input: bool) -> InputSpec:
    """Describe the input of a deployed network. A fixed size is visible in the shape of its input tensor."""
    if float_input:
        return replace(source, tensor=INPUT, layout="NCHW", dtype="float32", size_wh=None)
    plain = InputSpec(INPUT, "NHWC", "uint8")
    same = {name: getattr(source, name) for name in ("colour", "multiple", "short_side", "pose_channels", "pose_sigma")}
    return replace(plain, **same)
