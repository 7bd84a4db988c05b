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

from pose_ros.arrays import AnyArray, FloatArray, count_elements
from pose_ros.files import LARGEST_BYTES, read_limited

DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 9: "i1"}
"""Types of weights, by the number of the type in the schema."""
IDENTIFIER = b"TFL3"
SHARED_READS = 2
"""How often each byte of a file may be read, on average."""
MAX_TABLES = 100_000
"""Most tables in a vector. Published files have up to 1000."""
COST_OF_A_PART = 4
"""Bytes that each vector counts at least, so that empty ones are not free."""


def read_tflite(path: Path) -> dict[str, FloatArray]:
    """Read the constants of the first graph by name. Shapes are as stored: weights are (O, rows, columns, I).

    Raises:
        ValueError: If the file has another format or is truncated.
    """
    try:
        data = read_limited(path, LARGEST_BYTES)
        if data[4:8] != IDENTIFIER:
            raise ValueError(f"a file that begins with {data[:8]!r}")
        return dict(_read_constants(Table(FlatBuffer(data), 0).table_at(0)))
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: expected a complete TensorFlow Lite file, got: {error}") from error


class FlatBuffer:
    """Bytes of a file, and how many of them may still be read.

    A malicious file can refer to the same vector without limit. An intact file shares few of its bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = SHARED_READS * len(data)

    def vector(self, position: int, dtype: str) -> AnyArray:
        """Read the vector at a position.

        Raises:
            ValueError: If it exceeds the file, or more was read than an intact file has.
        """
        count = self.read_uint32(position)
        self._left -= count * np.dtype(dtype).itemsize + COST_OF_A_PART
        if self._left < 0:
            raise ValueError("parts that share their values")
        return np.frombuffer(self.data, dtype, count, position + 4)

    def unpack(self, form: str, position: int) -> Any:
        """Read one number."""
        return struct.unpack_from(form, self.data, position)[0]

    def read_uint32(self, position: int) -> int:
        """Read a length or distance."""
        return int(self.unpack("<I", position))


@dataclass(frozen=True)
class Table:
    """A table of a FlatBuffer. Its fields are identified by their numbers."""

    buffer: FlatBuffer
    position: int

    def number(self, field: int, form: str) -> Any:
        """Read a number. 0 if the field is missing."""
        position = self._position_of(field)
        return self.buffer.unpack(form, position) if position else 0

    def vector(self, field: int, dtype: str) -> AnyArray:
        """Read a vector of numbers. Empty if the field is missing."""
        position = self._position_of(field)
        if not position:
            return np.empty(0, dtype)
        return self.buffer.vector(self._follow(position), dtype)

    def text(self, field: int) -> str:
        """Read a string."""
        return self.vector(field, "u1").tobytes().decode()

    def tables(self, field: int) -> list[Table]:
        """Read a vector of tables."""
        position = self._position_of(field)
        if not position:
            return []
        start = self._follow(position) + 4
        count = len(self.vector(field, "<u4"))
        if count > MAX_TABLES:
            raise ValueError(f"{count} tables, more than {MAX_TABLES}")
        return [self.table_at(start + 4 * index) for index in range(count)]

    def table(self, field: int) -> Table | None:
        """Read a table. None if the field is missing."""
        position = self._position_of(field)
        return self.table_at(position) if position else None

    def table_at(self, position: int) -> Table:
        """Return the table that the distance stored at a position refers to."""
        return Table(self.buffer, self._follow(position))

    def _position_of(self, field: int) -> int:
        """Find the position of a field in the file. 0 if it is missing."""
        vtable = self.position - self.buffer.unpack("<i", self.position)
        entry = 4 + 2 * field
        distance = self.buffer.unpack("<H", vtable + entry) if entry < self.buffer.unpack("<H", vtable) else 0
        return self.position + distance if distance else 0

    def _follow(self, position: int) -> int:
        return position + self.buffer.read_uint32(position)


def _read_constants(model: Table) -> Iterator[tuple[str, FloatArray]]:
    """Yield name and values of each constant tensor."""
    buffers = model.tables(4)
    for tensor in (tensor for graph in model.tables(2)[:1] for tensor in graph.tables(0)):
        stored, dtype = buffers[tensor.number(2, "<I")].vector(0, "u1"), DTYPES.get(tensor.number(1, "b"))
        if len(stored) and dtype is not None:
            shape = tensor.vector(0, "<i4").tolist()
            name = tensor.text(3)
            count_elements(name, shape, len(stored))
            values = stored.view(dtype).reshape(shape).astype(np.float32)
            yield name, _dequantise(values, tensor.table(4))


def _dequantise(values: FloatArray, quantization: Table | None) -> FloatArray:
    if quantization is None or not len(scale := quantization.vector(2, "<f4")):
        return values
    dimension, zero = quantization.number(6, "<i"), quantization.vector(3, "<i8").astype(np.float32)
    if len(scale) not in (1, values.shape[dimension]) or len(zero) != len(scale):
        raise ValueError(f"{len(scale)} scales and {len(zero)} zero points for a tensor of shape {values.shape}")
    shape = [1] * values.ndim
    shape[dimension] = -1  # one scale for all entries, or one for each entry of this dimension
    return (values - zero.reshape(shape)) * scale.reshape(shape)
