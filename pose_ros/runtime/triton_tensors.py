"""Convert types and arrays of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.runtime.runner import TensorSpec

_DTYPES = {
    "FP32": np.float32,
    "FP16": np.float16,
    "FP64": np.float64,
    "UINT8": np.uint8,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
DATATYPES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
"""Names of the types that can be used."""


def make_spec(tensor: Any) -> TensorSpec:
    """Return the specification of an input or output from the metadata of a model.

    Raises:
        ValueError: If its type cannot be used.
    """
    if tensor.datatype not in _DTYPES:
        raise ValueError(f"tensor {tensor.name!r}: expected one of {', '.join(_DTYPES)}, got {tensor.datatype}")
    shape = tuple(size if size > 0 else None for size in tensor.shape)
    return TensorSpec(tensor.name, shape, np.dtype(_DTYPES[tensor.datatype]))


def take_output(answer: Any, spec: TensorSpec) -> AnyArray:
    """Copy an output from an answer, after checking it. The arrays of an answer cannot be written to.

    Raises:
        TypeError: If it has another type.
        ValueError: If it is missing, or has another shape.
    """
    try:
        array = answer.as_numpy(spec.name)
    except Exception as error:  # the client decodes without checks
        raise ValueError(f"output {spec.name!r}: expected {spec.dtype} of its shape, got {error!r:.200}") from error
    if array is None:
        raise ValueError(f"output {spec.name!r}: expected an array in the answer of the server, got none")
    spec.check(array, "output")
    return np.array(array)
