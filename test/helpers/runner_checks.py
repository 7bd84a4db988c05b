"""Checks for any loaded runner. They are tested on ONNX Runtime and fakes, and used on GPUs in test/gpu."""

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
"""Function that makes a TensorRTRunner with the given notify callback."""
FLOAT_GAP, HALF_GAP = 1e-2, 5e-2
"""Largest ``gap`` between runtimes. float32 on a GPU is TF32 by default: products are rounded to 10 bits."""
PHOTO_COUNT = 6
"""Number of photos. They show 18 people, and the default model finds 17."""


def make_or_skip(make: Callable[[], Any]) -> Any:
    """Return the result of ``make``. Skip the test if the runtime cannot work here."""
    try:
        return make()
    except Unavailable as error:
        pytest.skip(str(error))


def export_default(target: Path, **options: Any) -> Path:
    """Export the default model for 384 x 512 with these ``ExportOptions``. Skip the test without torch."""
    pytest.importorskip("torch")
    from pose_ros.checkpoint import load_checkpoint
    from pose_ros.export.to_onnx import ExportOptions, export

    network = load_checkpoint(DEFAULT_MODEL)
    return export(network, target, ExportOptions((512, 384), **options)).path


def photos(count: int, size_wh: tuple[int, int] = (512, 384)) -> list[np.ndarray]:
    """Make (H, W, 3) BGR images of three people each. The default model finds nearly all of them."""
    return [scene(seed, 3, size_wh).image_bgr for seed in range(count)]


def tensors(count: int, size_wh: tuple[int, int] = (512, 384)) -> list[np.ndarray]:
    """Make the same images as network inputs, (1, H, W, 3) RGB."""
    return [np.ascontiguousarray(photo[None, ..., ::-1]) for photo in photos(count, size_wh)]


def gap(expected: Arrays, got: Arrays) -> float:
    """Compute the largest difference of any field, relative to its range. Infinite if names, shapes or types differ.

    Candidates of a decode front are not compared, because their order may differ. ``people`` covers them.
    """
    names, others = ([name for name in outputs if name not in FRONT_HEADS] for outputs in (expected, got))
    return max(_gap(expected[name], got[name]) for name in names) if names == others else math.inf


def _gap(expected: np.ndarray, got: np.ndarray) -> float:
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return math.inf
    difference = float(np.abs(expected.astype(float) - got).max())
    # max() would drop a NaN, because NaN compares as False.
    return difference / max(float(np.ptp(expected)), 1e-3) if math.isfinite(difference) else math.inf


def disagreement(reference: Runner, runner: Runner, images: Sequence[np.ndarray]) -> float:
    """Compute the largest gap between two runners of one network, over all images."""
    return max(gap(run(reference, image), run(runner, image)) for image in images)


def people(reference: Runner, runner: Runner, images: Sequence[np.ndarray]) -> PrecisionReport:
    """Compare the people that two runners of one network find, at the size of ``export_default``."""
    config = EstimatorConfig(preprocess=PreprocessConfig(short_side=384))
    first, second = (
        PoseEstimator(loaded, read_spec(Path("tested"), loaded.metadata), config) for loaded in (reference, runner)
    )
    return compare(first, second, images)


def are_the_same(report: PrecisionReport, most_px: float) -> bool:
    """Whether at most one person in ten is lost or added, and 95 % of the other keypoints move at most ``most_px``."""
    found = report.people >= 10 and max(report.lost, report.added) <= report.people // 10
    return found and bool(np.percentile(report.shifts_px, 95) <= most_px)


def drift(runner: Runner, image: np.ndarray, runs: int) -> float:
    """Compute the largest gap between the first run and many later runs on one image."""
    first = run(runner, image)
    return max(gap(first, run(runner, image)) for _ in range(runs))


def batch_gap(runner: Runner, images: Sequence[np.ndarray]) -> float:
    """Compute the largest gap between a batch and its images alone."""
    together = run(runner, np.concatenate(images))
    return max(
        gap(run(runner, image), {name: array[i : i + 1] for name, array in together.items()})
        for i, image in enumerate(images)
    )


def threads_gap(runner: Runner, images: Sequence[np.ndarray], runs: int) -> float:
    """Compute the largest gap between single runs and runs of one thread per image at the same time."""
    alone, barrier = [run(runner, image) for image in images], Barrier(len(images))

    def work(index: int) -> float:
        barrier.wait()
        return max(gap(alone[index], run(runner, images[index])) for _ in range(runs))

    with ThreadPoolExecutor(len(images)) as pool:
        return max(pool.map(work, range(len(images))))


def lost_bytes(cycle: Callable[[], object], free_bytes: Callable[[], int], cycles: int, warm_ups: int = 3) -> int:
    """Compute the memory lost in many cycles. Warm-up cycles come first, because libraries keep some memory."""
    for _ in range(warm_ups):
        cycle()
    before = free_bytes()
    for _ in range(cycles):
        cycle()
    return before - free_bytes()


@dataclass(frozen=True)
class Start:
    """Result of loading an engine.

    Attributes:
        has_built: Whether the engine was built.
        plan: Path of the stored plan.
        lines: Messages of the engine cache.
        outputs: Outputs of the first run.
    """

    has_built: bool
    plan: Path
    lines: list[str]
    outputs: Arrays


def start(load: Load, image: np.ndarray) -> Start:
    """Load an engine, run it, and close it."""
    lines: list[str] = []
    with load(lines.append) as runner:
        outputs = run(runner, image)
        return Start(runner.has_built, runner.plan, [line for line in lines if line.startswith("engine ")], outputs)


def change_plan(plan: Path) -> None:
    """Change one byte of a stored plan."""
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 0xFF
    plan.write_bytes(data)


def replace_plan(plan: Path, data: bytes) -> None:
    """Replace a stored plan by other data, with a valid sidecar."""
    sidecar = engine_file.read_sidecar(plan)
    valid = replace(sidecar, plan_sha256=sha256(data).hexdigest(), plan_bytes=len(data))
    engine_file.write_engine(plan, data, valid)


def run(runner: Runner, image: np.ndarray) -> Arrays:
    """Run an image and return all outputs."""
    return runner.run({runner.inputs[0].name: image})
