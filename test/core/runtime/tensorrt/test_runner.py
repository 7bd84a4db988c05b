"""Test the TensorRT runner without a GPU: its thread, the order of release, and allocations."""

from __future__ import annotations

import gc
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, Install, is_correct, make_image
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig
from pose_ros.fields import METADATA_KEY
from pose_ros.runtime.cuda.device import CudaError
from pose_ros.runtime.tensorrt.runner import TensorRTRunner
from pose_ros.runtime.tensorrt.session import LANES, WARM_UPS

pytest_plugins = ["tensorrt_fixtures"]

FAILURES = {
    "shapes": r"expected shapes that determine the output shapes, got .* refused for \['image'\]",
    "enqueue": "expected the network to run, got a failure",
    "copy": "cudaMemcpyAsync",
    "kernel": "cudaStreamSynchronize",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_run_maps_named_inputs_to_named_outputs(
    install: Install, model: Path, config: RuntimeConfig, version: str
) -> None:
    install(version)
    with TensorRTRunner(model, config) as runner:
        assert [(t.name, t.shape, t.dtype) for t in runner.inputs] == [("image", (None, None, None, 3), np.uint8)]
        assert [(t.name, t.shape[1], t.dtype) for t in runner.outputs] == [
            ("heatmaps", 19, np.float32),
            ("pafs", 38, np.float32),
        ]
        outputs = runner.run({"image": make_image()})
        assert {name: got.shape for name, got in outputs.items()} == {
            "heatmaps": (1, 19, 8, 12),
            "pafs": (1, 38, 8, 12),
        }
        assert is_correct(outputs, make_image())
        assert METADATA_KEY in runner.metadata
        assert runner.description == f"TensorRT {version} on Fake GPU in fp32"


@pytest.mark.parametrize("version", VERSIONS)
def test_one_thread_owns_all_objects_and_releases_them_in_order(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, version: str
) -> None:
    install(version)
    runner = TensorRTRunner(model, config)
    for size in ((1, 64, 96), (1, 96, 64)):
        for seed in range(WARM_UPS + 2):
            runner.run({"image": make_image(seed, size)})
    assert machine.events.count("+graph") == 2
    machine.events.append("closing")
    runner.close()
    runner.close()
    gc.collect()
    assert machine.live_objects() == []
    assert len(machine.threads) == 1 and threading.get_ident() not in machine.threads
    releases = machine.events[machine.events.index("closing") + 1 :]
    order = list(dict.fromkeys(releases))
    assert order[:5] == ["-graph", "-IExecutionContext", "-ICudaEngine", "-Runtime", "-device"]
    assert set(order[5:]) == {"-host", "-stream"}


def test_an_unreferenced_runner_is_closed(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    TensorRTRunner(model, config).run({"image": make_image()})
    gc.collect()
    assert machine.live_objects() == [] and len(machine.threads) == 1


@pytest.mark.parametrize("cuda_graph", [True, False], ids=["graph", "no graph"])
def test_a_run_allocates_nothing(
    install: Install, machine: fake_cuda.Machine, model: Path, tmp_path: Path, cuda_graph: bool
) -> None:
    install()
    with TensorRTRunner(model, RuntimeConfig(cache=str(tmp_path), least_size="64x64", cuda_graph=cuda_graph)) as runner:
        for seed in range(WARM_UPS + 1):
            runner.run({"image": make_image(seed)})
        machine.counts.clear()
        machine.events.clear()
        for seed in range(1000):
            assert is_correct(runner.run({"image": make_image(seed)}, ["heatmaps"]), make_image(seed))
        copies = {"cudaMemcpyAsync": 2000, "cudaStreamSynchronize": 1000}
        assert machine.events == [] and machine.counts == {
            **copies,
            **({"cudaGraphLaunch": 1000} if cuda_graph else {}),
        }


def test_outputs_are_the_same_with_and_without_a_graph(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with (
        TensorRTRunner(model, config) as runner,
        TensorRTRunner(model, RuntimeConfig(**{**vars(config), "cuda_graph": False})) as other,
    ):
        for seed in range(12):
            image = {"image": make_image(seed, (1, 64 + 32 * (seed % 2), 96))}
            a, b = runner.run(image), other.run(image)
            assert is_correct(a, image["image"]) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["refused by TensorRT", "refused by CUDA"])
def test_a_network_that_cannot_be_recorded_still_runs(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, kind: str
) -> None:
    trt, lines = install(), []
    trt.faults.refuses_recording = kind == "refused by TensorRT"
    machine.errors = {"cudaGraphInstantiateWithFlags": 900} if kind == "refused by CUDA" else {}
    with TensorRTRunner(model, config, notify=lines.append) as runner:
        lines.clear()
        for seed in range(12):
            image = make_image(seed, (1, 64 + 32 * (seed % 2), 96))
            assert is_correct(runner.run({"image": image}), image)
    assert len(lines) == 1 and lines[0].startswith("TensorRT: continuing without CUDA graphs")


def test_many_sizes_share_the_lanes(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    """There are more sizes than lanes. Each size runs until it is recorded, and the buffers grow."""
    install()
    sizes = [(1, 64 + 8 * i, 64 + 16 * (i % 5)) for i in range(LANES + 3)]
    with TensorRTRunner(model, config) as runner:
        for size in [*sizes, *sizes[::-1]]:
            for seed in range(WARM_UPS + 2):
                assert is_correct(runner.run({"image": make_image(seed, size)}), make_image(seed, size))
            machine.events += ["largest"] * (size == sizes[-1])
        assert "+device" not in machine.events[machine.events.index("largest") :]
        assert machine.events.count("+IExecutionContext") == LANES
        assert machine.live_objects().count("graph") <= LANES
        assert (
            machine.live_objects().count("device") == machine.live_objects().count("host") + 1 == 4
        )  # three tensors and the scratch memory


def test_only_wanted_outputs_are_copied_back(
    install: Install, machine: fake_cuda.Machine, config: RuntimeConfig, tmp_path: Path
) -> None:
    install()
    write_model(tmp_path / "front.onnx", front=32)
    with TensorRTRunner(tmp_path / "front.onnx", config) as runner:
        outputs = runner.run({"image": make_image()}, {"peaks", "limb_scores"})
    assert sorted(outputs) == ["limb_scores", "peaks"] and is_correct(outputs, make_image())
    assert machine.copied_back == sum(got.nbytes for got in outputs.values()) == 45_824 < 64_000


def test_outputs_belong_to_the_caller(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        first = runner.run({"image": make_image()})
        runner.run({"image": make_image(1)})
    assert is_correct(first, make_image()) and first["pafs"].flags.owndata


def test_a_strided_image_is_accepted(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        assert is_correct(runner.run({"image": make_image()[:, ::-1, ::-1]}), make_image()[:, ::-1, ::-1])


def test_several_threads_may_share_a_runner(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    images = [make_image(seed, (1, 64 + 32 * (seed % 3), 96)) for seed in range(60)]
    with TensorRTRunner(model, config) as runner, ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda image: runner.run({"image": image}), images))
    assert all(is_correct(got, image) for got, image in zip(outputs, images, strict=True)) and len(machine.threads) == 1


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (make_image(0, (1, 32, 96)), ValueError, r"expected 1 x 64 x 64 x 3 to 1 x 256 x 256 x 3.*runtime\.least_size"),
        (make_image(0, (1, 64, 288)), ValueError, r"got 1 x 64 x 288 x 3; change runtime\.most_size"),
        (make_image(0, (2, 64, 96)), ValueError, r"change runtime\.max_batch"),
        (make_image(0, (0, 64, 96)), ValueError, r"change runtime\.max_batch"),
        (make_image().astype(np.float32), TypeError, "expected uint8, got float32"),
        (make_image()[0], ValueError, r"expected shape \(any, any, any, 3\)"),
    ],
    ids=["small", "wide", "many", "empty", "float", "3-D"],
)
def test_wrong_inputs_are_refused_before_the_gpu_is_used(
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


def test_a_closed_runner_raises(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    runner = TensorRTRunner(model, config)
    runner.close()
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        runner.run({"image": make_image()})


@pytest.mark.parametrize("fault", FAILURES)
def test_a_failed_run_raises_and_the_next_succeeds(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, fault: str
) -> None:
    trt = install()
    with TensorRTRunner(model, config) as runner:
        trt.faults.enqueue_fails, trt.faults.unspecified = fault == "enqueue", ["image"] * (fault == "shapes")
        machine.errors = {"copy": {"cudaMemcpyAsync": 2}, "kernel": {"cudaStreamSynchronize": 700}}.get(fault, {})
        with pytest.raises((ValueError, RuntimeError), match=FAILURES[fault]):
            runner.run({"image": make_image()})
        trt.faults.enqueue_fails, trt.faults.unspecified, machine.errors = False, [], {}
        assert is_correct(runner.run({"image": make_image(1)}), make_image(1))
    assert machine.live_objects() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("message", "error"), [("Cuda Runtime (out of memory)", CudaError), ("Error Code 2: Internal Error", RuntimeError)]
)
def test_a_context_that_cannot_be_created_raises(
    install: Install, model: Path, config: RuntimeConfig, version: str, message: str, error: type[Exception]
) -> None:
    trt = install(version)
    with TensorRTRunner(model, config) as runner:
        trt.faults.no_context, trt.faults.refusal = True, message
        with pytest.raises(error, match=re.escape(message)) as caught:
            runner.run({"image": make_image()})
        assert type(caught.value) is error
        trt.faults.no_context = False
        assert is_correct(runner.run({"image": make_image()}), make_image())


def test_the_runner_works_again_after_it_was_out_of_memory(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    with TensorRTRunner(model, config) as runner:
        runner.run({"image": make_image()})
        machine.errors = {"cudaHostAlloc": 2}
        with pytest.raises(CudaError, match="cudaHostAlloc"):
            runner.run({"image": make_image(0, (1, 256, 256))})
        machine.errors = {}
        assert is_correct(runner.run({"image": make_image(1)}), make_image(1))
        assert is_correct(runner.run({"image": make_image(2, (1, 256, 256))}), make_image(2, (1, 256, 256)))
    assert machine.live_objects() == []


def test_gpu_memory_can_be_read_during_a_run(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    install()
    resume, started = threading.Event(), threading.Event()
    with TensorRTRunner(model, config) as runner:
        machine.streams[next(iter(machine.streams))].append(lambda: started.set() or resume.wait(120))
        running = threading.Thread(target=runner.run, args=({"image": make_image()},))
        running.start()
        assert started.wait(120)
        used_bytes, total_bytes = runner.gpu_memory_bytes()
        assert running.is_alive() and total_bytes == fake_cuda.GPU.memory_bytes
        assert used_bytes == sum(machine.memory[pointer].nbytes for pointer in machine.on_gpu) > 0
        resume.set()
        running.join()
    assert runner.gpu_memory_bytes() is None, "closed"
