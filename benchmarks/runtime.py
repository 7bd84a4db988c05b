"""Measure the overhead of each runner over its library, and the cost of loading the default model.

python benchmarks/runtime.py

Library and runner use the same loaded network in turns, and both fetch all outputs. The overhead is the median of their
differences. The thin network has the input and output sizes of the default model but almost no computation, so that
the overhead is visible. With the decode front, only peaks and limb scores are fetched. The loop of a TensorRT engine
enqueues all runs without waiting between them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measure import print_table
from onnx import TensorProto, helper, numpy_helper

from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import Runner

LIMITS_MS = {"onnx": 0.1, "openvino": 0.1, "torch": 0.1, "tensorrt": 0.3}
CHANNELS = {"heatmaps": 18, "pafs": 38, "tags": 18}
LOAD_SCRIPT = """
import sys, time
import numpy
start = time.process_time()
from pose_ros.config import RuntimeConfig
from pose_ros.runtime import load_runner
runner = load_runner(sys.argv[1], RuntimeConfig(backend=sys.argv[2], threads=int(sys.argv[3]), cache=sys.argv[4]))
loaded = time.process_time()
feeds, times = {"image": numpy.zeros((1, 368, 656, 3), numpy.uint8)}, []
for _ in range(20):
    begin = time.perf_counter()
    runner.run(feeds)
    times.append(time.perf_counter() - begin)
with open("/proc/self/status") as status:
    resident = next(line.split()[1] for line in status if line.startswith("VmRSS"))
print(loaded - start, 1e3 * min(times), int(resident) / 1024)
"""

LibraryTimer = Callable[[np.ndarray], float]


def measure_s(call: Callable[[], Any]) -> float:
    """Measure the wall time of a call, seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_onnx(runner: Any) -> LibraryTimer:
    """Return a function that measures ONNX Runtime alone."""
    return lambda image: measure_s(lambda: runner._session.run(None, {"image": image}))


def time_openvino(runner: Any) -> LibraryTimer:
    """Return a function that measures OpenVINO alone. OpenVINO copies its outputs, which is its default."""
    request = runner._network.create_infer_request()
    return lambda image: measure_s(lambda: request.infer([image], share_inputs=True))


def time_torch(runner: Any) -> LibraryTimer:
    """Return a function that measures the network in PyTorch alone."""
    import torch

    def run(image: np.ndarray) -> float:
        with torch.inference_mode():
            return measure_s(lambda: runner._compute(torch.from_numpy(image)))

    return run


def time_tensorrt(runner: Any) -> LibraryTimer:
    """Return a function that measures the engine alone on its thread, with the input on the GPU: the lower limit."""
    session = runner._session

    def run(image: np.ndarray) -> None:
        session._prepare_lane({"image": image.shape}).enqueue(session._stream)
        session._stream.synchronize()

    return lambda image: runner._worker.call(lambda: measure_s(lambda: run(image)))


LIBRARY_TIMERS = {"onnx": time_onnx, "openvino": time_openvino, "torch": time_torch, "tensorrt": time_tensorrt}


def model_of(name: str) -> Path:
    """Return the file of the default model for a runtime."""
    return DEFAULT_MODEL.with_suffix(".pt") if name == "torch" else DEFAULT_MODEL


