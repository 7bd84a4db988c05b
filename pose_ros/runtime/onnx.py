"""ONNX Runtime: runs everywhere, needs no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import CLOSED, Arrays, Runner, TensorSpec

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def _tensor_spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ValueError(f"tensor {node.name!r}: expected one of {', '.join(_DTYPES)}, got {node.type}")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))


class OnnxRunner(Runner):
    """A network in ONNX Runtime on the CPU. ``run`` may be called from several threads.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an ONNX network that this ONNX Runtime can load.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        import onnxruntime  # 0.1 s; only who runs a network pays it

        path, config = Path(path), config or RuntimeConfig()
        if not path.is_file():
            raise FileNotFoundError(f"model: expected an ONNX file, got {path}, which does not exist")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has one exception class per error code, without a common base
            raise ValueError(f"model {path}: expected a readable ONNX network, got: {error}") from error
        self._session = session
        self.inputs = tuple(_tensor_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_tensor_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self.description = f"ONNX Runtime {onnxruntime.__version__} on the CPU"

    def close(self) -> None:
        """Give back the session's memory; once more does nothing."""
        self._session = None

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        session = self._session  # a run that has begun keeps it
        if session is None:
            raise ValueError(CLOSED)
        return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))
