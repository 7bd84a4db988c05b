"""Choose the runtime for a model file: the configured one, or the first that works on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import BuildProgress, Notify, Runner, Unavailable, require_model_file
from pose_ros.runtime.triton_address import FORM, find_address

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".tar", ".npz", ".pb", ".tflite", ".caffemodel")
"""Suffixes of weight files, which torch runs. Any other file is treated as an ONNX network."""

AUTO = (("tensorrt", "auto"), ("onnx", "cuda"), ("openvino", "auto"), ("onnx", "cpu"))
"""Backend and provider of the runtimes that ``auto`` tries for an ONNX file, fastest first."""

_DEVICES = {"tensorrt": ("cuda",), "openvino": ("cpu", "gpu", "npu"), "torch": ("cpu", "cuda"), "triton": ()}
_PROVIDER_DEVICES = {
    "auto": ("cpu", "cuda"),
    "cpu": ("cpu",),
    "cuda": ("cuda",),
    "tensorrt": ("cuda",),
    "openvino": ("cpu", "gpu", "npu"),
    "coreml": (),
}
_FLOATS = ("fp32", "fp16", "bf16")
_PRECISIONS = {"tensorrt": _FLOATS, "onnx": (), "openvino": _FLOATS, "torch": ("fp32", "fp16"), "triton": ()}
"""Precisions of each backend. TensorRT also checks the model, OpenVINO also checks the device."""

Loaded = TypeVar("Loaded")


def load_runner(
    model: str | Path, config: RuntimeConfig, progress: BuildProgress | None = None, notify: Notify | None = None
) -> Runner:
    """Load a model file into the configured runtime. ``auto`` uses the first runtime that works on this machine.

    The runner's ``reason`` says why it was chosen: which runtimes were tried before, and what each lacks. Runtimes
    that the settings exclude are not tried.

    Args:
        model: An ONNX file, a checkpoint, which torch runs, or the address of a model on a Triton server.
        config: Runtime settings.
        progress: Called with the progress of an engine build, possibly from another thread.
        notify: Called with one line of text for people, such as why an engine is rebuilt.

    Raises:
        FileNotFoundError: If the file does not exist.
        Unavailable: If the configured runtime cannot work on this machine.
        ValueError: If the settings conflict, or the runtime cannot load the file.
    """
    if address := find_address(model):
        return _load_remote(address, config, progress, notify)
    runner, reason = _choose(Path(model), config, lambda path, candidate: _load(path, candidate, progress, notify))
    runner.reason = reason
    return runner


def explain_choice(path: str | Path, config: RuntimeConfig) -> str:
    """Return the ``reason`` that ``load_runner`` would give, without building an engine.

    Raises the same errors as ``load_runner``.
    """
    return _choose(Path(path), config, _try_load)[1]


def _choose(path: Path, config: RuntimeConfig, attempt: Callable[[Path, RuntimeConfig], Loaded]) -> tuple[Loaded, str]:
    """Return the result of the first runtime that works for a file, and why this runtime was chosen."""
    candidates = _allowed_candidates(path, config)
    require_model_file(path, "an ONNX file or a checkpoint")
    return _take_first(candidates, lambda candidate: attempt(path, candidate))


def _load_remote(address: str, config: RuntimeConfig, progress: BuildProgress | None, notify: Notify | None) -> Runner:
    """Open a model on a Triton server.

    Raises:
        ValueError: If the settings conflict.
    """
    from pose_ros.runtime.triton import TritonRunner

    if config.backend not in ("auto", "triton"):
        raise ValueError(f"runtime {config.backend}: expected a file, got {address}; use the runtime auto or triton")
    config = replace(config, backend="triton")
    if conflict := _find_conflict(config):
        raise ValueError(f"runtime triton: {conflict}")
    return TritonRunner(address, config, progress, notify)


def _allowed_candidates(path: Path, config: RuntimeConfig) -> list[RuntimeConfig]:
    """Return the settings of each runtime to try, without those that conflict with the given settings.

    Raises:
        ValueError: If no runtime is left.
    """
    candidates = _all_candidates(path, config)
    conflicts = {_display_name(candidate): _find_conflict(candidate) for candidate in candidates}
    allowed = [candidate for candidate in candidates if not _find_conflict(candidate)]
    if not allowed:
        raise ValueError(f"runtime {_join_reasons(conflicts)}")
    return allowed


def _all_candidates(path: Path, config: RuntimeConfig) -> list[RuntimeConfig]:
    if config.backend == "triton":
        raise ValueError(f"runtime triton: expected a model of the form {FORM}, got {path}")
    if config.backend != "auto":
        return [config]
    if path.suffix.lower() in CHECKPOINTS:
        return [replace(config, backend="torch")]
    provider = config.provider if config.provider != "auto" else ""
    return list(dict.fromkeys(replace(config, backend=name, provider=provider or default) for name, default in AUTO))


def _find_conflict(config: RuntimeConfig) -> str:
    """Describe the first conflict in the settings of one runtime. Empty if there is none."""
    name = config.backend
    if name != "onnx" and config.provider != "auto":
        return f"expected provider auto, got {config.provider}, which is for onnx"
    devices = ("auto", *(_PROVIDER_DEVICES[config.provider] if name == "onnx" else _DEVICES[name]))
    if config.device not in devices:
        for_provider = f" for provider {config.provider}" if config.provider != "auto" else ""
        return f"expected device {_join_alternatives(devices)}{for_provider}, got {config.device}"
    precisions = ("auto", *_PRECISIONS[name])
    if config.precision not in precisions:
        return f"expected precision {_join_alternatives(precisions)}, got {config.precision}"
    return ""


def _take_first(
    candidates: list[RuntimeConfig],
    attempt: Callable[[RuntimeConfig], Loaded],
    failures: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Loaded, str]:
    """Return the result of the first attempt that succeeds, and why this runtime was chosen."""
    candidate, *others = candidates
    try:
        return attempt(candidate), _describe_choice(candidate, failures)
    except InterruptedError:
        raise  # the caller has cancelled the build
    except Exception as error:  # whatever a library raises here, the next one may work
        failures = {**failures, _display_name(candidate): _summarise_error(error)}
        if not others and len(failures) > 1 and isinstance(error, Unavailable):
            raise Unavailable("auto", _join_reasons(failures), "run pose_ros doctor to see how to fix each") from error
        if not others:
            raise
    return _take_first(others, attempt, failures)


def _load(path: Path, config: RuntimeConfig, progress: BuildProgress | None, notify: Notify | None) -> Runner:
    if config.backend == "tensorrt":
        return _load_tensorrt(path, config, progress, notify)
    if config.backend == "torch":
        return _load_torch(path, config)
    if config.backend == "openvino":
        from pose_ros.runtime.openvino import OpenVINORunner

        return OpenVINORunner(path, config)
    from pose_ros.runtime.onnx import OnnxRunner

    return OnnxRunner(path, config)


def _try_load(path: Path, config: RuntimeConfig) -> None:
    """Check that a runtime can load a file, without building an engine."""
    if config.backend == "tensorrt":
        from pose_ros.runtime.tensorrt.probe import probe_model

        probe_model(path, config).cuda.close()
    else:
        _load(path, config, None, None).close()


def _load_tensorrt(path: Path, config: RuntimeConfig, progress: BuildProgress | None, notify: Notify | None) -> Runner:
    from pose_ros.runtime.tensorrt.probe import probe_model
    from pose_ros.runtime.tensorrt.runner import TensorRTRunner

    if config.while_building == "wait":
        return TensorRTRunner(path, config, progress, notify)
    from pose_ros.runtime.onnx import OnnxRunner
    from pose_ros.runtime.while_building import WhileBuilding

    probe = probe_model(path, config)
    try:
        meanwhile = OnnxRunner(path, RuntimeConfig(backend="onnx", threads=config.threads))
    except (ImportError, ValueError) as error:  # the engine may still work
        if notify is not None:
            notify(f"no runtime is available until the engine is ready: {_summarise_error(error)}")
        return TensorRTRunner(path, config, progress, notify, probe)
    return WhileBuilding(
        meanwhile, lambda report: TensorRTRunner(path, config, report, notify, probe), progress, notify
    )


def _load_torch(path: Path, config: RuntimeConfig) -> Runner:
    try:
        from pose_ros.runtime.torch import TorchRunner
    except ImportError as error:
        raise ImportError(
            f"model {path}: expected the package torch to run a checkpoint, got: {error}; "
            "pip install torch, or use an ONNX file"
        ) from error
    return TorchRunner(path, config)


def _display_name(config: RuntimeConfig) -> str:
    """Return the name of a runtime for people. Plain ``onnx`` means ONNX Runtime on the CPU."""
    if config.backend != "onnx":
        return config.backend
    provider = "cuda" if (config.provider, config.device) == ("auto", "cuda") else config.provider
    return "onnx" + f" with {provider}" * (provider not in ("auto", "cpu"))


def _describe_choice(config: RuntimeConfig, failures: Mapping[str, str]) -> str:
    """Describe in one line which runtime was chosen, and why those before it failed."""
    name = _display_name(config)
    device = "cpu" if config.device == "auto" else config.device
    place = f" on the {device.upper()}" * (name in ("onnx", "openvino"))
    return f"{name}{place}" + f": {_join_reasons(failures)}" * bool(failures)


def _summarise_error(error: Exception) -> str:
    """Return an error as one line of text."""
    text = error.reason if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _join_reasons(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _join_alternatives(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
