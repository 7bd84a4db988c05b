"""TensorRT behind the runner interface, without a GPU: one thread, one order of ending, nothing made twice."""

from __future__ import annotations

import gc
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, Install, picture, right
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig
from pose_ros.fields import METADATA_KEY
from pose_ros.runtime.cuda.device import CudaError
from pose_ros.runtime.tensorrt.runner import TensorRTRunner
from pose_ros.runtime.tensorrt.session import LANES, WARM_UPS

pytest_plugins = ["tensorrt_fixtures"]

FAILURES = {
    "shapes": r"expected shapes that tell the outputs', got .* refused for \['image'\]",
    "enqueue": "expected the network to run, got a refusal",
    "copy": "cudaMemcpyAsync",
    "kernel": "cudaStreamSynchronize",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_named_arrays_in_and_out(install: Install, model: Path, config: RuntimeConfig, version: str) -> None:
    install(version)
    with TensorRTRunner(model, config) as runner:
        assert [(t.name, t.shape, t.dtype) for t in runner.inputs] == [("image", (None, None, None, 3), np.uint8)]
        assert [(t.name, t.shape[1], t.dtype) for t in runner.outputs] == [
            ("heatmaps", 19, np.float32),
            ("pafs", 38, np.float32),
        ]
        outputs = runner.run({"image": picture()})
        assert {name: got.shape for name, got in outputs.items()} == {
            "heatmaps": (1, 19, 8, 12),
            "pafs": (1, 38, 8, 12),
        }
        assert right(outputs, picture())
        assert METADATA_KEY in runner.metadata
        assert runner.description == f"TensorRT {version} on Fake GPU in fp32"


@pytest.mark.parametrize("version", VERSIONS)
def test_one_thread_owns_everything_and_ends_it_in_order(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, version: str
) -> None:
    install(version)
    runner = TensorRTRunner(model, config)
    for size in ((1, 64, 96), (1, 96, 64)):
        for seed in range(WARM_UPS + 2):
            runner.run({"image": picture(seed, size)})
    assert machine.events.count("+graph") == 2
    machine.events.append("closing")
    runner.close()
    runner.close()
    gc.collect()
    assert machine.left() == []
    assert len(machine.threads) == 1 and threading.get_ident() not in machine.threads
    ending = machine.events[machine.events.index("closing") + 1 :]
    order = list(dict.fromkeys(ending))
    assert order[:5] == ["-graph", "-IExecutionContext", "-ICudaEngine", "-Runtime", "-device"]
    assert set(order[5:]) == {"-host", "-stream"}


def test_a_forgotten_runner_is_closed(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    TensorRTRunner(model, config).run({"image": picture()})
    gc.collect()
    assert machine.left() == [] and len(machine.threads) == 1


@pytest.mark.parametrize("cuda_graph", [True, False], ids=["graph", "no graph"])
def test_nothing_is_made_per_frame(
    install: Install, machine: fake_cuda.Machine, model: Path, tmp_path: Path, cuda_graph: bool
) -> None:
    install()
    with TensorRTRunner(model, RuntimeConfig(cache=str(tmp_path), least_size="64x64", cuda_graph=cuda_graph)) as runner:
        for seed in range(WARM_UPS + 1):
            runner.run({"image": picture(seed)})
        machine.counts.clear()
        machine.events.clear()
        for seed in range(1000):
            assert right(runner.run({"image": picture(seed)}, ["heatmaps"]), picture(seed))
        copies = {"cudaMemcpyAsync": 2000, "cudaStreamSynchronize": 1000}
        assert machine.events == [] and machine.counts == {
            **copies,
            **({"cudaGraphLaunch": 1000} if cuda_graph else {}),
        }


def test_with_and_without_a_graph_the_same_comes_out(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with (
        TensorRTRunner(model, config) as runner,
        TensorRTRunner(model, RuntimeConfig(**{**vars(config), "cuda_graph": False})) as other,
    ):
        for seed in range(12):
            image = {"image": picture(seed, (1, 64 + 32 * (seed % 2), 96))}
            a, b = runner.run(image), other.run(image)
            assert right(a, image["image"]) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["refused by TensorRT", "refused by CUDA"])
def test_a_network_that_cannot_be_recorded_runs_all_the_same(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, kind: str
) -> None:
    trt, said = install(), []
    trt.faults.refuses_recording = kind == "refused by TensorRT"
    machine.errors = {"cudaGraphInstantiateWithFlags": 900} if kind == "refused by CUDA" else {}
    with TensorRTRunner(model, config, say=said.append) as runner:
        said.clear()
        for seed in range(12):
            image = picture(seed, (1, 64 + 32 * (seed % 2), 96))
            assert right(runner.run({"image": image}), image)
    assert len(said) == 1 and said[0].startswith("TensorRT: going on without CUDA graphs")


def test_sizes_come_and_go(install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig) -> None:
    """More sizes than there are lanes, each often enough to be recorded; buffers grow in between."""
    install()
    sizes = [(1, 64 + 8 * i, 64 + 16 * (i % 5)) for i in range(LANES + 3)]
    with TensorRTRunner(model, config) as runner:
        for size in [*sizes, *sizes[::-1]]:
            for seed in range(WARM_UPS + 2):
                assert right(runner.run({"image": picture(seed, size)}), picture(seed, size))
            machine.events += ["largest"] * (size == sizes[-1])
        assert "+device" not in machine.events[machine.events.index("largest") :]
        assert machine.events.count("+IExecutionContext") == LANES
        assert machine.left().count("graph") <= LANES
        assert machine.left().count("device") == machine.left().count("host") + 1 == 4  # three tensors and the scratch


def test_only_what_is_wanted_is_copied_back(
    install: Install, machine: fake_cuda.Machine, config: RuntimeConfig, tmp_path: Path
) -> None:
    install()
    write_model(tmp_path / "front.onnx", front=32)
    with TensorRTRunner(tmp_path / "front.onnx", config) as runner:
        outputs = runner.run({"image": picture()}, {"peaks", "limb_scores"})
    assert sorted(outputs) == ["limb_scores", "peaks"] and right(outputs, picture())
    assert machine.copied_back == sum(got.nbytes for got in outputs.values()) == 45_824 < 64_000


def test_outputs_belong_to_the_caller(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        first = runner.run({"image": picture()})
        runner.run({"image": picture(1)})
    assert right(first, picture()) and first["pafs"].flags.owndata


def test_an_image_may_lie_in_memory_as_it_likes(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        assert right(runner.run({"image": picture()[:, ::-1, ::-1]}), picture()[:, ::-1, ::-1])


def test_several_threads_take_turns(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    images = [picture(seed, (1, 64 + 32 * (seed % 3), 96)) for seed in range(60)]
    with TensorRTRunner(model, config) as runner, ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda image: runner.run({"image": image}), images))
    assert all(right(got, image) for got, image in zip(outputs, images, strict=True)) and len(machine.threads) == 1


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (picture(0, (1, 32, 96)), ValueError, r"expected 1 x 64 x 64 x 3 to 1 x 256 x 256 x 3.*runtime\.least_size"),
        (picture(0, (1, 64, 288)), ValueError, r"got 1 x 64 x 288 x 3; change runtime\.most_size"),
        (picture(0, (2, 64, 96)), ValueError, r"change runtime\.max_batch"),
        (picture(0, (0, 64, 96)), ValueError, r"change runtime\.max_batch"),
        (picture().astype(np.float32), TypeError, "expected uint8, got float32"),
        (picture()[0], ValueError, r"expected shape \(any, any, any, 3\)"),
    ],
    ids=["small", "wide", "many", "none", "float", "3-D"],
)
def test_wrong_inputs_never_reach_the_gpu(
    install: Install,
    machine: fake_cuda.Machine,
    model: Path,
    config: RuntimeConfig,
    image: np.ndarray,
    error: type[Exception],
    message: str,
) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        machine.counts.clear()
        with pytest.raises(error, match=message):
            runner.run({"image": image})
        assert not machine.counts


def test_a_closed_runner_says_so(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    runner = TensorRTRunner(model, config)
    runner.close()
    with pytest.raises(ValueError, match="expected an open one, got one that has been closed"):
        runner.run({"image": picture()})


@pytest.mark.parametrize("fault", FAILURES)
def test_a_failed_run_is_the_callers_and_the_next_may_succeed(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, fault: str
) -> None:
    trt = install()
    with TensorRTRunner(model, config) as runner:
        trt.faults.enqueue_fails, trt.faults.unspecified = fault == "enqueue", ["image"] * (fault == "shapes")
        machine.errors = {"copy": {"cudaMemcpyAsync": 2}, "kernel": {"cudaStreamSynchronize": 700}}.get(fault, {})
        with pytest.raises((ValueError, RuntimeError), match=FAILURES[fault]):
            runner.run({"image": picture()})
        trt.faults.enqueue_fails, trt.faults.unspecified, machine.errors = False, [], {}
        assert right(runner.run({"image": picture(1)}), picture(1))
    assert machine.left() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("told", "error"), [("Cuda Runtime (out of memory)", CudaError), ("Error Code 2: Internal Error", RuntimeError)]
)
def test_a_context_that_cannot_be_made_is_told(
    install: Install, model: Path, config: RuntimeConfig, version: str, told: str, error: type[Exception]
) -> None:
    trt = install(version)
    with TensorRTRunner(model, config) as runner:
        trt.faults.no_context, trt.faults.refusal = True, told
        with pytest.raises(error, match=re.escape(told)) as caught:
            runner.run({"image": picture()})
        assert type(caught.value) is error
        trt.faults.no_context = False
        assert right(runner.run({"image": picture()}), picture())


def test_memory_that_runs_out_in_between_is_no_end(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        runner.run({"image": picture()})
        machine.errors = {"cudaHostAlloc": 2}
        with pytest.raises(CudaError, match="cudaHostAlloc"):
            runner.run({"image": picture(0, (1, 256, 256))})
        machine.errors = {}
        assert right(runner.run({"image": picture(1)}), picture(1))
        assert right(runner.run({"image": picture(2, (1, 256, 256))}), picture(2, (1, 256, 256)))
    assert machine.left() == []


def test_the_memory_of_the_gpu_is_told_while_a_run_is_in_hand(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    goes_on, asked = threading.Event(), threading.Event()
    with TensorRTRunner(model, config) as runner:
        machine.streams[next(iter(machine.streams))].append(lambda: asked.set() or goes_on.wait(20))
        running = threading.Thread(target=runner.run, args=({"image": picture()},))
        running.start()
        assert asked.wait(20)
        used_bytes, total_bytes = runner.gpu_memory_bytes()
        assert running.is_alive() and total_bytes == fake_cuda.GPU.memory_bytes
        assert used_bytes == sum(machine.memory[pointer].nbytes for pointer in machine.on_gpu) > 0
        goes_on.set()
        running.join()
    assert runner.gpu_memory_bytes() is None, "closed"
