"""Read the weights of a TensorFlow Lite file as floats, without TensorFlow.

The file is a FlatBuffer. A table begins with the backward distance to its vtable. The vtable has the position of each
field in the table, or 0 if it is missing. Vectors, strings and tables are referenced by forward distances. These parts
of the schema are read:

    Model           2 subgraphs: [SubGraph]   4 buffers: [Buffer]
    SubGraph        0 tensors: [Tensor]
    Tensor          0 shape: [int]   1 type: byte   2 buffer: uint   3 name: string   4 quantization: Quantization
    Quantization    2 scale: [float]   3 zero_point: [long]   6 quantized_dimension: int
    Buffer          0 data: [ubyte]

References:
    Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    arXiv:1712.05877, eq. 1: value = scale (stored - zero point).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray

DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 9: "i1"}
"""Types of weights, by the number of the type in the schema."""
IDENTIFIER = b"TFL3"


def read_tflite(path: Path) -> dict[str, FloatArray]:
    """Read the constants of the first graph by name. Shapes are as stored: weights are (O, rows, columns, I).

    Raises:
        ValueError: If the file has another format or is truncated.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"checkpoint {path}: expected a TensorFlow Lite file, got one that begins with {data[:8]!r}")
    try:
        return dict(_read_constants(Table(data, 0).table_at(0), len(data)))
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: expected a complete TensorFlow Lite file, got: {error}") from error


@dataclass(frozen=True)
class Table:
    """A table of a FlatBuffer. Its fields are identified by their numbers."""

    data: bytes
    position: int

    def number(self, field: int, form: str) -> Any:
        """Read a number. 0 if the field is missing."""
        position = self._position_of(field)
        return struct.unpack_from(form, self.data, position)[0] if position else 0

    def vector(self, field: int, dtype: str) -> AnyArray:
        """Read a vector of numbers. Empty if the field is missing."""
        position = self._position_of(field)
        if not position:
            return np.empty(0, dtype)
        start = self._follow(position)
        return np.frombuffer(self.data, dtype, self._read_uint32(start), start + 4)

    def text(self, field: int) -> str:
        """Read a string."""
        return self.vector(field, "u1").tobytes().decode()

    def tables(self, field: int) -> list[Table]:
        """Read a vector of tables."""
        position = self._position_of(field)
        if not position:
            return []
        start = self._follow(position) + 4
        return [self.table_at(start + 4 * index) for index in range(len(self.vector(field, "<u4")))]

    def table(self, field: int) -> Table | None:
        """Read a table. None if the field is missing."""
        position = self._position_of(field)
        return self.table_at(position) if position else None

    def table_at(self, position: int) -> Table:
        """Return the table that the distance stored at a position refers to."""
        return Table(self.data, self._follow(position))

    def _position_of(self, field: int) -> int:
        """Find the position of a field in the file. 0 if it is missing."""
        vtable = self.position - struct.unpack_from("<i", self.data, self.position)[0]
        (size,) = struct.unpack_from("<H", self.data, vtable)
        entry = 4 + 2 * field
        (distance,) = struct.unpack_from("<H", self.data, vtable + entry) if entry < size else (0,)
        return self.position + distance if distance else 0

    def _follow(self, position: int) -> int:
        return position + self._read_uint32(position)

    def _read_uint32(self, position: int) -> int:
        return int(struct.unpack_from("<I", self.data, position)[0])


def _read_constants(model: Table, limit: int) -> Iterator[tuple[str, FloatArray]]:
    """Yield name and values of each constant tensor."""
    buffers = model.tables(4)
    for tensor in (tensor for graph in model.tables(2)[:1] for tensor in graph.tables(0)):
        stored, dtype = buffers[tensor.number(2, "<I")].vector(0, "u1"), DTYPES.get(tensor.number(1, "b"))
        limit -= len(stored)
        if limit < 0:
            raise ValueError("tensors that share their values")  # a malicious file can share them without limit
        if len(stored) and dtype is not None:
            values = stored.view(dtype).reshape(tensor.vector(0, "<i4")).astype(np.float32)
            yield tensor.text(3), _dequantise(values, tensor.table(4))


def _dequantise(values: FloatArray, quantization: Table | None) -> FloatArray:
    if quantization is None or not len(scale := quantization.vector(2, "<f4")):
        return values
    dimension, zero = quantization.number(6, "<i"), quantization.vector(3, "<i8").astype(np.float32)
    if len(scale) not in (1, values.shape[dimension]) or len(zero) != len(scale):
        raise ValueError(f"{len(scale)} scales and {len(zero)} zero points for a tensor of shape {values.shape}")
    shape = [1] * values.ndim
    shape[dimension] = -1  # one scale for all entries, or one for each entry of this dimension
    return (values - zero.reshape(shape)) * scale.reshape(shape)
