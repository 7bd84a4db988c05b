"""What a runner adds to its library's own run, and what loading the default model through it costs.

python benchmarks/runtime.py

Both runs use the same loaded network, in turns, and fetch all outputs; added is the median of their differences. The
thin network takes and gives as much as the default model and computes next to nothing, so that it hides nothing. With
the decode front only peaks and limb scores are fetched. An engine's own loop enqueues it without ever waiting between.
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
from measure import show
from onnx import TensorProto, helper, numpy_helper

from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import Runner

LIMITS_MS = {"onnx": 0.1, "openvino": 0.1, "torch": 0.1, "tensorrt": 0.3}
CHANNELS = {"heatmaps": 18, "pafs": 38, "tags": 18}
LOADING = """
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

Own = Callable[[np.ndarray], float]


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def own_onnx(runner: Any) -> Own:
    """ONNX Runtime alone."""
    return lambda image: seconds(lambda: runner._session.run(None, {"image": image}))


def own_openvino(runner: Any) -> Own:
    """OpenVINO alone: its outputs are copied, as they are where nothing else is asked for."""
    request = runner._network.create_infer_request()
    return lambda image: seconds(lambda: request.infer([image], share_inputs=True))


def own_torch(runner: Any) -> Own:
    """The network in PyTorch alone."""
    import torch

    def run(image: np.ndarray) -> float:
        with torch.inference_mode():
            return seconds(lambda: runner._compute(torch.from_numpy(image)))

    return run


def own_tensorrt(runner: Any) -> Own:
    """The engine alone, on its thread, with the input already on the GPU: what nothing can be faster than."""
    session = runner._session

    def run(image: np.ndarray) -> None:
        session._ready_lane({"image": image.shape}).enqueue(session._stream)
        session._stream.synchronize()

    return lambda image: runner._worker.call(lambda: seconds(lambda: run(image)))


OWN = {"onnx": own_onnx, "openvino": own_openvino, "torch": own_torch, "tensorrt": own_tensorrt}


def model_of(name: str) -> Path:
    """The default model, in the form that a runtime takes."""
    return DEFAULT_MODEL.with_suffix(".pt") if name == "torch" else DEFAULT_MODEL


def thin(path: Path) -> Path:
    """Write a network with the default model's input and outputs, whose fields are mixed from the image's colours."""
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


def with_front(path: Path) -> Path | None:
    """Write the default model with its decode front; None where there is no torch to export it."""
    try:
        from pose_ros.checkpoint import load_checkpoint
        from pose_ros.export.to_onnx import ExportOptions, export
    except ImportError:
        return None
    export(load_checkpoint(DEFAULT_MODEL.with_suffix(".pt")), path, ExportOptions((128, 128), front=True))
    return path


def compare(
    runner: Runner, own: Own, shape_hw: tuple[int, int], wanted: Sequence[str] | None, repeats: int = 400
) -> tuple[str, ...]:
    """The library's own and the runner's milliseconds, what the runner adds, and the kilobytes that come back."""
    image = np.random.default_rng(0).integers(0, 256, (1, *shape_hw, 3), np.uint8)
    alone, wrapped = [], []
    for turn in range(repeats + 10):
        order = [
            lambda: alone.append(own(image)),
            lambda: wrapped.append(seconds(lambda: runner.run({"image": image}, wanted))),
        ]
        for measure in order if turn % 2 else reversed(order):
            measure()
    added = statistics.median(w - a for a, w in zip(alone[10:], wrapped[10:], strict=True))
    medians = (statistics.median(times[10:]) for times in (alone, wrapped))
    kilobytes = sum(array.nbytes for array in runner.run({"image": image}, wanted).values()) / 1e3
    return (*(f"{1e3 * time:.3f}" for time in (*medians, added)), f"{kilobytes:.0f}")


def added_rows(name: str, folder: Path) -> list[tuple[str, ...]]:
    """What the runner of a runtime adds; nothing, and a line that says why, where it cannot work."""
    cases: list[tuple[str, Path, tuple[int, int], Sequence[str] | None]] = [("default", model_of(name), (64, 64), None)]
    if name != "torch":
        cases.append(("thin", thin(folder / "thin.onnx"), (368, 656), None))
        if front := with_front(folder / "front.onnx"):
            cases.append(("with front", front, (128, 128), FRONT_HEADS))
    rows = []
    for network, path, shape_hw, wanted in cases:
        try:
            runner = load_runner(path, RuntimeConfig(backend=name, threads=1, cache=str(folder)))
        except ImportError as error:
            print(f"{name} is left out: {error}")
            return []
        with runner:
            times = compare(runner, OWN[name](runner), shape_hw, wanted)
            if name == "tensorrt":
                print(f"{network}: {throughput(runner, shape_hw):.2f} of the engine's own loop (limit .95)")
        rows.append((name, network, "{} x {}".format(*shape_hw), *times[:3], f"{LIMITS_MS[name]}", times[3]))
    return rows


def throughput(runner: Any, shape_hw: tuple[int, int], repeats: int = 400) -> float:
    """Images per second through the runner, relative to the engine's own loop."""
    image, session = np.zeros((1, *shape_hw, 3), np.uint8), runner._session

    def loop() -> None:
        lane = session._ready_lane({"image": image.shape})
        for _ in range(repeats):
            lane.enqueue(session._stream)
        session._stream.synchronize()

    own_s = runner._worker.call(lambda: seconds(loop))
    return own_s / seconds(lambda: [runner.run({"image": image}) for _ in range(repeats)])


def loading_row(name: str, threads: int, folder: str) -> tuple[str, ...]:
    """Loading and running in a process that does nothing else: the best of three."""
    command = [sys.executable, "-c", LOADING, str(model_of(name)), name, str(threads), folder]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    load_s, run_ms, resident = (min(map(float, values)) for values in zip(*runs, strict=True))
    return name, str(threads), f"{load_s:.2f}", f"{run_ms:.1f}", f"{resident:.0f}"


def main() -> None:
    """Measure every runtime that works here, print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        added = [row for name in OWN for row in added_rows(name, Path(folder))]
        there = list(dict.fromkeys(row[0] for row in added))
        costs = [loading_row(name, threads, folder) for name in there for threads in (1, 2)]
    columns = ("runtime", "network", "input", "library, ms", "runner, ms", "added, ms", "limit", "back, kB")
    show("What a runner adds, one thread, medians of 400", columns, added)
    columns = ("runtime", "threads", "import and load, s of the CPU", "run, ms", "resident, MB")
    show("A process with the default model at 368 x 656, best of three", columns, costs)


if __name__ == "__main__":
    main()
