"""Compute the input shapes of an engine: smallest, best and largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pose_ros.config import RuntimeConfig
from pose_ros.fields import METADATA_KEY, InputSpec, ModelSpec
from pose_ros.runtime.onnx_graph import GraphInput, OnnxGraph

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """Smallest, best and largest shape of one input. Each size of ``best`` lies between ``least`` and ``most``."""

    least: Shape
    best: Shape
    most: Shape

    def __str__(self) -> str:
        return " ".join("x".join(map(str, shape)) for shape in (self.least, self.best, self.most))

    def check(self, name: str, shape: Shape) -> None:
        """Check that a shape is within the range.

        Raises:
            ValueError: If it is not. The message names the setting to change.
        """
        for axis, (low, size, high) in enumerate(zip(self.least, shape, self.most, strict=True)):
            if not low <= size <= high:
                side = "runtime.least_size" if size < low else "runtime.most_size"
                raise ValueError(
                    f"input {name!r}: expected {_shape_text(self.least)} to {_shape_text(self.most)}, the range of the "
                    f"engine, got {_shape_text(shape)}; change {side if axis else 'runtime.max_batch'}"
                )


def shape_ranges(graph: OnnxGraph, config: RuntimeConfig) -> dict[str, ShapeRange]:
    """Return the range of each input with free sizes. Empty for a network of fixed size.

    Sizes are rounded to the multiple in the model's description. Rounding only widens the range.

    Raises:
        ValueError: If an input with free sizes is not a batch of images, or the description cannot be read.
    """
    free = [graph_input for graph_input in graph.inputs if None in graph_input.shape]
    spec = _read_input_spec(graph.metadata) if free else InputSpec()
    return {graph_input.name: _make_range(graph_input, spec, config) for graph_input in free}


def _read_input_spec(metadata: Mapping[str, str]) -> InputSpec:
    if METADATA_KEY not in metadata:
        return InputSpec()
    return ModelSpec.parse(metadata[METADATA_KEY], f"metadata {METADATA_KEY}").input


def _make_range(graph_input: GraphInput, spec: InputSpec, config: RuntimeConfig) -> ShapeRange:
    sides = _side_axes(graph_input)
    least = _fill_shape(graph_input, sides, 1, config.size_hw("least"), spec.multiple, up=False)
    best = _fill_shape(graph_input, sides, config.max_batch, config.size_hw("best"), spec.multiple)
    most = _fill_shape(graph_input, sides, config.max_batch, config.size_hw("most"), spec.multiple)
    return ShapeRange(least, best, most)


def _side_axes(graph_input: GraphInput) -> tuple[int, int]:
    """Find the axes of height and width. The axis of size 3 holds the channels."""
    shape = graph_input.shape
    if len(shape) == 4 and shape[1] == 3:
        return 2, 3
    if len(shape) == 4 and shape[3] == 3:
        return 1, 2
    got = _shape_text(shape)
    raise ValueError(
        f"input {graph_input.name!r}: expected a batch of images of 3 channels, got {got}; export it again"
    )


def _fill_shape(
    graph_input: GraphInput,
    sides: tuple[int, int],
    batch: int,
    size_hw: tuple[int, int],
    multiple: int,
    up: bool = True,
) -> Shape:
    rounded = [max(-(-side // multiple) if up else side // multiple, 1) * multiple for side in size_hw]
    wanted = {0: batch, **dict(zip(sides, rounded, strict=True))}
    return tuple(size or wanted[axis] for axis, size in enumerate(graph_input.shape))


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
