"""Test the choice of the runtime: by the settings, or with ``auto`` the first that works."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import fake_cuda
import numpy as np
import pytest

from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner, onnx
from pose_ros.runtime.choice import CHECKPOINTS, explain_choice
from pose_ros.runtime.runner import CPU, Runner, TensorSpec, Unavailable
from pose_ros.runtime.tensorrt.probe import TensorRTProbe

NO_GPU = Unavailable("cuda", "no NVIDIA driver", "install it")
NO_PROVIDER = "onnx with cuda: this ONNX Runtime .* has no provider cuda, only cpu"


class FakeRunner(Runner):
    """Runner without a library that stores its constructor arguments."""

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.is_closed = arguments, False
        self.inputs = self.outputs = (TensorSpec("x", (None,), np.dtype(np.float32)),)
        self.metadata, self.description = {}, "fake"

    def _run(self, feeds, names):
        return dict.fromkeys(names, feeds["x"])

    def close(self) -> None:
        self.is_closed = True


class FakeGpu:
    """GPU that records whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    """Replace the module of a runtime."""
    module = ModuleType(f"pose_ros.runtime.{name}")
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def make_failing(error: Exception):
    """Return a function that raises an error."""

    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine with ONNX Runtime for the CPU and no other runtime."""
    replace_module(monkeypatch, "tensorrt.runner", TensorRTRunner=make_failing(NO_GPU))
    replace_module(monkeypatch, "tensorrt.probe", probe_model=make_failing(NO_GPU))
    missing = Unavailable("openvino", "not installed", "pip install openvino")
    replace_module(monkeypatch, "openvino", OpenVINORunner=make_failing(missing))


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine on which TensorRT works."""
    replace_module(monkeypatch, "tensorrt.runner", TensorRTRunner=FakeRunner)
    replace_module(monkeypatch, "tensorrt.probe", probe_model=lambda path, config: TensorRTProbe(None, FakeGpu(), None))


def test_auto_gives_its_reason_in_one_line(cpu_only: None) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig()) as runner:
        assert runner.description.startswith("ONNX Runtime")
        first, second, third = runner.reason.removeprefix("onnx on the CPU: ").split("; ")
    assert first == "tensorrt: no NVIDIA driver"
    assert second.startswith("onnx with cuda: this ONNX Runtime") and second.endswith("has no provider cuda, only cpu")
    assert third == "openvino: not installed"
    assert "\n" not in runner.reason


