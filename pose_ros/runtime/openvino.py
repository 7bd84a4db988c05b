"""Run networks in OpenVINO: on Intel CPUs, GPUs and NPUs, and on AMD and ARM CPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.config import RuntimeConfig
from pose_ros.cores import default_threads
from pose_ros.files import user_cache
from pose_ros.runtime.onnx_graph import read_graph
from pose_ros.runtime.runner import CLOSED, CPU, Arrays, Runner, TensorSpec, Unavailable
from pose_ros.runtime.shape_ranges import shape_ranges
from pose_ros.runtime.telemetry import disable_telemetry
from pose_ros.runtime.trial import try_new_file

KEPT_SIZES = 4
"""Image sizes for which a CPU keeps a compiled network, the last used ones. Other sizes are compiled again."""
_CACHE_CAPACITY = "CPU_RUNTIME_CACHE_CAPACITY"
"""Property: most compiled operations of one kind. By default 5000, which is hundreds of MB. Devices do not list it."""
_DEVICES = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_DRIVERS = {
    "GPU": "install Intel's compute runtime (Debian: intel-opencl-icd) and join the group render, or use device cpu",
    "NPU": "install Intel's NPU driver (linux-npu-driver) and join the group render, or use device cpu",
}


def check_device(device: str = "auto") -> None:
    """Check that OpenVINO is installed and has this device.

    Raises:
        Unavailable: If OpenVINO or the device is missing. The message says how to fix it.
    """
    _find_device(_core(), device)


class OpenVINORunner(Runner):
    """A network in OpenVINO. ``run`` may be called from several threads.

    Precision ``auto`` is OpenVINO's accuracy mode: no layer computes in a smaller type than the model specifies.
    OpenVINO's default is bf16 or fp16 where the device supports it. An NPU supports only fp16 and int8. Quantised
    layers always compute in int8.

    An NPU compiles fixed sizes only, according to OpenVINO's documentation (not tested on an NPU). Free sizes of an
    image network become ``best_size``, rounded up to the model's multiple, and a batch of one. Images are fitted into
    that size.

    Compiled networks are cached on GPU and NPU only. There the cache saves many seconds, on a CPU only 0.2 s.
    OpenVINO does not detect a changed bit in a cached file.

    Args:
        path: An ONNX file.
        config: Runtime settings. Used are ``device`` (auto = CPU), ``precision``, ``threads`` (CPU only),
            ``best_size`` (NPU only) and ``cache``.

    Raises:
        FileNotFoundError: If the file does not exist.
        Unavailable: If OpenVINO is not installed, or the device is missing.
        ValueError: If the file is not an ONNX network that OpenVINO can run on the device in this precision.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        path, config = Path(path), config or RuntimeConfig()
        openvino, core = _import_openvino(), _core()
        device = _find_device(core, config.device)
        read_graph(path)  # refuses what OpenVINO must not see
        try_new_file(path, "openvino", config)
        try:
            model = core.read_model(str(path))
            if device == "NPU":
                model.reshape(_fixed_shapes(path, config))
            properties = _device_properties(core, device, config)
            if device == "CPU":
                properties[_CACHE_CAPACITY] = KEPT_SIZES * _count_convolutions(model)
            network = core.compile_model(model, device, properties)
            self.inputs, self.outputs = _input_specs(network), _output_specs(network)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"model {path}: expected a readable ONNX network that OpenVINO runs on the {device}, got: {reason}"
            ) from error
        _check_precision(network, device, config.precision)
        self._network, self._tensor = network, openvino.Tensor
        self._idle: list[Any] = []
        self.metadata = _read_metadata(model)
        self.device = CPU if device == "CPU" else core.get_property(device, "FULL_DEVICE_NAME")
        self.description = _describe_runtime(openvino, self.device, config.precision)

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        idle, network = self._idle, self._network  # keeps them alive for a run in progress
        if network is None:
            raise ValueError(CLOSED)
        try:
            request = idle.pop()
        except IndexError:  # all requests are in use by other threads
            request = network.create_infer_request()
        for index, spec in enumerate(self.inputs):
            array = feeds[spec.name]
            request.set_input_tensor(index, self._tensor(array, shared_memory=array.flags.carray))
        request.infer()
        outputs = {
            spec.name: np.array(request.get_output_tensor(index).data)  # the next run overwrites the tensor
            for index, spec in enumerate(self.outputs)
            if spec.name in names
        }
        idle.append(request)
        return outputs

    def close(self) -> None:
        """Release the network's memory once the last run has ended. A second call does nothing."""
        self._network, self._idle = None, []


