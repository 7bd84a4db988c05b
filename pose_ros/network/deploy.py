"""A network as it is deployed: from a plain image to fields, with nothing to do before or after."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.fields import FRONT_HEADS, InputSpec, ModelSpec
from pose_ros.network.front import DecodeFront
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads

INPUT = "image"
"""Name of the input."""


class Narrowed(PoseNetwork):
    """A network that computes in a narrower type, between images and fields of float32.

    Args:
        network: It is taken over: its weights are made narrow.
        dtype: Half precision or bfloat16.
    """

    def __init__(self, network: PoseNetwork, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec, self._dtype = network.spec, dtype
        self.network = network.to(dtype)

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for use."""
        fields = self.network.fields(images.to(self._dtype))
        return {name: field.float() for name, field in fields.items()}


class Deployed(nn.Module):
    """An image tensor to a tuple of float32 fields, in the order of ``names``.

    Attributes:
        spec: What the network says of itself, with the input and the outputs that it has here.
        names: The outputs: the network's fields in the order of its heads, then those of the front.
        front: Finds peaks and limb scores in the fields; None leaves that to the decoder.
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
            network: It is taken over.
            float_input: Take (B, 3, H, W) float32, normalised already; else (B, H, W, 3) uint8.
            front: A decode front, for a network with heatmaps and PAFs.
        """
        super().__init__()
        given = network.spec.input
        fields = tuple(head.field for head in network.spec.heads)
        self.names = (*fields, *FRONT_HEADS) if front else fields
        self.spec = with_heads(replace(network.spec, input=_input(given, float_input)), self.names)
        self.normalises, self.network = not float_input, network
        self.front = front
        for name in ("mean", "std"):
            values = torch.tensor(getattr(given, name), dtype=torch.float32)
            self.register_buffer(name, values.reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network for use."""
        pixels = images
        if self.normalises:  # TensorRT wants the cast before all else
            pixels = (images.float().permute(0, 3, 1, 2) - self.mean) / self.std
        fields = self.network.fields(pixels)
        if self.front is not None:
            found = self.front(fields["heatmaps"], fields["pafs"])
            fields = {**fields, **dict(zip(FRONT_HEADS, found, strict=True))}
        return tuple(fields[name] for name in self.names)

    def on_array(self, images: AnyArray) -> dict[str, FloatArray]:
        """Run the network on the CPU, from an array to arrays by name."""
        with torch.inference_mode():
            return dict(zip(self.names, map(_array, self(torch.from_numpy(images))), strict=True))

    def front_on_arrays(self, heatmaps: FloatArray, pafs: FloatArray) -> list[FloatArray]:
        """Run the front alone on the CPU: peaks and limb scores."""
        with torch.inference_mode():
            return [] if self.front is None else list(map(_array, self.front(*map(torch.from_numpy, (heatmaps, pafs)))))


def make_front(spec: ModelSpec, max_peaks: int) -> DecodeFront:
    """The decode front of a network.

    Args:
        spec: The network.
        max_peaks: The peaks of each keypoint.

    Raises:
        ValueError: If the network has no heatmaps and PAFs.
    """
    fields = [head.field for head in spec.heads]
    if not {"heatmaps", "pafs"} <= set(fields):
        raise ValueError(
            f"front: expected a network with heatmaps and pafs, got {spec.name} with {', '.join(fields)}; "
            "export it without"
        )
    return DecodeFront(len(spec.skeleton), spec.limbs, max_peaks)


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.contiguous().numpy()
    return array


def _input(given: InputSpec, float_input: bool) -> InputSpec:
    """What a deployed network takes; a fixed size is told by the shape of its input."""
    if float_input:
        return replace(given, tensor=INPUT, layout="NCHW", dtype="float32", size_wh=None)
    plain = InputSpec(INPUT, "NHWC", "uint8")
    return replace(plain, colour=given.colour, multiple=given.multiple, short_side=given.short_side)
