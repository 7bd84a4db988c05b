"""Which inputs an engine takes: the smallest, the one that it is fastest at, and the largest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pose_ros.config import RuntimeConfig
from pose_ros.fields import METADATA_KEY, InputSpec, ModelSpec
from pose_ros.runtime.onnx_graph import GraphInput, OnnxGraph

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """Shapes of one input: no size of ``best`` is below ``least`` or above ``most``."""

    least: Shape
    best: Shape
    most: Shape

    def __str__(self) -> str:
        return " ".join("x".join(map(str, shape)) for shape in (self.least, self.best, self.most))

    def check(self, name: str, shape: Shape) -> None:
        """Raise unless the engine takes a shape.

        Raises:
            ValueError: If not. It tells the setting to change.
        """
        for axis, (low, size, high) in enumerate(zip(self.least, shape, self.most, strict=True)):
            if not low <= size <= high:
                side = "runtime.least_size" if size < low else "runtime.most_size"
                raise ValueError(
                    f"input {name!r}: expected {_written(self.least)} to {_written(self.most)}, for which the engine "
                    f"is built, got {_written(shape)}; change {side if axis else 'runtime.max_batch'}"
                )


def shape_ranges(graph: OnnxGraph, config: RuntimeConfig) -> dict[str, ShapeRange]:
    """The ranges of the inputs whose shapes are free; there are none in a network of fixed size.

    Sizes are rounded to the multiple that the model's description asks for, outwards: no size is lost by it.

    Raises:
        ValueError: If a free input is not a batch of images, or the description cannot be read.
    """
    free = [given for given in graph.inputs if None in given.shape]
    spec = _input_spec(graph.metadata) if free else InputSpec()
    return {given.name: _range(given, spec, config) for given in free}


def _input_spec(metadata: Mapping[str, str]) -> InputSpec:
    if METADATA_KEY not in metadata:
        return InputSpec()
    try:
        return ModelSpec.from_dict(json.loads(metadata[METADATA_KEY])).input
    except ValueError as error:
        raise ValueError(f"metadata {METADATA_KEY}: expected the description of a model, got: {error}") from error


def _range(given: GraphInput, spec: InputSpec, config: RuntimeConfig) -> ShapeRange:
    sides = _sides(given)
    least = _sized(given, sides, 1, config.size_hw("least"), spec.multiple, up=False)
    best = _sized(given, sides, config.max_batch, config.size_hw("best"), spec.multiple)
    most = _sized(given, sides, config.max_batch, config.size_hw("most"), spec.multiple)
    return ShapeRange(least, best, most)


def _sides(given: GraphInput) -> tuple[int, int]:
    """The axes of height and width: the channels are the three."""
    shape = given.shape
    if len(shape) == 4 and shape[1] == 3:
        return 2, 3
    if len(shape) == 4 and shape[3] == 3:
        return 1, 2
    written = _written(shape)
    raise ValueError(f"input {given.name!r}: expected a batch of images of 3 channels, got {written}; export it anew")


def _sized(
    given: GraphInput, sides: tuple[int, int], batch: int, size_hw: tuple[int, int], multiple: int, up: bool = True
) -> Shape:
    rounded = [max(-(-side // multiple) if up else side // multiple, 1) * multiple for side in size_hw]
    wanted = {0: batch, **dict(zip(sides, rounded, strict=True))}
    return tuple(size or wanted[axis] for axis, size in enumerate(given.shape))


def _written(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