def test_auto_uses_the_first_runtime_that_works(with_gpu: None) -> None:
    lines: list[str] = []
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig(gpu=1), progress=print, notify=lines.append)
    assert isinstance(runner, FakeRunner) and runner.reason == "tensorrt"
    path, config, progress, notify = runner.arguments
    assert (path, config.backend, config.gpu) == (DEFAULT_MODEL, "tensorrt", 1)
    assert progress is print and notify == lines.append


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("tensorrt", "too old", "update it"), "tensorrt: too old"),
        (ValueError("model m.onnx:\n  no operator Einsum"), "tensorrt: ValueError: model m.onnx: no operator Einsum"),
        (RuntimeError("out of memory"), "tensorrt: RuntimeError: out of memory"),
        (
            AttributeError("module has no attribute Builder"),
            "tensorrt: AttributeError: module has no attribute Builder",
        ),
    ],
    ids=["unavailable", "cannot build", "no memory", "unknown version"],
)
def test_after_any_failure_the_next_runtime_is_used(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    replace_module(monkeypatch, "tensorrt.runner", TensorRTRunner=make_failing(error))
    replace_module(monkeypatch, "openvino", OpenVINORunner=FakeRunner)
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig())
    assert isinstance(runner, FakeRunner)
    assert runner.reason.startswith(f"openvino on the CPU: {reason}; onnx with cuda: ")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"device": "cpu"}, "onnx on the CPU: openvino: not installed"),
        ({"backend": "onnx"}, "onnx on the CPU"),
        ({"backend": "onnx", "device": "cpu", "provider": "cpu"}, "onnx on the CPU"),
        ({"provider": "cpu"}, "onnx on the CPU"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_runtimes_excluded_by_the_settings_are_not_tried(cpu_only: None, settings: dict, reason: str) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig(**settings)) as runner:
        assert runner.description.startswith("ONNX Runtime") and runner.reason == reason


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "tensorrt"}, "no NVIDIA driver; install it"),
        ({"backend": "openvino"}, "runtime openvino: not installed; pip install openvino"),
        ({"device": "gpu"}, "runtime openvino: not installed; pip install openvino"),
        (
            {"precision": "bf16"},
            "runtime auto: tensorrt: no NVIDIA driver; openvino: not installed; run pose_ros doctor",
        ),
        ({"backend": "onnx", "device": "cuda"}, "runtime onnx: this ONNX .* only cpu; .*pip install onnxruntime-gpu"),
        ({"backend": "onnx", "provider": "tensorrt"}, "no provider tensorrt, only cpu; .*onnxruntime-gpu"),
        ({"backend": "onnx", "provider": "openvino", "device": "npu"}, "only cpu; .*pip install onnxruntime-openvino"),
        ({"provider": "coreml"}, "no provider coreml, only cpu; only onnxruntime on macOS has it"),
        ({"device": "cuda"}, f"runtime auto: tensorrt: no NVIDIA driver; {NO_PROVIDER}; run pose_ros doctor to see"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_an_unavailable_runtime_names_the_fix(cpu_only: None, settings: dict, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        load_runner(DEFAULT_MODEL, RuntimeConfig(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "tensorrt", "device": "cpu"}, "runtime tensorrt: expected device auto or cuda, got cpu"),
        ({"backend": "tensorrt", "provider": "tensorrt"}, "expected provider auto, got tensorrt, which is for onnx"),
        ({"backend": "openvino", "device": "cuda"}, "openvino: expected device auto, cpu, gpu or npu, got cuda"),
        ({"backend": "openvino", "provider": "openvino"}, "provider auto, got openvino, which is for onnx"),
        ({"backend": "onnx", "device": "npu"}, "runtime onnx: expected device auto, cpu or cuda, got npu"),
        ({"backend": "onnx", "precision": "fp32"}, "runtime onnx: expected precision auto, got fp32"),
        ({"backend": "onnx", "provider": "cpu", "device": "cuda"}, "auto or cpu for provider cpu, got cuda"),
        ({"backend": "onnx", "provider": "cuda", "device": "cpu"}, "auto or cuda for provider cuda, got cpu"),
        ({"backend": "onnx", "provider": "coreml", "device": "cpu"}, "expected device auto for provider coreml"),
        ({"backend": "torch", "device": "npu"}, "runtime torch: expected device auto, cpu or cuda, got npu"),
        ({"backend": "torch", "precision": "bf16"}, "torch: expected precision auto, fp32 or fp16, got bf16"),
        ({"device": "gpu", "provider": "cuda"}, "tensorrt: .*; onnx with cuda: .* got gpu; openvino: .*"),
        ({"device": "npu", "provider": "cpu"}, "tensorrt: .*got cpu, .*; onnx: .*got npu; openvino: .*got cpu"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_conflicting_settings_are_refused_first(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_runner("no_such_file.onnx", RuntimeConfig(**settings))


@pytest.mark.parametrize("backend", ["auto", "tensorrt", "onnx", "openvino", "torch"])
def test_error_names_a_missing_file(backend: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"got no_such_file\.onnx, which does not exist"):
        load_runner("no_such_file.onnx", RuntimeConfig(backend=backend))


@pytest.mark.parametrize("suffix", [*CHECKPOINTS, ".PTH"])
def test_torch_loads_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str) -> None:
    replace_module(monkeypatch, "torch", TorchRunner=FakeRunner)
    (tmp_path / f"weights{suffix}").touch()
    runner = load_runner(tmp_path / f"weights{suffix}", RuntimeConfig(device="cuda", precision="fp16"))
    assert isinstance(runner, FakeRunner) and runner.reason == "torch"


def test_explain_choice_builds_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = FakeGpu()
    replace_module(monkeypatch, "tensorrt.runner", TensorRTRunner=make_failing(AssertionError("built")))
    replace_module(monkeypatch, "tensorrt.probe", probe_model=lambda path, config: TensorRTProbe(None, opened, None))
    assert explain_choice(DEFAULT_MODEL, RuntimeConfig()) == "tensorrt"
    assert opened.is_closed


def test_explain_choice_agrees_with_load_runner(cpu_only: None) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig()) as runner:
        assert explain_choice(DEFAULT_MODEL, RuntimeConfig()) == runner.reason


def test_the_estimator_passes_its_callbacks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[object] = []

    def load(path: Path, config: RuntimeConfig, progress: object, notify: object) -> Runner:
        received.extend([progress, notify])
        return load_runner(path, config)

    monkeypatch.setattr("pose_ros.estimator.load_runner", load)
    config = EstimatorConfig(runtime=RuntimeConfig(threads=1, warm_up=False))
    PoseEstimator.load(runtime="onnx", config=config, progress=print, notify=received.append).close()
    assert received == [print, received.append]


class Session:
    """ONNX Runtime session whose provider fails to load without its libraries, so it falls back to the CPU."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_fallback_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnx, "find_gpu", lambda index: fake_cuda.GPU)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"), raising=False)
    with pytest.raises(Unavailable, match=r"cuda cannot be loaded here \(Failed to load libcudnn\.so\.9\); .*cudnn\]"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="cuda"))


class GpuSession(Session):
    """ONNX Runtime session on a GPU, with an empty network."""

    disable_fallback = get_inputs = get_outputs = lambda self: ()

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"]

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map={})


@pytest.mark.parametrize("has_library", [True, False], ids=["with a CUDA library", "without"])
def test_a_provider_on_a_gpu_reports_its_memory(monkeypatch: pytest.MonkeyPatch, has_library: bool) -> None:
    import onnxruntime

    opened = fake_cuda.FakeCuda(fake_cuda.Machine())
    kept = opened.allocate(4096)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", GpuSession)
    monkeypatch.setattr(onnx, "find_gpu", lambda index: fake_cuda.GPU)
    monkeypatch.setattr(onnx, "open_cuda", lambda gpu: opened if has_library else make_failing(NO_GPU)())
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="cuda")) as runner:
        assert runner.description.endswith(" with cuda on Fake GPU") and runner.device == "Fake GPU"
        assert runner.gpu_memory_bytes() == ((kept.nbytes, 8 << 30) if has_library else None)
    assert runner.gpu_memory_bytes() is None


def test_a_runner_on_the_cpu_reports_no_gpu_memory() -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", threads=1)) as runner:
        assert runner.gpu_memory_bytes() is None and runner.device == CPU


def test_the_driver_is_checked_before_a_provider_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnx, "find_gpu", make_failing(NO_GPU))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", make_failing(AssertionError("session opened")))
    with pytest.raises(Unavailable, match="no NVIDIA driver; install it"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="tensorrt", gpu=2))


def test_a_cancelled_build_is_not_replaced_by_another_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "tensorrt.runner", TensorRTRunner=make_failing(InterruptedError("cancelled")))
    with pytest.raises(InterruptedError, match="cancelled"):
        load_runner(DEFAULT_MODEL, RuntimeConfig())


def test_explain_choice_closes_what_it_has_tried(cpu_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeRunner] = []
    replace_module(monkeypatch, "onnx", OnnxRunner=lambda *arguments: made.append(FakeRunner(*arguments)) or made[-1])
    explain_choice(DEFAULT_MODEL, RuntimeConfig(backend="onnx"))
    assert [runner.is_closed for runner in made] == [True]


def test_the_runtime_until_an_engine_is_built_has_the_threads_of_the_settings(
    with_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FakeRunner] = []
    replace_module(monkeypatch, "onnx", OnnxRunner=lambda *arguments: made.append(FakeRunner(*arguments)) or made[-1])
    load_runner(DEFAULT_MODEL, RuntimeConfig(while_building="onnx", threads=3)).close()
    assert [(runner.arguments[1].backend, runner.arguments[1].threads) for runner in made] == [("onnx", 3)]


@pytest.mark.parametrize(
    "error", [ImportError("no library"), ValueError("no operator")], ids=lambda e: type(e).__name__
)
def test_without_a_runtime_until_the_engine_is_built_the_build_is_waited_for(
    with_gpu: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    replace_module(monkeypatch, "onnx", OnnxRunner=make_failing(error))
    lines: list[str] = []
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", while_building="onnx"), notify=lines.append)
    assert isinstance(runner, FakeRunner)
    assert lines == [f"no runtime is available until the engine is ready: {type(error).__name__}: {error}"]