def write_thin_model(path: Path) -> Path:
    """Write a network with the input and outputs of the default model. Its fields are mixtures of the image colours."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        *(helper.make_node("Conv", ["small", f"{name}_weights"], [name]) for name in CHANNELS),
    ]
    weights = [
        numpy_helper.from_array(random.random((count, 3, 1, 1), np.float32), f"{name}_weights")
        for name, count in CHANNELS.items()
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, None, None])
        for name, count in CHANNELS.items()
    ]
    graph = helper.make_graph(nodes, "thin", [image], outputs, initializer=weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def write_front_model(path: Path) -> Path | None:
    """Write the default model with its decode front. Returns None if torch is missing."""
    try:
        from pose_ros.checkpoint import load_checkpoint
        from pose_ros.export.to_onnx import ExportOptions, export
    except ImportError:
        return None
    export(load_checkpoint(DEFAULT_MODEL.with_suffix(".pt")), path, ExportOptions((128, 128), front=True))
    return path


def compare(
    runner: Runner,
    time_library: LibraryTimer,
    shape_hw: tuple[int, int],
    outputs: Sequence[str] | None,
    repeats: int = 400,
) -> tuple[str, ...]:
    """Return the table cells of a runner: library, runner and overhead in ms, and the size of the outputs in kB."""
    image = np.random.default_rng(0).integers(0, 256, (1, *shape_hw, 3), np.uint8)
    alone, wrapped = [], []
    for turn in range(repeats + 10):
        order = [
            lambda: alone.append(time_library(image)),
            lambda: wrapped.append(measure_s(lambda: runner.run({"image": image}, outputs))),
        ]
        for measure in order if turn % 2 else reversed(order):
            measure()
    overhead = statistics.median(w - a for a, w in zip(alone[10:], wrapped[10:], strict=True))
    medians = (statistics.median(times[10:]) for times in (alone, wrapped))
    kilobytes = sum(array.nbytes for array in runner.run({"image": image}, outputs).values()) / 1e3
    return (*(f"{1e3 * time:.3f}" for time in (*medians, overhead)), f"{kilobytes:.0f}")


def measure_overhead(name: str, folder: Path) -> list[tuple[str, ...]]:
    """Measure the overhead of a runner. Without its library, print the reason and return no rows."""
    cases: list[tuple[str, Path, tuple[int, int], Sequence[str] | None]] = [("default", model_of(name), (64, 64), None)]
    if name != "torch":
        cases.append(("thin", write_thin_model(folder / "thin.onnx"), (368, 656), None))
        if front := write_front_model(folder / "front.onnx"):
            cases.append(("with front", front, (128, 128), FRONT_HEADS))
    rows = []
    for network, path, shape_hw, outputs in cases:
        try:
            runner = load_runner(path, RuntimeConfig(backend=name, threads=1, cache=str(folder)))
        except ImportError as error:
            print(f"{name}: skipped: {error}")
            return []
        with runner:
            times = compare(runner, LIBRARY_TIMERS[name](runner), shape_hw, outputs)
            if name == "tensorrt":
                share = measure_throughput(runner, shape_hw)
                print(f"{name}, {network}: {share:.2f} of the throughput of the engine (limit 0.95)")
        rows.append((name, network, "{} x {}".format(*shape_hw), *times[:3], f"{LIMITS_MS[name]}", times[3]))
    return rows


def measure_throughput(runner: Any, shape_hw: tuple[int, int], repeats: int = 400) -> float:
    """Measure images per second of the runner, relative to the loop of the engine."""
    image, session = np.zeros((1, *shape_hw, 3), np.uint8), runner._session

    def loop() -> None:
        lane = session._prepare_lane({"image": image.shape})
        for _ in range(repeats):
            lane.enqueue(session._stream)
        session._stream.synchronize()

    engine_s = runner._worker.call(lambda: measure_s(loop))
    return engine_s / measure_s(lambda: [runner.run({"image": image}) for _ in range(repeats)])


def measure_loading(name: str, threads: int, folder: str) -> tuple[str, ...]:
    """Measure loading and running in a separate process. Returns the best of three."""
    command = [sys.executable, "-c", LOAD_SCRIPT, str(model_of(name)), name, str(threads), folder]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    load_s, run_ms, resident = (min(map(float, values)) for values in zip(*runs, strict=True))
    return name, str(threads), f"{load_s:.2f}", f"{run_ms:.1f}", f"{resident:.0f}"


def main() -> None:
    """Measure every available runtime and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        overheads = [row for name in LIBRARY_TIMERS for row in measure_overhead(name, Path(folder))]
        available = list(dict.fromkeys(row[0] for row in overheads))
        costs = [measure_loading(name, threads, folder) for name in available for threads in (1, 2)]
    columns = ("runtime", "network", "input", "library, ms", "runner, ms", "overhead, ms", "limit", "outputs, kB")
    print_table("Overhead of the runners, one thread, medians of 400 runs", columns, overheads)
    columns = ("runtime", "threads", "import and load, CPU s", "run, ms", "resident memory, MB")
    print_table("Process with the default model at 368 x 656, best of three", columns, costs)


if __name__ == "__main__":
    main()
