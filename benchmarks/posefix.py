"""Measure what a trained PoseFix repairs on held-out images, and draw examples.

    python benchmarks/posefix.py output/posefix/model.onnx configs/posefix.yaml --picture docs/posefix.jpg

The images are those of the validation in the configuration. The picture shows the last of its data sets.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pose_ros.arrays import Image
from pose_ros.config import EstimatorConfig, OverlayConfig, RefinementConfig, RuntimeConfig
from pose_ros.datasets.pose_errors import GOOD, INVERSION, JITTER, KINDS, MISS, SWAP, ErrorRates, load_rates
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.sets import open_data_set
from pose_ros.evaluation.repairs import (
    Repairs,
    WrongPeople,
    count_repairs,
    make_wrong_people,
    measure_repairs,
    refine_all,
)
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import add_title, arrange
from pose_ros.people import People
from pose_ros.refinement.refiner import Refiner
from pose_ros.refinement.stage import load_refiner
from pose_ros.training.config import load_config

SIDE = 220
STYLE = OverlayConfig(thickness=1.0)


def main() -> None:
    """Print one row for each data set, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="exported PoseFix")
    parser.add_argument("config", type=Path, help="configuration of its training")
    parser.add_argument("--factor", type=float, default=1.0, help="factor of the frequencies of errors")
    parser.add_argument("--seed", type=int, default=0, help="seed of the errors")
    parser.add_argument("--picture", type=Path, help="image to write")
    options = parser.parse_args()
    config = load_config(options.config)
    refinement = RefinementConfig(model=str(options.model))
    settings = EstimatorConfig(runtime=RuntimeConfig(backend="onnx", threads=1), refinement=refinement)
    refiner = load_refiner(settings, config.skeleton)
    rates = load_rates(replace(config.pose_errors, factor=options.factor), config.skeleton)
    sets = {Path(each.labels).parent.name: open_data_set(each, config.skeleton) for each in config.validation.data}
    print(
        f"| images | rule | {' | '.join(f'{kind} repaired' for kind in KINDS[1:])} | good spoiled | good stays exact |"
    )
    print("|---|---|" + "---:|" * 6)
    for merged in (False, True):
        found = [measure_repairs(refiner, each, rates, merged=merged, seed=options.seed) for each in sets.values()]
        for name, repairs in (*zip(sets, found, strict=True), ("all", sum(found[1:], found[0]))):
            print(row(name, "merged" if merged else "all taken", repairs))
    if options.picture:
        samples = list(next(reversed(sets.values())))
        cv2.imwrite(str(options.picture), draw_examples(refiner, samples, rates, options.seed))


def row(name: str, rule: str, repairs: Repairs) -> str:
    """Return a row of the table. Each cell has the fraction and the number of keypoints."""
    counts = repairs.counts
    cells = [f"{repairs.repaired(kind):.2f} ({counts[kind].sum()})" for kind in (JITTER, INVERSION, SWAP, MISS)]
    exact = counts[GOOD, GOOD] / counts[GOOD].sum()
    return f"| {name} | {rule} | {' | '.join(cells)} | {repairs.spoiled:.3f} ({counts[GOOD].sum()}) | {exact:.2f} |"


def draw_examples(refiner: Refiner, samples: list[Sample], rates: ErrorRates, seed: int, count: int = 6) -> Image:
    """Draw the first people with two or more inversions or swaps, spread over the samples: before and after."""
    panels, step = [], max(len(samples) // 40, 1)
    for index in range(0, len(samples), step):
        sample, rng = samples[index], np.random.default_rng([seed, index])
        wrong = make_wrong_people(sample, rates, refiner.skeleton, 11, rng)
        refined = refine_all(refiner, sample, wrong.people, merged=True)
        for n, kinds in enumerate(wrong.kinds):
            if np.isin(kinds, (INVERSION, SWAP)).sum() >= 2 and len(panels) < 2 * count:
                titles = describe(sample, wrong, refined, n, refiner)
                panels += [
                    add_title(cut(sample, people[n], wrong.people[n], refiner), title)
                    for people, title in zip((wrong.people, refined), titles, strict=True)
                ]
                break
    return arrange(panels, 4)


def describe(sample: Sample, wrong: WrongPeople, refined: People, n: int, refiner: Refiner) -> tuple[str, str]:
    """Return the number of wrong keypoints before and after."""
    one = replace(wrong, people=wrong.people[n], kinds=wrong.kinds[n : n + 1], partners=wrong.partners[n : n + 1])
    counts = count_repairs(sample, one, refined[n], refiner.skeleton).counts
    near = [GOOD, JITTER]
    return tuple(f"{name}: {int(c.sum() - c[near].sum())} wrong" for name, c in
                 (("before", counts.sum(axis=1)), ("after", counts.sum(axis=0))))  # fmt: skip


def cut(sample: Sample, people: People, framed: People, refiner: Refiner) -> Image:
    """Draw a person, and cut a square around the wrong pose."""
    low, high = framed.boxes()[0, :2], framed.boxes()[0, 2:]
    side = 1.3 * max((high - low).max(), 16)
    scale = SIDE / side
    shift = (SIDE - 1) / 2 - scale * (low + high) / 2
    image = cv2.warpAffine(sample.image_bgr, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (SIDE, SIDE))
    placed = np.where(people.visible[..., None], people.keypoints * scale + shift, 0).astype(np.float32)
    return draw(image, people.with_keypoints(placed), refiner.skeleton, STYLE)


if __name__ == "__main__":
    main()
