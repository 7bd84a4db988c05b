"""Which runtime is taken: what the settings say, and by ``auto`` the first that works, with the reasons."""

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
from pose_ros.runtime.choice import CHECKPOINTS, foresee
from pose_ros.runtime.runner import CPU, Runner, TensorSpec, Unavailable
from pose_ros.runtime.tensorrt.probe import TensorRTProbe

NO_GPU = Unavailable("cuda", "no NVIDIA driver", "install it")
NO_PROVIDER = "onnx with cuda: this ONNX Runtime .* has no provider cuda, only cpu"


class Painted(Runner):
    """A runner of no library, which remembers what it was made with."""

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.is_closed = arguments, False
        self.inputs = self.outputs = (TensorSpec("x", (None,), np.dtype(np.float32)),)
        self.metadata, self.description = {}, "painted"

    def _run(self, feeds, names):
        return dict.fromkeys(names, feeds["x"])

    def close(self) -> None:
        self.is_closed = True


class Opened:
    """A GPU that knows whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    """Put a module in the place of a runtime's."""
    stand_in = ModuleType(f"pose_ros.runtime.{name}")
    vars(stand_in).update(contents)
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)


def refusing(error: Exception):
    def refuse(*_: object) -> None:
        raise error

    return refuse


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with ONNX Runtime for the CPU and nothing else."""
    module(monkeypatch, "tensorrt.runner", TensorRTRunner=refusing(NO_GPU))
    module(monkeypatch, "tensorrt.probe", probe_model=refusing(NO_GPU))
    absent = Unavailable("openvino", "not installed", "pip install openvino")
    module(monkeypatch, "openvino", OpenVINORunner=refusing(absent))


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which TensorRT works."""
    module(monkeypatch, "tensorrt.runner", TensorRTRunner=Painted)
    module(monkeypatch, "tensorrt.probe", probe_model=lambda path, config: TensorRTProbe(None, Opened(), None))


def test_auto_says_why_in_one_line(bare: None) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig()) as runner:
        assert runner.description.startswith("ONNX Runtime")
        first, second, third = runner.reason.removeprefix("onnx on the CPU: ").split("; ")
    assert first == "tensorrt: no NVIDIA driver"
    assert second.startswith("onnx with cuda: this ONNX Runtime") and second.endswith("has no provider cuda, only cpu")
    assert third == "openvino: not installed"
    assert "\n" not in runner.reason


def test_auto_takes_the_first_that_works(with_gpu: None) -> None:
    told: list[str] = []
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig(gpu=1), progress=print, say=told.append)
    assert isinstance(runner, Painted) and runner.reason == "tensorrt"
    path, config, progress, say = runner.arguments
    assert (path, config.backend, config.gpu) == (DEFAULT_MODEL, "tensorrt", 1)
    assert progress is print and say == told.append


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
def test_whatever_fails_the_next_is_taken(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    module(monkeypatch, "tensorrt.runner", TensorRTRunner=refusing(error))
    module(monkeypatch, "openvino", OpenVINORunner=Painted)
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig())
    assert isinstance(runner, Painted)
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
def test_what_the_settings_exclude_is_not_tried(bare: None, settings: dict, reason: str) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig(**settings)) as runner:
        assert runner.description.startswith("ONNX Runtime") and runner.reason == reason


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "tensorrt"}, "no NVIDIA driver; install it"),
        ({"backend": "openvino"}, "runtime openvino: not installed; pip install openvino"),
        ({"device": "gpu"}, "runtime openvino: not installed; pip install openvino"),
        ({"precision": "bf16"}, "runtime auto: tensorrt: no NVIDIA driver; openvino: not installed; pose_ros doctor"),
        ({"backend": "onnx", "device": "cuda"}, "runtime onnx: this ONNX .* only cpu; .*pip install onnxruntime-gpu"),
        ({"backend": "onnx", "provider": "tensorrt"}, "no provider tensorrt, only cpu; .*onnxruntime-gpu"),
        ({"backend": "onnx", "provider": "openvino", "device": "npu"}, "only cpu; .*pip install onnxruntime-openvino"),
        ({"provider": "coreml"}, "no provider coreml, only cpu; only the onnxruntime of macOS has it"),
        ({"device": "cuda"}, f"runtime auto: tensorrt: no NVIDIA driver; {NO_PROVIDER}; pose_ros doctor tells"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_what_cannot_work_tells_the_fix(bare: None, settings: dict, message: str) -> None:
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
def test_settings_that_do_not_go_together_are_refused_first(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_runner("no_such_file.onnx", RuntimeConfig(**settings))


@pytest.mark.parametrize("backend", ["auto", "tensorrt", "onnx", "openvino", "torch"])
def test_a_missing_file_is_named(backend: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"got no_such_file\.onnx, which does not exist"):
        load_runner("no_such_file.onnx", RuntimeConfig(backend=backend))


@pytest.mark.parametrize("suffix", [*CHECKPOINTS, ".PTH"])
def test_checkpoints_go_to_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str) -> None:
    module(monkeypatch, "torch", TorchRunner=Painted)
    (tmp_path / f"weights{suffix}").touch()
    runner = load_runner(tmp_path / f"weights{suffix}", RuntimeConfig(device="cuda", precision="fp16"))
    assert isinstance(runner, Painted) and runner.reason == "torch"


def test_what_would_be_taken_is_found_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened()
    module(monkeypatch, "tensorrt.runner", TensorRTRunner=refusing(AssertionError("built")))
    module(monkeypatch, "tensorrt.probe", probe_model=lambda path, config: TensorRTProbe(None, opened, None))
    assert foresee(DEFAULT_MODEL, RuntimeConfig()) == "tensorrt"
    assert opened.is_closed


def test_what_would_be_taken_is_what_is_taken(bare: None) -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig()) as runner:
        assert foresee(DEFAULT_MODEL, RuntimeConfig()) == runner.reason


