"""Type aliases for the arrays of the package. One alias means one element type."""

from __future__ import annotations

from collections.abc import Sequence
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

MAX_AXES = 32
"""Most axes of an array in every NumPy."""


def count_elements(name: str, shape: Sequence[int], most: int) -> int:
    """Multiply the sizes of a shape from an untrusted file, without the huge products that it can ask for.

    Args:
        name: Name of the array, for errors.
        shape: Size of each axis.
        most: Largest product that the file can hold.

    Raises:
        ValueError: If a size is negative, or there are too many axes or elements.
    """
    if len(shape) > MAX_AXES:
        raise ValueError(f"{name} with {len(shape)} axes, more than {MAX_AXES}")
    count = 1
    for size in sorted(shape):  # a size of 0 comes first, so that the product never grows before it
        if size < 0:
            raise ValueError(f"{name} of shape {tuple(shape)}, where a size is negative")
        count *= size
        if count > most:
            raise ValueError(f"{name} of shape {tuple(shape)}, which is too large for the file")
    return count