def _import_openvino() -> Any:
    """Import OpenVINO.

    Raises:
        Unavailable: If it is missing or broken.
    """
    disable_telemetry()
    try:
        import openvino  # takes 0.2 s, so only when a network is run
    except ImportError as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == "openvino"
        reason = "not installed" if is_missing else f"cannot be imported: {error}"
        raise Unavailable("openvino", reason, 'pip install "openvino>=2024.4"') from error
    return openvino


@cache
def _core() -> Any:
    """Return the only core of this process. It lives as long as the process.

    OpenVINO's CPU plug-in sets a signal stack for the thread that creates the core. The thread that drops the last
    reference removes it. If these are different threads, the next signal to the first thread ends the process.
    """
    return _import_openvino().Core()


def _find_device(core: Any, device: str) -> str:
    """Return OpenVINO's name of a device, after checking that this machine has the device."""
    name, available = _DEVICES[device], core.available_devices
    if not any(one.partition(".")[0] == name for one in available):  # with two GPUs the second is GPU.1
        raise Unavailable(
            "openvino", f"expected a usable {name}, got only {', '.join(available)}", _DRIVERS.get(name, "")
        )
    return name


def _fixed_shapes(path: Path, config: RuntimeConfig) -> dict[str, list[int]]:
    """Return a fixed shape for each input with free sizes.

    Raises:
        ValueError: If such an input is not a batch of images.
    """
    ranges = shape_ranges(read_graph(path), replace(config, max_batch=1))
    return {name: list(shapes.best) for name, shapes in ranges.items()}


def _device_properties(core: Any, device: str, config: RuntimeConfig) -> dict[str, Any]:
    """Return the OpenVINO properties for the settings. Properties unknown to the device are left out."""
    wanted: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if config.precision == "auto":
        wanted["EXECUTION_MODE_HINT"] = "ACCURACY"
    else:
        wanted["INFERENCE_PRECISION_HINT"] = _PRECISIONS[config.precision]
    if device == "CPU":
        wanted["ENABLE_CPU_PINNING"] = False  # otherwise several nodes would choose the same cores
        wanted["INFERENCE_NUM_THREADS"] = config.threads or default_threads()
    elif folder := _cache_folder(config.cache):
        wanted["CACHE_DIR"] = folder
    known = set(core.get_property(device, "SUPPORTED_PROPERTIES"))
    return {name: value for name, value in wanted.items() if name in known or name == "CACHE_DIR"}


def _count_convolutions(model: Any) -> int:
    """Count the convolutions of a network. They take nearly all memory of its compiled operations."""
    return sum("Convolution" in operation.get_type_name() for operation in model.get_ops())


def _cache_folder(folder: str) -> str:
    """Return the folder of compiled networks. Empty if it cannot be written: then each start compiles again."""
    path = Path(folder).expanduser() / "openvino" if folder else user_cache("openvino")
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    return str(path) if os.access(path, os.W_OK) else ""


def _input_specs(network: Any) -> tuple[TensorSpec, ...]:
    return tuple(_spec(port.get_any_name(), port) for port in network.inputs)


def _output_specs(network: Any) -> tuple[TensorSpec, ...]:
    """Return the outputs with their names in the ONNX file. One tensor may have several names."""
    names = [port.get_node().get_friendly_name().removesuffix("/sink_port_0") for port in network.outputs]
    return tuple(
        _spec(name if name in port.get_names() else port.get_any_name(), port)
        for name, port in zip(names, network.outputs, strict=True)
    )


def _spec(name: str, port: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(name, shape, np.dtype(port.get_element_type().to_dtype()))


def _read_metadata(model: Any) -> dict[str, str]:
    """Return the text entries of an ONNX file."""
    entries = model.get_rt_info()["framework"] if model.has_rt_info(["framework"]) else {}
    return {name: str(entry.astype(str)) for name, entry in entries.items()}


def _check_precision(network: Any, device: str, precision: str) -> None:
    """Check the precision of a compiled network. OpenVINO silently uses another type if it must."""
    if precision == "auto":
        return
    actual = network.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if actual != _PRECISIONS[precision]:
        raise ValueError(
            f"runtime openvino: expected a device that computes in {precision}, got the {device}, which uses {actual}; "
            "use precision auto"
        )


def _describe_runtime(openvino: Any, device: str, precision: str) -> str:
    version = openvino.__version__.partition("-")[0]
    return f"OpenVINO {version} on {device}" + (f" in {precision}" if precision not in ("auto", "fp32") else "")