def test_the_estimator_hands_its_listeners_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []

    def load(path: Path, config: RuntimeConfig, progress: object, say: object) -> Runner:
        heard.extend([progress, say])
        return load_runner(path, config)

    monkeypatch.setattr("pose_ros.estimator.load_runner", load)
    config = EstimatorConfig(runtime=RuntimeConfig(threads=1, warm_up=False))
    PoseEstimator.load(runtime="onnx", config=config, progress=print, say=heard.append).close()
    assert heard == [print, heard.append]


class Session:
    """An ONNX Runtime whose provider fails to load, as one does without its libraries: it goes on on the CPU."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_provider_that_falls_back_to_the_cpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnx, "find_gpu", lambda index: fake_cuda.GPU)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"), raising=False)
    with pytest.raises(Unavailable, match=r"cuda cannot be loaded here \(Failed to load libcudnn\.so\.9\); .*cudnn\]"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="cuda"))


class GpuSession(Session):
    """An ONNX Runtime on a GPU; of the network there is nothing."""

    disable_fallback = get_inputs = get_outputs = lambda self: ()

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"]

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map={})


@pytest.mark.parametrize("has_library", [True, False], ids=["with a CUDA library", "without"])
def test_a_provider_on_a_gpu_tells_its_memory(monkeypatch: pytest.MonkeyPatch, has_library: bool) -> None:
    import onnxruntime

    opened = fake_cuda.FakeCuda(fake_cuda.Machine())
    kept = opened.allocate(4096)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", GpuSession)
    monkeypatch.setattr(onnx, "find_gpu", lambda index: fake_cuda.GPU)
    monkeypatch.setattr(onnx, "open_cuda", lambda gpu: opened if has_library else refusing(NO_GPU)())
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="cuda")) as runner:
        assert runner.description.endswith(" with cuda on Fake GPU") and runner.device == "Fake GPU"
        assert runner.gpu_memory_bytes() == ((kept.nbytes, 8 << 30) if has_library else None)
    assert runner.gpu_memory_bytes() is None


def test_on_the_cpu_there_is_no_memory_of_a_gpu() -> None:
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", threads=1)) as runner:
        assert runner.gpu_memory_bytes() is None and runner.device == CPU


def test_a_provider_is_not_loaded_before_the_driver_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnx, "find_gpu", refusing(NO_GPU))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing(AssertionError("touched")))
    with pytest.raises(Unavailable, match="no NVIDIA driver; install it"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", provider="tensorrt", gpu=2))
