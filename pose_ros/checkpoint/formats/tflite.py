"""The weights of a TensorFlow Lite file, read without TensorFlow and made float.

The file is a FlatBuffer: a table begins with the distance back to its vtable, which says where in the table each field
lies, if it is there; vectors, strings and tables are reached by distances forward. Of the schema these parts are read:

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
"""Of the weights that networks have, by the schema's number of the type."""
IDENTIFIER = b"TFL3"


def read_tflite(path: Path) -> dict[str, FloatArray]:
    """The constants of the first graph, by name: shapes as stored (a convolution's weights are (O, rows, columns, I)).

    Raises:
        ValueError: If it is no such file, or cut off.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"checkpoint {path}: expected a TensorFlow Lite file, got one that begins {data[:8]!r}")
    try:
        return dict(_constants(Table(data, 0).table_at(0), len(data)))
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: expected a complete TensorFlow Lite file, got: {error}") from error


@dataclass(frozen=True)
class Table:
    """A table of a FlatBuffer; its fields are told by their numbers."""

    data: bytes
    position: int

    def number(self, field: int, form: str) -> Any:
        """A number, 0 where the field is left out."""
        where = self._where(field)
        return struct.unpack_from(form, self.data, where)[0] if where else 0

    def vector(self, field: int, dtype: str) -> AnyArray:
        """A vector of numbers, empty where the field is left out."""
        where = self._where(field)
        if not where:
            return np.empty(0, dtype)
        start = self._follow(where)
        return np.frombuffer(self.data, dtype, self._unsigned(start), start + 4)

    def text(self, field: int) -> str:
        """A string."""
        return self.vector(field, "u1").tobytes().decode()

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        where = self._where(field)
        if not where:
            return []
        start = self._follow(where) + 4
        return [self.table_at(start + 4 * index) for index in range(len(self.vector(field, "<u4")))]

    def table(self, field: int) -> Table | None:
        """A table, None where the field is left out."""
        where = self._where(field)
        return self.table_at(where) if where else None

    def table_at(self, where: int) -> Table:
        """The table to which a distance leads."""
        return Table(self.data, self._follow(where))

    def _where(self, field: int) -> int:
        """Where a field lies in the file; 0 if it is left out."""
        vtable = self.position - struct.unpack_from("<i", self.data, self.position)[0]
        (size,) = struct.unpack_from("<H", self.data, vtable)
        entry = 4 + 2 * field
        (distance,) = struct.unpack_from("<H", self.data, vtable + entry) if entry < size else (0,)
        return self.position + distance if distance else 0

    def _follow(self, where: int) -> int:
        return where + self._unsigned(where)

    def _unsigned(self, where: int) -> int:
        return int(struct.unpack_from("<I", self.data, where)[0])


def _constants(model: Table, limit: int) -> Iterator[tuple[str, FloatArray]]:
    """Name and values of each tensor that is not computed."""
    buffers = model.tables(4)
    for tensor in (tensor for graph in model.tables(2)[:1] for tensor in graph.tables(0)):
        stored, dtype = buffers[tensor.number(2, "<I")].vector(0, "u1"), DTYPES.get(tensor.number(1, "b"))
        limit -= len(stored)
        if limit < 0:
            raise ValueError("tensors that share their values")  # without end, in a file that was made to harm
        if len(stored) and dtype is not None:
            values = stored.view(dtype).reshape(tensor.vector(0, "<i4")).astype(np.float32)
            yield tensor.text(3), _dequantised(values, tensor.table(4))


def _dequantised(values: FloatArray, quantization: Table | None) -> FloatArray:
    if quantization is None or not len(scale := quantization.vector(2, "<f4")):
        return values
    dimension, zero = quantization.number(6, "<i"), quantization.vector(3, "<i8").astype(np.float32)
    if len(scale) not in (1, values.shape[dimension]) or len(zero) != len(scale):
        raise ValueError(f"{len(scale)} scales and {len(zero)} zero points for a tensor of shape {values.shape}")
    along = [1] * values.ndim
    along[dimension] = -1  # one scale for all, or one for each entry of this dimension
    return (values - zero.reshape(along)) * scale.reshape(along)
