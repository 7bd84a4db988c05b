"""What must hold of any loaded runner, measured: tried out on ONNX Runtime and fakes here, used on GPUs in test/gpu."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from pose_ros.config import EstimatorConfig, PreprocessConfig
from pose_ros.datasets.synthetic.scene import scene
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.precision import PrecisionReport, compare
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec
from pose_ros.runtime.runner import Arrays, Runner, Unavailable
from pose_ros.runtime.tensorrt import file as engine_file

Load = Callable[[Callable[[str], None]], Any]
"""Makes a TensorRTRunner that tells its messages to the function."""
FLOAT_GAP, HALF_GAP = 1e-2, 5e-2
"""Limits of a ``gap`` between runtimes. float32 on a GPU is TF32 by default: products are rounded to 10 bits."""
PICTURES = 6
"""Photos with 18 people, of whom the default model finds 17."""


def or_skip(make: Callable[[], Any]) -> Any:
    """What is made; the test is skipped, with the reason, where its runtime cannot work here."""
    try:
        return make()
    except Unavailable as error:
        pytest.skip(str(error))


def export_default(target: Path, **wishes: Any) -> Path:
    """Write the default model for 368 x 496 with these ``ExportOptions``; the test is skipped without torch."""
    pytest.importorskip("torch")
    from pose_ros.checkpoint import load_checkpoint
    from pose_ros.export.to_onnx import ExportOptions, export

    network = load_checkpoint(DEFAULT_MODEL.with_suffix(".pt"))
    return export(network, target, ExportOptions((496, 368), **wishes)).path


def photos(count: int, size_wh: tuple[int, int] = (496, 368)) -> list[np.ndarray]:
    """(H, W, 3) BGR pictures of three people each, of whom the default model finds nearly all."""
    return [scene(seed, 3, size_wh).image_bgr for seed in range(count)]


def tensors(count: int, size_wh: tuple[int, int] = (496, 368)) -> list[np.ndarray]:
    """The same as networks take them, (1, H, W, 3) RGB."""
    return [np.ascontiguousarray(photo[None, ..., ::-1]) for photo in photos(count, size_wh)]


def gap(expected: Arrays, got: Arrays) -> float:
    """The largest difference of any field, as a share of its range; infinite where the fields are not the same ones.

    Candidates of a decode front are left out: equal ones come in any order. ``people`` covers them.
    """
    names, others = ([name for name in outputs if name not in FRONT_HEADS] for outputs in (expected, got))
    return max(_gap(expected[name], got[name]) for name in names) if names == others else math.inf


def _gap(expected: np.ndarray, got: np.ndarray) -> float:
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return math.inf
    difference = float(np.abs(expected.astype(float) - got).max())
    # Not a number must not get lost among others: it compares with none of them.
    return difference / max(float(np.ptp(expected)), 1e-3) if math.isfinite(difference) else math.inf


def disagreement(reference: Runner, runner: Runner, images: Sequence[np.ndarray]) -> float:
    """The gap between two runners of one network, over all images."""
    return max(gap(run(reference, image), run(runner, image)) for image in images)


def people(reference: Runner, runner: Runner, images: Sequence[np.ndarray]) -> PrecisionReport:
    """How the people whom two runners of one network find differ, both at the size of ``export_default``."""
    config = EstimatorConfig(preprocess=PreprocessConfig(short_side=368))
    first, second = (
        PoseEstimator(loaded, read_spec(Path("tested"), loaded.metadata), config) for loaded in (reference, runner)
    )
    return compare(first, second, images)


def are_the_same(report: PrecisionReport, most_px: float) -> bool:
    """At most one person in ten is lost or added, and 95 % of the others' keypoints are where they were."""
    found = report.people >= 10 and max(report.lost, report.added) <= report.people // 10
    return found and bool(np.percentile(report.shifts_px, 95) <= most_px)


def drift(runner: Runner, image: np.ndarray, runs: int) -> float:
    """How far any of many answers to one image is from the first."""
    first = run(runner, image)
    return max(gap(first, run(runner, image)) for _ in range(runs))


def batch_gap(runner: Runner, images: Sequence[np.ndarray]) -> float:
    """How far the answers to a batch are from those to each image alone."""
    together = run(runner, np.concatenate(images))
    return max(
        gap(run(runner, image), {name: array[i : i + 1] for name, array in together.items()})
        for i, image in enumerate(images)
    )


def threads_gap(runner: Runner, images: Sequence[np.ndarray], runs: int) -> float:
    """How far the answers are from those alone where each image has a thread, and all ask at once."""
    alone, together = [run(runner, image) for image in images], Barrier(len(images))

    def work(index: int) -> float:
        together.wait()
        return max(gap(alone[index], run(runner, images[index])) for _ in range(runs))

    with ThreadPoolExecutor(len(images)) as pool:
        return max(pool.map(work, range(len(images))))


def lost_bytes(cycle: Callable[[], object], free_bytes: Callable[[], int], cycles: int, warm_ups: int = 3) -> int:
    """How much less is free after many cycles than before; libraries keep something of the first."""
    for _ in range(warm_ups):
        cycle()
    before = free_bytes()
    for _ in range(cycles):
        cycle()
    return before - free_bytes()


@dataclass(frozen=True)
class Start:
    """What became of loading an engine.

    Attributes:
        has_built: Whether it was built.
        plan: Where it is kept.
        said: What the cache of engines said.
        outputs: Of the first run.
    """

    has_built: bool
    plan: Path
    said: list[str]
    outputs: Arrays


def start(load: Load, image: np.ndarray) -> Start:
    """Load an engine, run it, and close it."""
    said: list[str] = []
    with load(said.append) as runner:
        outputs = run(runner, image)
        return Start(runner.has_built, runner.plan, [line for line in said if line.startswith("engine ")], outputs)


def change_plan(plan: Path) -> None:
    """Change one byte of a kept plan."""
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 0xFF
    plan.write_bytes(data)


def replace_plan(plan: Path, data: bytes) -> None:
    """Put something else in the place of a kept plan, with a sidecar that vouches for it."""
    sidecar = engine_file.read_sidecar(plan)
    vouching = replace(sidecar, plan_sha256=sha256(data).hexdigest(), plan_bytes=len(data))
    engine_file.write_engine(plan, data, vouching)


def run(runner: Runner, image: np.ndarray) -> Arrays:
    """All outputs for an image."""
    return runner.run({runner.inputs[0].name: image})
