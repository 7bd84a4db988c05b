"""Type aliases for the arrays of the package. One alias means one element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]

Image = npt.NDArray[np.uint8]
"""(H, W, 3) colour or (H, W) grey pixels, rows from the top."""

SizeWH = tuple[int, int]
"""Width and height, pixels."""
