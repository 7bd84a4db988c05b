"""Run networks in ONNX Runtime: on the CPU, and on the other providers that its build has."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.config import RuntimeConfig
from pose_ros.cores import default_threads
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.onnx_graph import read_graph
from pose_ros.runtime.runner import CLOSED, CPU, Arrays, Runner, TensorSpec, Unavailable
from pose_ros.runtime.telemetry import disable_telemetry
from pose_ros.runtime.trial import try_new_file

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
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_REPLACE = "pip uninstall onnxruntime, then pip install {} (both provide the module onnxruntime)"
_PACKAGE_FIXES = {
    "cuda": _REPLACE.format("onnxruntime-gpu"),
    "tensorrt": _REPLACE.format("onnxruntime-gpu"),
    "openvino": _REPLACE.format("onnxruntime-openvino") + ", or use runtime openvino",
    "coreml": "only onnxruntime on macOS has it",
}
_LIBRARY_FIXES = {
    "cuda": "this build needs matching versions of CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "this build needs matching versions of TensorRT, CUDA and cuDNN, or use runtime tensorrt",
    "openvino": "use device cpu, or install the driver of the device",
    "coreml": "use provider cpu",
}

_NO_BFLOAT16 = (
    "expected fp32, fp16 or int8, got bf16, which ONNX Runtime cannot compute here; use runtime tensorrt or openvino, "
    "or export it without --bf16"
)


class OnnxRunner(Runner):
    """A network in ONNX Runtime. ``run`` may be called from several threads.

    Args:
        path: An ONNX file.
        config: Runtime settings. Used are ``provider`` (auto = cuda if ``device`` is cuda, else cpu), ``gpu``,
            ``device`` and ``threads``.

    Raises:
        FileNotFoundError: If the file does not exist.
        Unavailable: If ONNX Runtime is not installed, lacks the provider, or cannot load the provider here.
        ValueError: If the file is not an ONNX network that this ONNX Runtime can load.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        path, config = Path(path), config or RuntimeConfig()
        onnxruntime, provider = _import_onnxruntime(), _choose_provider(config)
        _check_provider(onnxruntime, provider)
        gpu = _find_provider_gpu(provider, config)
        read_graph(path)  # refuses what ONNX Runtime must not see
        try_new_file(path, "onnx", config)
        session = _open_session(onnxruntime, path, provider, config)
        self._session, self._cuda = session, _open_cuda_or_none(gpu)
        self.inputs = tuple(_tensor_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_tensor_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self.device = gpu.name if gpu is not None else _describe_device(provider, config)
        with_provider = f" with {provider}" * (provider != "cpu")
        self.description = f"ONNX Runtime {onnxruntime.__version__}{with_provider} on {self.device}"

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU, counting all programs. None without a GPU or a CUDA library."""
        return self._cuda.memory_bytes() if self._cuda is not None else None

    def close(self) -> None:
        """Release the session's memory. A second call does nothing."""
        self._session = None
        if self._cuda is not None:
            self._cuda.close()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        session = self._session  # keeps it alive for a run in progress
        if session is None:
            raise ValueError(CLOSED)
        return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))


def _import_onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises:
        Unavailable: If it is missing or broken.
    """
    disable_telemetry()
    try:
        import onnxruntime  # takes 0.1 s, so only when a network is run
    except ImportError as error:
        raise Unavailable("onnx", f"ONNX Runtime cannot be imported: {error}", "pip install onnxruntime") from error
    return onnxruntime


def _choose_provider(config: RuntimeConfig) -> str:
    if config.provider != "auto":
        return config.provider
    return "cuda" if config.device == "cuda" else "cpu"


def _check_provider(onnxruntime: Any, provider: str) -> None:
    """Raise Unavailable if this ONNX Runtime lacks the provider."""
    available = onnxruntime.get_available_providers()
    if _PROVIDERS[provider] not in available:
        known = [name for name, full_name in _PROVIDERS.items() if full_name in available]
        reason = f"this ONNX Runtime {onnxruntime.__version__} has no provider {provider}, only {', '.join(known)}"
        raise Unavailable("onnx", reason, _PACKAGE_FIXES[provider])


def _find_provider_gpu(provider: str, config: RuntimeConfig) -> Gpu | None:
    """Find the NVIDIA GPU that a provider computes on. None for providers that use no NVIDIA GPU.

    Raises:
        Unavailable: If there is no such GPU, or no driver for it.
    """
    return find_gpu(config.gpu) if provider in ("cuda", "tensorrt") else None


def _describe_device(provider: str, config: RuntimeConfig) -> str:
    """Describe the device of a provider that uses no NVIDIA GPU."""
    if provider == "coreml":
        return "a device chosen by CoreML"
    return CPU if config.device in ("auto", "cpu") else f"the {config.device.upper()}"


def _open_cuda_or_none(gpu: Gpu | None) -> Cuda | None:
    """Open the GPU, to read its memory use. None without a GPU or a library that works."""
    if gpu is not None:
        with suppress(Unavailable):
            return open_cuda(gpu)
    return None


def _open_session(onnxruntime: Any, path: Path, provider: str, config: RuntimeConfig) -> Any:
    """Load a network with this provider only. By default, ONNX Runtime would fall back to the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads or default_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # saves a tenth of the node's memory and costs no time
    missing = _preload_cuda(onnxruntime) if provider in ("cuda", "tensorrt") else ""
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=_provider_options(provider, config), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has one exception class per error code, without a common base
        if "NOT_IMPLEMENTED" in str(error) and read_graph(path).precision == "bf16":
            raise ValueError(f"model {path}: {_NO_BFLOAT16}") from error
        condition = "" if provider == "cpu" else f" that the provider {provider} can run"
        raise ValueError(f"model {path}: expected a readable ONNX network{condition}, got: {error}") from error
    if _PROVIDERS[provider] not in session.get_providers():
        reason = f"the provider {provider} cannot be loaded here" + f" ({missing})" * bool(missing)
        raise Unavailable("onnx", reason, _LIBRARY_FIXES[provider])
    session.disable_fallback()  # ONNX Runtime before 1.20 does not know the argument
    return session


def _preload_cuda(onnxruntime: Any) -> str:
    """Load the CUDA libraries that pip has installed. Return in one line what is missing."""
    preload, output = getattr(onnxruntime, "preload_dlls", None), io.StringIO()
    with redirect_stdout(output):  # preload_dlls prints its errors
        if preload is not None:
            preload()
    return output.getvalue().partition("\n")[0]


def _provider_options(provider: str, config: RuntimeConfig) -> list[Any]:
    """Return the providers of a session with their options. Later ones run what the first cannot."""
    gpu = {"device_id": str(config.gpu)}
    if provider == "cuda":
        return [(_PROVIDERS["cuda"], gpu), _PROVIDERS["cpu"]]
    if provider == "tensorrt":
        return [(_PROVIDERS["tensorrt"], gpu), (_PROVIDERS["cuda"], gpu), _PROVIDERS["cpu"]]
    if provider == "openvino":
        device = "CPU" if config.device == "auto" else config.device.upper()
        threads = str(config.threads or default_threads())
        settings = {"device_type": device, "precision": "ACCURACY", "num_of_threads": threads}
        return [(_PROVIDERS["openvino"], settings), _PROVIDERS["cpu"]]
    return list(dict.fromkeys((_PROVIDERS[provider], _PROVIDERS["cpu"])))


def _tensor_spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ValueError(f"tensor {node.name!r}: expected one of {', '.join(_DTYPES)}, got {node.type}")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))
