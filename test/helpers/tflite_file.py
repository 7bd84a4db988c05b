"""Write small TensorFlow Lite files."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np


def make_quantised_file(zero_points: list[int], scales: list[float], dimension: int, shape: list[int]) -> bytes:
    """Make a TensorFlow Lite file with one tensor "w" of bytes 0, 1, 2, …, by the builder of FlatBuffers."""
    builder = flatbuffers.Builder(0)

    def table(fields: dict[int, Any]) -> int:
        builder.StartObject(8)
        for slot, (add, value) in fields.items():
            getattr(builder, f"Prepend{add}Slot")(slot, value, 0)
        return builder.EndObject()

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    stored = builder.CreateNumpyVector(np.arange(int(np.prod(shape)), dtype=np.uint8))
    buffers = vector([table({}), table({0: ("UOffsetTRelative", stored)})])
    scale = builder.CreateNumpyVector(np.array(scales, np.float32))
    zero = builder.CreateNumpyVector(np.array(zero_points, np.int64))
    quantisation = {2: ("UOffsetTRelative", scale), 3: ("UOffsetTRelative", zero), 6: ("Int32", dimension)}
    quantisation_table = table(quantisation)
    sizes, name = builder.CreateNumpyVector(np.array(shape, np.int32)), builder.CreateString("w")
    tensor = table(
        {
            0: ("UOffsetTRelative", sizes),
            1: ("Int8", 3),
            2: ("Uint32", 1),
            3: ("UOffsetTRelative", name),
            4: ("UOffsetTRelative", quantisation_table),
        }
    )
    graph = table({0: ("UOffsetTRelative", vector([tensor]))})
    graphs = vector([graph])
    builder.Finish(table({2: ("UOffsetTRelative", graphs), 4: ("UOffsetTRelative", buffers)}), b"TFL3")
    return bytes(builder.Output())
