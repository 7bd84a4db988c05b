"""Which runtime runs a file: the one that is asked for, or the first that works here, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import BuildProgress, Notify, Runner, Unavailable, existing

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".tar", ".npz", ".pb", ".tflite", ".caffemodel")
"""Suffixes of weights, which torch runs; any other file is taken for an ONNX network."""

AUTO = (("tensorrt", "auto"), ("onnx", "cuda"), ("openvino", "auto"), ("onnx", "cpu"))
"""Backend and provider of the runtimes that ``auto`` tries for an ONNX file, the fastest first."""

_DEVICES = {"tensorrt": ("cuda",), "openvino": ("cpu", "gpu", "npu"), "torch": ("cpu", "cuda")}
_PROVIDER_DEVICES = {
    "auto": ("cpu", "cuda"),
    "cpu": ("cpu",),
    "cuda": ("cuda",),
    "tensorrt": ("cuda",),
    "openvino": ("cpu", "gpu", "npu"),
    "coreml": (),
}
_FLOATS = ("fp32", "fp16", "bf16")
_PRECISIONS = {"tensorrt": _FLOATS, "onnx": (), "openvino": _FLOATS, "torch": ("fp32", "fp16")}
"""Of those, TensorRT has what the model holds, and OpenVINO what the device can: they look for themselves."""

Chosen = TypeVar("Chosen")


def load_runner(
    path: str | Path, config: RuntimeConfig, progress: BuildProgress | None = None, say: Notify | None = None
) -> Runner:
    """Load a model file into the configured runtime; ``auto`` takes the first that works here.

    The runner's ``reason`` says why it was taken: what was tried before, and what each lacks. What the settings
    exclude is not tried.

    Args:
        path: An ONNX file, or a checkpoint, which torch runs.
        config: What to run it with.
        progress: Told how far the build of an engine is, perhaps from another thread.
        say: Told in one line what a person should know, such as why an engine is built anew.

    Raises:
        FileNotFoundError: If there is no such file.
        Unavailable: If what the settings ask for cannot work on this machine.
        ValueError: If the settings do not go together, or the runtime cannot load the file.
    """
    runner, reason = _chosen(Path(path), config, lambda path, way: _load(path, way, progress, say))
    runner.reason = reason
    return runner


def foresee(path: str | Path, config: RuntimeConfig) -> str:
    """The ``reason`` that ``load_runner`` would give, or what it would raise, without building an engine."""
    return _chosen(Path(path), config, _try)[1]


def _chosen(path: Path, config: RuntimeConfig, attempt: Callable[[Path, RuntimeConfig], Chosen]) -> tuple[Chosen, str]:
    """What the first runtime that works makes of a file, and why it is this one."""
    ways = _ways(path, config)
    existing(path, "an ONNX file or a checkpoint")
    return _first(ways, lambda way: attempt(path, way))


def _ways(path: Path, config: RuntimeConfig) -> list[RuntimeConfig]:
    """The settings of each runtime to try: those that the settings asked for leave.

    Raises:
        ValueError: If they leave none.
    """
    every = _candidates(path, config)
    objections = {_name(way): _objection(way) for way in every}
    ways = [way for way in every if not _objection(way)]
    if not ways:
        raise ValueError(f"runtime {_joined(objections)}")
    return ways


def _candidates(path: Path, config: RuntimeConfig) -> list[RuntimeConfig]:
    if config.backend != "auto":
        return [config]
    if path.suffix.lower() in CHECKPOINTS:
        return [replace(config, backend="torch")]
    asked = config.provider if config.provider != "auto" else ""
    return list(dict.fromkeys(replace(config, backend=name, provider=asked or own) for name, own in AUTO))


def _objection(config: RuntimeConfig) -> str:
    """What does not go together in the settings of one runtime; empty if all does."""
    name = config.backend
    if name != "onnx" and config.provider != "auto":
        return f"expected provider auto, got {config.provider}, which is for onnx"
    devices = ("auto", *(_PROVIDER_DEVICES[config.provider] if name == "onnx" else _DEVICES[name]))
    if config.device not in devices:
        for_provider = f" for provider {config.provider}" if config.provider != "auto" else ""
        return f"expected device {_alternatives(devices)}{for_provider}, got {config.device}"
    precisions = ("auto", *_PRECISIONS[name])
    if config.precision not in precisions:
        return f"expected precision {_alternatives(precisions)}, got {config.precision}"
    return ""


def _first(
    ways: list[RuntimeConfig],
    attempt: Callable[[RuntimeConfig], Chosen],
    refused: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Chosen, str]:
    """The result of the first attempt that succeeds, and why it is this one."""
    way, *others = ways
    try:
        return attempt(way), _reason(way, refused)
    except InterruptedError:
        raise  # a build that nobody wants any longer
    except Exception as error:  # whatever a library raises here, the next one may work
        refused = {**refused, _name(way): _short(error)}
        if not others and len(refused) > 1 and isinstance(error, Unavailable):
            raise Unavailable("auto", _joined(refused), "pose_ros doctor tells how to get each") from error
        if not others:
            raise
    return _first(others, attempt, refused)


def _load(path: Path, config: RuntimeConfig, progress: BuildProgress | None, say: Notify | None) -> Runner:
    if config.backend == "tensorrt":
        return _tensorrt_runner(path, config, progress, say)
    if config.backend == "torch":
        return _torch_runner(path, config)
    if config.backend == "openvino":
        from pose_ros.runtime.openvino import OpenVINORunner

        return OpenVINORunner(path, config)
    from pose_ros.runtime.onnx import OnnxRunner

    return OnnxRunner(path, config)


def _try(path: Path, config: RuntimeConfig) -> None:
    if config.backend == "tensorrt":
        from pose_ros.runtime.tensorrt.probe import probe_model

        probe_model(path, config).cuda.close()
    else:
        _load(path, config, None, None).close()


def _tensorrt_runner(path: Path, config: RuntimeConfig, progress: BuildProgress | None, say: Notify | None) -> Runner:
    from pose_ros.runtime.tensorrt.probe import probe_model
    from pose_ros.runtime.tensorrt.runner import TensorRTRunner

    if config.while_building == "wait":
        return TensorRTRunner(path, config, progress, say)
    from pose_ros.runtime.onnx import OnnxRunner
    from pose_ros.runtime.while_building import WhileBuilding

    probe = probe_model(path, config)
    try:
        meanwhile = OnnxRunner(path, RuntimeConfig(backend="onnx", threads=config.threads))
    except Exception as error:  # the engine may still work
        if say is not None:
            say(f"nothing answers until the engine is there: {_short(error)}")
        return TensorRTRunner(path, config, progress, say, probe)
    return WhileBuilding(meanwhile, lambda report: TensorRTRunner(path, config, report, say, probe), progress, say)


def _torch_runner(path: Path, config: RuntimeConfig) -> Runner:
    try:
        from pose_ros.runtime.torch import TorchRunner
    except ImportError as error:
        raise ImportError(
            f"model {path}: expected the package torch to run a checkpoint, got: {error}; "
            "pip install torch, or take an ONNX file"
        ) from error
    return TorchRunner(path, config)


def _name(config: RuntimeConfig) -> str:
    """What a person calls a runtime; ``onnx`` is the one on the CPU unless a provider is named."""
    if config.backend != "onnx":
        return config.backend
    provider = "cuda" if (config.provider, config.device) == ("auto", "cuda") else config.provider
    return "onnx" + f" with {provider}" * (provider not in ("auto", "cpu"))


def _reason(config: RuntimeConfig, refusals: Mapping[str, str]) -> str:
    """Why this one, in one line: what speaks against those before it."""
    name = _name(config)
    device = "cpu" if config.device == "auto" else config.device
    place = f" on the {device.upper()}" * (name in ("onnx", "openvino"))
    return f"{name}{place}" + f": {_joined(refusals)}" * bool(refusals)


def _short(error: Exception) -> str:
    """What is wrong, in one line."""
    text = error.reason if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _joined(refusals: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in refusals.items())


def _alternatives(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
