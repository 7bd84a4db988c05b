"""OpenVINO: Intel's processors, graphics and NPUs; its CPU part runs on AMD and ARM, too."""

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
from pose_ros.files import user_cache
from pose_ros.runtime.onnx_graph import read_graph
from pose_ros.runtime.runner import CLOSED, CPU, Arrays, Runner, TensorSpec, Unavailable, existing
from pose_ros.runtime.shape_ranges import shape_ranges

_DEVICES = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_DRIVERS = {
    "GPU": "install Intel's compute runtime (Debian: intel-opencl-icd) and join the group render, or take device cpu",
    "NPU": "install Intel's driver of the NPU (linux-npu-driver) and join the group render, or take device cpu",
}


def check(device: str = "auto") -> None:
    """Return if OpenVINO is installed and has this device.

    Raises:
        Unavailable: If not, with what to do.
    """
    _checked_device(_core(), device)


class OpenVINORunner(Runner):
    """A network in OpenVINO. ``run`` may be called from several threads.

    Precision ``auto`` is OpenVINO's mode of accuracy: no layer computes in a smaller type than the model says. The
    library by itself would compute in bf16 or fp16 where the device can. An NPU has no other than fp16 and int8.
    Models with quantised layers compute these in int8, whatever the precision.

    An NPU compiles fixed sizes only, says OpenVINO's documentation (none was at hand): free ones of an image network
    become ``best_size``, rounded up to the model's multiple, and a batch of one. Images are then fitted into that.

    Compiled networks are cached on GPU and NPU only: there it saves many seconds, on a CPU two tenths of one, and
    OpenVINO does not notice when a bit of a cached file has changed.

    Args:
        path: An ONNX file.
        config: ``device`` (auto is the CPU), ``precision``, ``threads`` (of the CPU), ``best_size`` (on an NPU) and
            ``cache``.

    Raises:
        FileNotFoundError: If there is no such file.
        Unavailable: If OpenVINO is not installed, or has no such device here.
        ValueError: If the file is no ONNX network that it can run there, or not in this precision.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        path, config = existing(path), config or RuntimeConfig()
        openvino, core = _library(), _core()
        device = _checked_device(core, config.device)
        try:
            model = core.read_model(str(path))
            if device == "NPU":
                model.reshape(_fixed_shapes(path, config))
            network = core.compile_model(model, device, _properties(core, device, config))
            self.inputs, self.outputs = _input_specs(network), _output_specs(network)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"model {path}: expected a readable ONNX network that OpenVINO runs on the {device}, got: {reason}"
            ) from error
        _check_precision(network, device, config.precision)
        self._network, self._tensor = network, openvino.Tensor
        self._idle: list[Any] = []
        self.metadata = _metadata(model)
        self.device = CPU if device == "CPU" else core.get_property(device, "FULL_DEVICE_NAME")
        self.description = _description(openvino, self.device, config.precision)

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        idle, network = self._idle, self._network  # a run that has begun keeps them
        if network is None:
            raise ValueError(CLOSED)
        try:
            request = idle.pop()
        except IndexError:  # more threads than ever before
            request = network.create_infer_request()
        for index, spec in enumerate(self.inputs):
            array = feeds[spec.name]
            request.set_input_tensor(index, self._tensor(array, shared_memory=array.flags.carray))
        request.infer()
        outputs = {
            spec.name: np.array(request.get_output_tensor(index).data)  # the tensor is the next run's, too
            for index, spec in enumerate(self.outputs)
            if spec.name in names
        }
        idle.append(request)
        return outputs

    def close(self) -> None:
        """Give back the network's memory, when the last run has ended; once more does nothing."""
        self._network, self._idle = None, []


def _library() -> Any:
    """Import OpenVINO.

    Raises:
        Unavailable: If it is not there, or broken.
    """
    try:
        import openvino  # 0.2 s; only who runs a network pays it
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "openvino"
        reason = "not installed" if absent else f"cannot be imported: {error}"
        raise Unavailable("openvino", reason, 'pip install "openvino>=2024.4"') from error
    return openvino


