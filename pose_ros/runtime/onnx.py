"""ONNX Runtime: runs everywhere, needs no GPU; where its build has more providers, on these, too."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.config import RuntimeConfig
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.onnx_graph import read_graph
from pose_ros.runtime.runner import CLOSED, CPU, Arrays, Runner, TensorSpec, Unavailable, existing

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
_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_REPLACE = "pip uninstall onnxruntime, then pip install {} (both are the module onnxruntime)"
_PACKAGES = {
    "cuda": _REPLACE.format("onnxruntime-gpu"),
    "tensorrt": _REPLACE.format("onnxruntime-gpu"),
    "openvino": _REPLACE.format("onnxruntime-openvino") + ", or take runtime openvino",
    "coreml": "only the onnxruntime of macOS has it",
}
_LIBRARIES = {
    "cuda": "its build needs a CUDA and a cuDNN of its own version: pip install onnxruntime-gpu[cuda,cudnn]",
    "tensorrt": "its build needs TensorRT, CUDA and cuDNN of its own versions; runtime tensorrt needs TensorRT alone",
    "openvino": "take device cpu, or install the driver of the device",
    "coreml": "take provider cpu",
}

_NO_BFLOAT16 = (
    "expected fp32, fp16 or int8, got bf16, which ONNX Runtime cannot compute here; take runtime tensorrt or openvino, "
    "or export it without --bf16"
)


class OnnxRunner(Runner):
    """A network in ONNX Runtime. ``run`` may be called from several threads.

    Args:
        path: An ONNX file.
        config: ``provider`` (auto is cuda where ``device`` is, else cpu), ``gpu``, ``device`` and ``threads``.

    Raises:
        FileNotFoundError: If there is no such file.
        Unavailable: If ONNX Runtime is not installed, has no such provider, or cannot load it here.
        ValueError: If the file is not an ONNX network that this ONNX Runtime can load.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        path, config = existing(path), config or RuntimeConfig()
        onnxruntime, provider = _library(), _provider(config)
        _check_provider(onnxruntime, provider)
        gpu = _gpu(provider, config)
        session = _session(onnxruntime, path, provider, config)
        self._session, self._cuda = session, _cuda(gpu)
        self.inputs = tuple(_tensor_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_tensor_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self.device = gpu.name if gpu is not None else _device(provider, config)
        by = f" with {provider}" * (provider != "cpu")
        self.description = f"ONNX Runtime {onnxruntime.__version__}{by} on {self.device}"

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Used and total memory of the GPU, by all programs; None elsewhere, and where there is no library to ask."""
        return self._cuda.memory_bytes() if self._cuda is not None else None

    def close(self) -> None:
        """Give back the session's memory; once more does nothing."""
        self._session = None
        if self._cuda is not None:
            self._cuda.close()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        session = self._session  # a run that has begun keeps it
        if session is None:
            raise ValueError(CLOSED)
        return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))


def _library() -> Any:
    """Import ONNX Runtime.

    Raises:
        Unavailable: If it is not there, or broken.
    """
    try:
        import onnxruntime  # 0.1 s; only who runs a network pays it
    except ImportError as error:
        raise Unavailable("onnx", f"ONNX Runtime cannot be imported: {error}", "pip install onnxruntime") from error
    return onnxruntime


def _provider(config: RuntimeConfig) -> str:
    if config.provider != "auto":
        return config.provider
    return "cuda" if config.device == "cuda" else "cpu"


def _check_provider(onnxruntime: Any, provider: str) -> None:
    """Raise Unavailable if this ONNX Runtime has it not."""
    there = onnxruntime.get_available_providers()
    if _NAMES[provider] not in there:
        known = [name for name, full in _NAMES.items() if full in there]
        reason = f"this ONNX Runtime {onnxruntime.__version__} has no provider {provider}, only {', '.join(known)}"
        raise Unavailable("onnx", reason, _PACKAGES[provider])


def _gpu(provider: str, config: RuntimeConfig) -> Gpu | None:
    """The NVIDIA GPU that a provider computes on; None for the others.

    Raises:
        Unavailable: If there is none, or no driver for it.
    """
    return find_gpu(config.gpu) if provider in ("cuda", "tensorrt") else None


def _device(provider: str, config: RuntimeConfig) -> str:
    """What a provider computes on that is not NVIDIA's, in words."""
    if provider == "coreml":
        return "what CoreML chooses"
    return CPU if config.device in ("auto", "cpu") else f"the {config.device.upper()}"


def _cuda(gpu: Gpu | None) -> Cuda | None:
    """What the GPU is asked for its memory through; None where no library can."""
    if gpu is not None:
        with suppress(Unavailable):
            return open_cuda(gpu)
    return None


def _session(onnxruntime: Any, path: Path, provider: str, config: RuntimeConfig) -> Any:
    """Load a network, with this provider or not at all: ONNX Runtime itself would go on on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # a tenth of the node's memory, and no time
    said = _preloaded(onnxruntime) if provider in ("cuda", "tensorrt") else ""
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=_asked(provider, config), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has one exception class per error code, without a common base
        if "NOT_IMPLEMENTED" in str(error) and read_graph(path).precision == "bf16":
            raise ValueError(f"model {path}: {_NO_BFLOAT16}") from error
        aim = "" if provider == "cpu" else f" that the provider {provider} can run"
        raise ValueError(f"model {path}: expected a readable ONNX network{aim}, got: {error}") from error
    if _NAMES[provider] not in session.get_providers():
        reason = f"the provider {provider} cannot be loaded here" + f" ({said})" * bool(said)
        raise Unavailable("onnx", reason, _LIBRARIES[provider])
    session.disable_fallback()  # ONNX Runtime before 1.20 does not know the argument
    return session


def _preloaded(onnxruntime: Any) -> str:
    """Load the CUDA that pip has installed; what is missing of it, in one line."""
    preload, said = getattr(onnxruntime, "preload_dlls", None), io.StringIO()
    with redirect_stdout(said):  # it prints
        if preload is not None:
            preload()
    return said.getvalue().partition("\n")[0]


def _asked(provider: str, config: RuntimeConfig) -> list[Any]:
    """The providers of a session with their options; the last takes what the first cannot."""
    gpu = {"device_id": str(config.gpu)}
    if provider == "cuda":
        return [(_NAMES["cuda"], gpu), _NAMES["cpu"]]
    if provider == "tensorrt":
        return [(_NAMES["tensorrt"], gpu), (_NAMES["cuda"], gpu), _NAMES["cpu"]]
    if provider == "openvino":
        device = "CPU" if config.device == "auto" else config.device.upper()
        threads = {"num_of_threads": str(config.threads)} if config.threads else {}
        return [(_NAMES["openvino"], {"device_type": device, "precision": "ACCURACY", **threads}), _NAMES["cpu"]]
    return list(dict.fromkeys((_NAMES[provider], _NAMES["cpu"])))


def _tensor_spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ValueError(f"tensor {node.name!r}: expected one of {', '.join(_DTYPES)}, got {node.type}")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))
