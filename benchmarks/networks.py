"""Measure every network of the zoo: size, operations and time in ONNX Runtime, as a Markdown table.

Weights are random. The input is 256 x 456 px, rounded up to the multiple that the network requires. Single-person
networks use their own input size. A multiply-add counts as two operations. Each time is the median of one process that
runs nothing else.

    python benchmarks/networks.py                      print the networks of pose_ros
    python benchmarks/networks.py FILE.md              measure all networks, store the results in FILE.json
    python benchmarks/networks.py FILE.md --only trt   measure the networks with this text in their name
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import describe_machine, median_ms, print_table

OURS = "pose_ros_"
SIZE_WH = (456, 256)
THREADS = (1, 2)
BUDGET_S = 4.0
COLUMNS = (
    "network",
    "grouping",
    "input",
    "M weights",
    "GFLOP",
    "MB",
    "ONNX Runtime − torch",
    *(f"ms, {n} thread{'s'[: n > 1]}" for n in THREADS),
    "AP",
)
HEADER = """# Networks

This table compares the size and the speed of all networks. [models.md](models.md#which-network) explains which network
to choose.

- *M weights*: millions of weights. *MB*: size of the ONNX file. *GFLOP*: a multiply-add counts as two operations.
- *ONNX Runtime − torch*: largest difference between the outputs, which every export measures.
- *ms*: time in ONNX Runtime for one image in float32, on the CPU below the table. The weights are random.
- *AP*: published AP of the COCO keypoints.
- The default model is `pose_ros_movenet`.
- The input of PoseFix ([refinement.md](refinement.md#posefix)) also has the heatmaps of a known pose.

The first command measures all networks on your computer, the second one those with `trt` in their name. Both require
PyTorch.

    python benchmarks/networks.py networks.md
    python benchmarks/networks.py trt.md --only trt
"""


def measure(name: str) -> dict[str, Any]:
    """Export one network and measure it. Runs in a separate process."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pose_ros.export.to_onnx import ExportOptions, export
    from pose_ros.network import zoo

    torch.manual_seed(0)
    network = zoo.build(name).eval()
    spec = network.spec.input
    width, height = spec.size_wh or tuple(-(-side // spec.multiple) * spec.multiple for side in SIZE_WH)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.fields(torch.zeros(1, spec.channels, height, width))
    with tempfile.TemporaryDirectory() as folder:
        report = export(network, Path(folder) / "network.onnx", ExportOptions((width, height), batch=1))
        path = report.path
        return {
            "grouping": network.spec.grouping,
            "input": f"{height} x {width}",
            "weights": sum(weight.numel() for weight in network.parameters()) / 1e6,
            "gflop": counter.get_total_flops() / 1e9,
            "difference": max(report.differences.values()),
            "megabytes": path.stat().st_size / 1e6,
            "ms": [json.loads(run_child("--time", str(path), str(threads))) for threads in THREADS],
        }


def run_ms(path: Path, threads: int) -> float:
    """Measure the median time of a network on a noise image, ms."""
    from pose_ros.config import RuntimeConfig
    from pose_ros.runtime.onnx import OnnxRunner

    with OnnxRunner(path, RuntimeConfig(threads=threads)) as runner:
        (image,) = runner.inputs
        feeds = {image.name: np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)}
        start = time.perf_counter()
        runner.run(feeds)
        once_s = time.perf_counter() - start
        return median_ms(lambda: runner.run(feeds), repeats=int(np.clip(BUDGET_S / once_s, 5, 100)))


def run_child(*arguments: str) -> str:
    """Run this script in a new process and return the last line that it prints."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()[-1]


def make_row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    """Return the table cells of a network."""
    numbers = (f"{result['weights']:.1f}", f"{result['gflop']:.1f}", f"{result['megabytes']:.0f}")
    difference, times = f"{result['difference']:.0e}", [f"{ms:.0f}" for ms in result["ms"]]
    return (name, result["grouping"], result["input"], *numbers, difference, *times, published_ap(name))


def published_ap(name: str) -> str:
    """Return the AP of the models of a network, as the catalogue states it."""
    from pose_ros.models.catalogue import entries

    results = [result for entry in entries() if entry.network == name for result in entry.results[:1]]
    return "; ".join(f"{result.ap:g} ({result.data})" for result in results)


def write_markdown(target: Path, results: dict[str, dict[str, Any]]) -> None:
    """Write the table, sorted by grouping and by number of operations."""
    names = sorted(results, key=lambda name: (results[name]["grouping"], results[name]["gflop"]))
    lines = [
        COLUMNS,
        ("---", "---", *["---:"] * (len(COLUMNS) - 3), "---"),
        *(make_row(name, results[name]) for name in names),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    target.write_text(f"{HEADER}\n{table}\n\n{describe_machine()}.\n", encoding="utf-8")


def main() -> None:
    """Measure the selected networks that have no stored result."""
    from pose_ros.network import zoo

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    cache = options.target.with_suffix(".json") if options.target else None
    results = json.loads(cache.read_text()) if cache and cache.is_file() else {}
    wanted = [name for name in zoo.networks() if (options.only or ("" if cache else OURS)) in name]
    for name in wanted:
        if name in results:
            continue
        print(name, flush=True)
        results[name] = json.loads(run_child("--measure", name))
        if cache:
            cache.write_text(json.dumps(results, indent=1))
    if options.target:
        write_markdown(options.target, results)
    else:
        print_table("Networks", COLUMNS, [make_row(name, results[name]) for name in wanted])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    elif sys.argv[1:2] == ["--time"]:
        print(run_ms(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        main()