@cache
def _core() -> Any:
    """The one core of the process, which stays until it ends.

    The plug-in of the CPU gives the thread that makes it a stack for signals, and takes it away in the thread that
    drops it last. Were that another thread, the next signal to the first one would end the process.
    """
    return _library().Core()


def _checked_device(core: Any, device: str) -> str:
    """OpenVINO's name of a device, which this machine has."""
    name, there = _DEVICES[device], core.available_devices
    if not any(one.partition(".")[0] == name for one in there):  # the second of two is GPU.1
        raise Unavailable("openvino", f"no {name} that it can use, only {', '.join(there)}", _DRIVERS.get(name, ""))
    return name


def _fixed_shapes(path: Path, config: RuntimeConfig) -> dict[str, list[int]]:
    """A shape for each input of a model that has free sizes.

    Raises:
        ValueError: If such an input is not a batch of images.
    """
    ranges = shape_ranges(read_graph(path), replace(config, max_batch=1))
    return {name: list(shapes.best) for name, shapes in ranges.items()}


def _properties(core: Any, device: str, config: RuntimeConfig) -> dict[str, Any]:
    """What the settings mean to a device; devices know different properties."""
    wanted: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if config.precision == "auto":
        wanted["EXECUTION_MODE_HINT"] = "ACCURACY"
    else:
        wanted["INFERENCE_PRECISION_HINT"] = _PRECISIONS[config.precision]
    if device == "CPU":
        wanted["ENABLE_CPU_PINNING"] = False  # each of several nodes would choose the same cores
        wanted.update({"INFERENCE_NUM_THREADS": config.threads} if config.threads else {})
    elif folder := _cache(config.cache):
        wanted["CACHE_DIR"] = folder
    known = set(core.get_property(device, "SUPPORTED_PROPERTIES"))
    return {name: value for name, value in wanted.items() if name in known or name == "CACHE_DIR"}


def _cache(folder: str) -> str:
    """The folder of compiled networks; empty where it cannot be written, and each start compiles anew."""
    path = Path(folder).expanduser() / "openvino" if folder else user_cache("openvino")
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    return str(path) if os.access(path, os.W_OK) else ""


def _input_specs(network: Any) -> tuple[TensorSpec, ...]:
    return tuple(_spec(port.get_any_name(), port) for port in network.inputs)


def _output_specs(network: Any) -> tuple[TensorSpec, ...]:
    """The outputs by the names of the ONNX file; one tensor may be given out under several."""
    names = [port.get_node().get_friendly_name().removesuffix("/sink_port_0") for port in network.outputs]
    return tuple(
        _spec(name if name in port.get_names() else port.get_any_name(), port)
        for name, port in zip(names, network.outputs, strict=True)
    )


def _spec(name: str, port: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(name, shape, np.dtype(port.get_element_type().to_dtype()))


def _metadata(model: Any) -> dict[str, str]:
    """The text entries of an ONNX file."""
    entries = model.get_rt_info()["framework"] if model.has_rt_info(["framework"]) else {}
    return {name: str(entry.astype(str)) for name, entry in entries.items()}


def _check_precision(network: Any, device: str, precision: str) -> None:
    """Raise unless the network computes as asked: OpenVINO takes another type, silently, where it must."""
    if precision == "auto":
        return
    taken = network.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != _PRECISIONS[precision]:
        raise ValueError(
            f"runtime openvino: expected a device that computes in {precision}, got the {device}, which took {taken}; "
            "take precision auto"
        )


def _description(openvino: Any, device: str, precision: str) -> str:
    version = openvino.__version__.partition("-")[0]
    return f"OpenVINO {version} on {device}" + (f" in {precision}" if precision not in ("auto", "fp32") else "")
