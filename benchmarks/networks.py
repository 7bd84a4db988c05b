"""Every network of the zoo: size, arithmetic, and milliseconds in ONNX Runtime, as a Markdown table.

Weights are random. The input is 256 x 456 px, rounded up to the network's multiple; networks of one person take their
own. A multiply-add counts as two operations. Each time is the median of one process that runs nothing else.

    python benchmarks/networks.py                      our own networks, on the screen
    python benchmarks/networks.py FILE.md              all of them; FILE.json keeps what has been measured
    python benchmarks/networks.py FILE.md --only trt   those whose name has this in it
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
from measure import machine, median_ms, show

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
HEAD = """# Networks

Written by `python benchmarks/networks.py docs/networks.md`; [models.md](models.md) says which one is for what.
Random weights, one image, float32. A multiply-add counts as two operations. *ONNX Runtime − torch* is the largest
difference of any output, which every export measures. AP of COCO keypoints is the publishers' claim.
"""


def measure(name: str) -> dict[str, Any]:
    """Export one network and measure it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pose_ros.export.to_onnx import ExportOptions, export
    from pose_ros.network import zoo

    torch.manual_seed(0)
    network = zoo.build(name).eval()
    given = network.spec.input
    width, height = given.size_wh or tuple(-(-side // given.multiple) * given.multiple for side in SIZE_WH)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.fields(torch.zeros(1, 3, height, width))
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
            "ms": [json.loads(child("--time", str(path), str(threads))) for threads in THREADS],
        }


def run_ms(path: Path, threads: int) -> float:
    """Median time of a network on an image of noise."""
    from pose_ros.config import RuntimeConfig
    from pose_ros.runtime.onnx import OnnxRunner

    with OnnxRunner(path, RuntimeConfig(threads=threads)) as runner:
        (image,) = runner.inputs
        feeds = {image.name: np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)}
        start = time.perf_counter()
        runner.run(feeds)
        once_s = time.perf_counter() - start
        return median_ms(lambda: runner.run(feeds), repeats=int(np.clip(BUDGET_S / once_s, 5, 100)))


def child(*arguments: str) -> str:
    """The last line that this script prints in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()[-1]


def row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a network."""
    numbers = (f"{found['weights']:.1f}", f"{found['gflop']:.1f}", f"{found['megabytes']:.0f}")
    agreement, times = f"{found['difference']:.0e}", [f"{ms:.0f}" for ms in found["ms"]]
    return (name, found["grouping"], found["input"], *numbers, agreement, *times, published(name))


def published(name: str) -> str:
    """The AP of the catalogue's models of a network."""
    from pose_ros.models.catalogue import entries

    results = [result for entry in entries() if entry.network == name for result in entry.results[:1]]
    return "; ".join(f"{result.ap:g} ({result.data})" for result in results)


def write(target: Path, known: dict[str, dict[str, Any]]) -> None:
    """Write the table; by grouping, the cheapest first."""
    names = sorted(known, key=lambda name: (known[name]["grouping"], known[name]["gflop"]))
    lines = [
        COLUMNS,
        ("---", "---", *["---:"] * (len(COLUMNS) - 3), "---"),
        *(row(name, known[name]) for name in names),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    target.write_text(f"{HEAD}\n{table}\n\n{machine()}.\n", encoding="utf-8")


def main() -> None:
    """Measure what is asked for and not yet known."""
    from pose_ros.network import zoo

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    cache = options.target.with_suffix(".json") if options.target else None
    known = json.loads(cache.read_text()) if cache and cache.is_file() else {}
    wanted = [name for name in zoo.networks() if (options.only or ("" if cache else OURS)) in name]
    for name in wanted:
        if name in known:
            continue
        print(name, flush=True)
        known[name] = json.loads(child("--measure", name))
        if cache:
            cache.write_text(json.dumps(known, indent=1))
    if options.target:
        write(options.target, known)
    else:
        show("Networks", COLUMNS, [row(name, known[name]) for name in wanted])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    elif sys.argv[1:2] == ["--time"]:
        print(run_ms(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        main()
