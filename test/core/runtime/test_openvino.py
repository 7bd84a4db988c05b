"""Test the OpenVINO runner: it agrees with ONNX Runtime, and computes in the configured precision."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("openvino")

import openvino
from onnx import TensorProto, helper

from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime import openvino as runtime
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.openvino import OpenVINORunner
from pose_ros.runtime.runner import Unavailable

ONE_THREAD = RuntimeConfig(threads=1)
FIELDS = ["centres", "sizes", "centre_offsets", "heatmaps", "keypoint_offsets", "heatmap_offsets", "pafs", "tags"]
CLOSED_ELSEWHERE = """
import os, signal, threading
from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.openvino import OpenVINORunner

runner = OpenVINORunner(DEFAULT_MODEL, RuntimeConfig(threads=1))
thread = threading.Thread(target=runner.close)
thread.start()
thread.join()
del runner
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.fixture(scope="module")
def runner():
    """The default model."""
    with OpenVINORunner(DEFAULT_MODEL, ONE_THREAD) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def reference():
    """The default model in ONNX Runtime."""
    with OnnxRunner(DEFAULT_MODEL, ONE_THREAD) as loaded:
        yield loaded


def make_image(batch: int = 1, shape_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, *shape_hw, 3), np.uint8)


def write_model(path: Path, nodes: list, inputs: list, outputs: list, initializers: list | None = None) -> Path:
    """Write an ONNX file of a few nodes. Each tensor is given as name, type and shape."""
    infos = [[helper.make_tensor_value_info(*tensor) for tensor in tensors] for tensors in (inputs, outputs)]
    graph = helper.make_graph(nodes, "small", *infos, initializer=initializers or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"made by": "a test"})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """Network with sum = a (any, 3) + b (1,), again = sum, and same = a."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Identity", ["a"], ["same"]),
        helper.make_node("Identity", ["sum"], ["again"]),
    ]
    outputs = [(name, TensorProto.FLOAT, ["n", 3]) for name in ("sum", "same", "again")]
    inputs = [("a", TensorProto.FLOAT, ["n", 3]), ("b", TensorProto.FLOAT, [1])]
    return write_model(tmp_path / "adder.onnx", nodes, inputs, outputs)


@pytest.mark.parametrize(
    "images", [make_image(), make_image(3), make_image(1, (96, 32))], ids=["one", "three", "another size"]
)
def test_it_agrees_with_onnx_runtime(runner: OpenVINORunner, reference: OnnxRunner, images: np.ndarray) -> None:
    outputs, expected = runner.run({"image": images}), reference.run({"image": images})
    assert list(outputs) == list(expected) == FIELDS
    for name, field in outputs.items():
        np.testing.assert_allclose(field, expected[name], rtol=1e-4, atol=1e-4 * np.ptp(expected[name]))  # bf16: 1e-2


def test_a_signal_after_close_in_another_thread_does_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED_ELSEWHERE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_it_describes_the_model_as_onnx_runtime_does(runner: OpenVINORunner, reference: OnnxRunner) -> None:
    assert (runner.inputs, runner.outputs) == (reference.inputs, reference.outputs)
    assert runner.metadata == reference.metadata
    assert runner.description == f"OpenVINO {openvino.__version__.partition('-')[0]} on the CPU"


def test_it_finds_the_same_people(shared: Path) -> None:
    config = EstimatorConfig(runtime=RuntimeConfig(threads=1, warm_up=False))
    ours, others = (PoseEstimator.load(runtime=runtime, config=config) for runtime in ("openvino", "onnx"))
    photos = sorted((shared / "images" / "coco_val" / "images").glob("*.jpg"))[:4]
    found = 0
    for photo in map(cv2.imread, map(str, photos)):
        people, expected = ours.estimate(photo), others.estimate(photo)
        np.testing.assert_allclose(people.keypoints, expected.keypoints, atol=0.05)
        found += len(people)
    assert found > 0


def test_tensor_names_are_those_of_the_file(adder: Path) -> None:
    feeds = {"a": np.ones((2, 3), np.float32), "b": np.array([2], np.float32)}
    with OpenVINORunner(adder) as small:
        assert [(t.name, t.shape, t.dtype.name) for t in small.inputs] == [
            ("a", (None, 3), "float32"),
            ("b", (1,), "float32"),
        ]
        outputs = small.run(feeds)
        assert {name: array.tolist() for name, array in outputs.items()} == {
            "sum": [[3.0] * 3] * 2,
            "same": [[1.0] * 3] * 2,
            "again": [[3.0] * 3] * 2,
        }
        assert list(small.run(feeds, ["again"])) == ["again"]
        assert small.metadata == {"made by": "a test"}


def test_a_file_without_metadata_has_none(tmp_path: Path, adder: Path) -> None:
    bare = onnx.load(str(adder))
    del bare.metadata_props[:]
    onnx.save(bare, str(tmp_path / "bare.onnx"))
    with OpenVINORunner(tmp_path / "bare.onnx") as small:
        assert small.metadata == {}


def test_outputs_belong_to_the_caller(runner: OpenVINORunner) -> None:
    first = runner.run({"image": make_image()})["heatmaps"]
    kept = first.copy()
    runner.run({"image": 255 - make_image()})
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(runner.run({"image": make_image()})["heatmaps"], kept)


@pytest.mark.parametrize(
    "change",
    [lambda image: np.flip(image, axis=2)[:, :, ::-1], lambda image: image.setflags(write=False) or image],
    ids=["strided", "read-only"],
)
def test_strided_and_read_only_inputs_are_accepted(runner: OpenVINORunner, change: Any) -> None:
    expected = runner.run({"image": make_image()}, ["tags"])["tags"]
    assert np.array_equal(runner.run({"image": change(make_image())}, ["tags"])["tags"], expected)


def test_several_threads_may_share_a_runner(runner: OpenVINORunner) -> None:
    images = [make_image(1, (64, 64 + 32 * i)) for i in range(4)]
    expected, got = [runner.run({"image": image})["pafs"] for image in images], {}

    def work(index: int) -> None:
        got[index] = [runner.run({"image": images[index]})["pafs"] for _ in range(3)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(pafs, expected[index]) for index in range(4) for pafs in got[index])


def test_a_closed_runner_raises_and_may_be_closed_again(adder: Path) -> None:
    small = OpenVINORunner(adder)
    small.close()
    small.close()
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        small.run({"a": np.ones((1, 3), np.float32), "b": np.ones(1, np.float32)})


@pytest.mark.parametrize(
    "content", [b"", b"not a network", DEFAULT_MODEL.read_bytes()[:100_000]], ids=["empty", "text", "cut"]
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"model .*broken\.onnx: expected a readable ONNX network.* got: \S"):
        OpenVINORunner(tmp_path / "broken.onnx")


@pytest.mark.parametrize(("device", "name"), [("gpu", "GPU"), ("npu", "NPU")])
def test_error_for_a_missing_device_names_its_driver(device: str, name: str) -> None:
    if any(device.startswith(name) for device in openvino.Core().available_devices):
        pytest.skip(f"this machine has a {name}")
    with pytest.raises(Unavailable, match=f"runtime openvino: expected a usable {name}, got only CPU; install Intel's"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="openvino", device=device))


class Devices(openvino.Core):
    """OpenVINO core with an Intel GPU and NPU. It records the compile request, and the CPU runs the network."""

    request: dict[str, Any]
    known = ("PERFORMANCE_HINT", "EXECUTION_MODE_HINT", "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS")
    available_devices = ("CPU", "GPU.0", "GPU.1", "NPU")

    def get_property(self, device: str, name: str) -> Any:
        if name == "SUPPORTED_PROPERTIES":
            return dict.fromkeys(self.known, "RW")
        return f"Intel {device}"

    def compile_model(self, network: Any, device: str, properties: dict[str, Any]) -> Any:
        Devices.request = {"device": device, **properties}
        return super().compile_model(network, "CPU", {})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"threads": 2},
            {
                "device": "CPU",
                "EXECUTION_MODE_HINT": "ACCURACY",
                "INFERENCE_NUM_THREADS": 2,
                "CPU_RUNTIME_CACHE_CAPACITY": 4 * 108,  # the default model has 108 convolutions
            },
        ),
        ({"device": "gpu", "threads": 2}, {"device": "GPU", "EXECUTION_MODE_HINT": "ACCURACY", "CACHE_DIR": "*"}),
        ({"device": "npu"}, {"device": "NPU", "EXECUTION_MODE_HINT": "ACCURACY", "CACHE_DIR": "*"}),
    ],
    ids=["cpu", "gpu", "npu"],
)
def test_each_device_gets_only_the_properties_it_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict, expected: dict
) -> None:
    monkeypatch.setattr(runtime, "_core", Devices)
    OpenVINORunner(DEFAULT_MODEL, RuntimeConfig(cache=str(tmp_path / "kept"), **settings)).close()
    if "CACHE_DIR" in expected:
        expected["CACHE_DIR"] = str(tmp_path / "kept" / "openvino")
    assert {**expected, "PERFORMANCE_HINT": "LATENCY"} == Devices.request
    assert (tmp_path / "kept").exists() == (
        "CACHE_DIR" in expected
    )  # no cache on a CPU: it starts fast, and OpenVINO does not verify files


def test_an_npu_gets_a_network_of_fixed_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: OnnxRunner
) -> None:
    monkeypatch.setattr(runtime, "_core", Devices)
    settings = RuntimeConfig(device="npu", best_size="150x170", max_batch=4, cache=str(tmp_path), warm_up=False)
    config = EstimatorConfig(runtime=settings)
    estimator = PoseEstimator.load(runtime="openvino", config=config)
    images = make_image(1, (160, 192))  # rounded up to the model's multiple
    assert estimator.runner.inputs[0].shape == images.shape and estimator.max_batch == 1
    outputs, expected = estimator.runner.run({"image": images}), reference.run({"image": images})
    np.testing.assert_allclose(outputs["pafs"], expected["pafs"], atol=5e-2)  # the CPU may use bf16
    assert estimator.estimate(make_image(1, (90, 300))[0]).keypoints.shape[1:] == (18, 2)
    estimator.close()


def test_an_npu_refuses_free_sizes_of_inputs_that_are_not_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, adder: Path
) -> None:
    monkeypatch.setattr(runtime, "_core", Devices)
    with pytest.raises(ValueError, match="input 'a': expected a batch of images of 3 channels, got any x 3"):
        OpenVINORunner(adder, RuntimeConfig(device="npu", cache=str(tmp_path)))


def test_without_a_writable_folder_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, adder: Path
) -> None:
    monkeypatch.setattr(runtime, "_core", Devices)
    (tmp_path / "file").touch()
    OpenVINORunner(adder, RuntimeConfig(device="gpu", cache=str(tmp_path / "file"))).close()
    assert "CACHE_DIR" not in Devices.request


def _has_precision(kind: str) -> bool:
    return kind in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_precision_is_that_of_the_model_unless_configured(reference: OnnxRunner) -> None:
    expected = reference.run({"image": make_image()})["pafs"]
    with OpenVINORunner(DEFAULT_MODEL, RuntimeConfig(threads=1, precision="fp32")) as exact:
        np.testing.assert_allclose(exact.run({"image": make_image()})["pafs"], expected, atol=1e-5)
        assert exact.description.endswith("on the CPU")
    if not _has_precision("BF16"):
        pytest.skip("this CPU has no bf16")
    with OpenVINORunner(DEFAULT_MODEL, RuntimeConfig(threads=1, precision="bf16")) as coarse:
        error = np.abs(coarse.run({"image": make_image()})["pafs"] - expected).max()
        assert 1e-4 < error < 3e-2
        assert coarse.description.endswith("on the CPU in bf16")


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    if _has_precision("FP16"):
        pytest.skip("this CPU has fp16")
    with pytest.raises(ValueError, match="expected a device that computes in fp16, got the CPU, which uses"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="openvino", precision="fp16"))


def test_quantised_layers_run_as_they_are(tmp_path: Path) -> None:
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5])
    zero = helper.make_tensor("zero", TensorProto.INT8, [], [0])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    path = write_model(
        tmp_path / "q.onnx", nodes, [("x", TensorProto.FLOAT, [4])], [("y", TensorProto.FLOAT, [4])], [scale, zero]
    )
    with OpenVINORunner(path, ONE_THREAD) as quantised:
        given = np.array([0.1, 0.4, 1.1, 1000], np.float32)
        assert quantised.run({"x": given})["y"].tolist() == [0.0, 0.5, 1.0, 63.5]


SIZES = """
import numpy as np
from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.openvino import OpenVINORunner

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

with OpenVINORunner(DEFAULT_MODEL, RuntimeConfig(threads=1)) as runner:
    used_mb = []
    for step in range(36):
        height, width = 160 + 32 * (step % 6), 160 + 32 * (step // 6)
        runner.run({"image": np.zeros((1, height, width, 3), np.uint8)})
        used_mb.append(resident_mb())
    print(used_mb[-1] - used_mb[11])
"""


def test_compiled_networks_of_many_sizes_do_not_add_up() -> None:
    """Without a bound, each new size takes 5 MB, so random sizes take several hundred."""
    done = subprocess.run([sys.executable, "-c", SIZES], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 120
