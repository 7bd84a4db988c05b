"""Fuzz the decoders: ``python test/fuzz/fuzz_fields.py 100000``.

A hostile network outputs any fields: NaN, infinity, huge numbers, ties, noise, other types, shapes and missing heads.
A decoder may raise ValueError. Otherwise it returns finite people within its limits, and leaves the fields unchanged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from costs import measure

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import (
    GROUPING_HEADS,
    OPTIONAL_HEADS,
    PERSON_FIELDS,
    SNAPPING,
    Fields,
    HeadSpec,
    ModelSpec,
)
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

SKELETONS = (COCO_17, OPENPOSE_18, Skeleton("one", ("nose",), ()), Skeleton("two", ("a", "b"), ((0, 1),)))
EXTREMES = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -0.0, 1.0, 0.5, -1.0, 1e6)
DTYPES = (np.float32, np.float32, np.float64, np.float16, np.int32, np.uint8)


@dataclass
class Report:
    """Results of a run.

    Attributes:
        outcomes: Number of images by grouping and outcome.
        slowest: By grouping, the highest time of the processor, s, and the number of the image.
        largest: By grouping, the highest memory, MB, and the number of the image.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    largest: dict[str, tuple[float, int]] = field(default_factory=dict)


def channels_of(name: str, spec: ModelSpec) -> int:
    """Return the number of channels of a field."""
    keypoints, limbs = len(spec.skeleton), len(spec.limbs)
    known = {"pafs": 2 * limbs, "mid_offsets": 4 * limbs, "segmentation": 1, "centres": 1, "heatmap_offsets": 2}
    known |= dict.fromkeys(("centre_offsets", "sizes"), 2)
    known |= {"people": 3 * keypoints, "person_scores": 1, "boxes": 4}
    known |= dict.fromkeys(("short_offsets", "long_offsets", "keypoint_offsets"), 2 * keypoints)
    return known.get(name, keypoints)


def make_field(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Make an array of noise, ties, one number, or a few extreme numbers."""
    scale = float(10 ** rng.uniform(-3, 6 if rng.random() < 0.2 else 1))
    kind = rng.integers(5)
    if kind == 0:
        array = rng.normal(0, scale, shape)
    elif kind == 1:
        array = rng.integers(0, 3, shape) * scale
    elif kind == 2:
        array = np.full(shape, rng.choice(EXTREMES))
    else:
        array = np.where(rng.random(shape) < 0.05, rng.random(shape), 0)
    if rng.random() < 0.3:
        array = np.where(rng.random(shape) < rng.choice((0.01, 0.5)), rng.choice(EXTREMES, shape), array)
    with np.errstate(all="ignore"):
        array = array.astype(rng.choice(DTYPES))
    return np.asfortranarray(array) if rng.random() < 0.1 else array


def make_config(rng: np.random.Generator) -> DecoderConfig:
    """Make settings, each at its default, at an end of its range, or between."""
    changes: dict[str, Any] = {}
    for one in fields(DecoderConfig):
        if rng.random() < 0.8:
            continue
        low, high, choices = (one.metadata[name] for name in ("low", "high", "choices"))
        if choices:
            changes[one.name] = str(rng.choice(choices))
        elif isinstance(one.default, bool):
            changes[one.name] = bool(rng.integers(2))
        else:
            value = rng.choice((low, high, low + (high - low) * rng.random() ** 3))
            changes[one.name] = type(one.default)(value)
    changes["dark_kernel"] = changes.get("dark_kernel", 11) | 1
    return DecoderConfig(**changes)


def make_case(number: int, seed: int) -> tuple[str, ModelSpec, DecoderConfig, Fields]:
    """Make the fields of a number: always the same ones."""
    rng = np.random.default_rng((seed, number))
    grouping = tuple(GROUPING_HEADS)[number % len(GROUPING_HEADS)]
    names = [*GROUPING_HEADS[grouping], *(n for n in OPTIONAL_HEADS.get(grouping, ()) if rng.random() < 0.5)]
    if grouping != "direct":
        names += [
            n for n in ("heatmap_offsets", "centres", "keypoint_offsets") if n not in names and rng.random() < 0.2
        ]
    skeleton = SKELETONS[rng.choice(4, p=(0.4, 0.4, 0.1, 0.1))]
    heads = tuple(HeadSpec(name, name, "NCP" if name in PERSON_FIELDS else "NCHW") for name in names)
    stride, origin = float(rng.choice((1, 4, 8, 1024, 0.01))), float(rng.choice((0, 3.5, -8192)))
    spec = ModelSpec("fuzz", skeleton, stride, origin, heads=heads, grouping=grouping)
    spec = replace(spec, snapping=str(rng.choice(SNAPPING)))
    rows, columns = (int(side) for side in rng.integers(1, 20, 2))
    places = (rows * columns,) if grouping == "direct" else (rows, columns)
    arrays = {name: make_field((channels_of(name, spec), *places), rng) for name in names}
    if rng.random() < 0.1:
        name = str(rng.choice(names))
        arrays[name] = make_field(tuple(int(side) for side in rng.integers(0, 40, rng.integers(1, 5))), rng)
    if rng.random() < 0.03:
        del arrays[str(rng.choice(names))]
    return grouping, spec, make_config(rng), Fields(**arrays)


def check(people: People, spec: ModelSpec, config: DecoderConfig) -> None:
    """Check what every decoder promises.

    Raises:
        AssertionError: If the people break it.
    """
    count = len(people)
    assert count <= config.most_people and people.keypoints.shape == (count, len(spec.skeleton), 2)
    for array in (people.keypoints, people.scores, people.person_scores):
        assert np.isfinite(array).all()
    assert (people.scores >= 0).all() and (people.scores <= 1).all()
    assert (people.keypoints[people.scores == 0] == 0).all()
    assert (np.diff(people.person_scores) <= 0).all()


def run(count: int, seed: int = 0, first: int = 0) -> Report:
    """Try a number of fields.

    Args:
        count: Number of images.
        seed: Start of the random numbers.
        first: Number of the first image.
    """
    report = Report()
    for number in range(first, first + count):
        grouping, spec, config, given = make_case(number, seed)
        outcome = [""]
        before = {name: array.tobytes() for name, array in vars(given).items() if array is not None}

        def call(spec: ModelSpec = spec, given: Fields = given, outcome: list[str] = outcome) -> None:
            try:
                people = make_decoder(spec, config=config)(given)  # noqa: B023 - called at once
            except ValueError:
                outcome[0] = "refused"
            else:
                outcome[0] = "people" if len(people) else "nobody"
                check(people, spec, config)  # noqa: B023

        try:
            cost = measure(call)
        except Exception as error:
            raise AssertionError(f"image {number} of seed {seed}, {grouping}: {error!r}") from error
        assert before == {name: array.tobytes() for name, array in vars(given).items() if array is not None}, number
        report.outcomes[grouping, outcome[0]] += 1
        report.slowest[grouping] = max(report.slowest.get(grouping, (0.0, 0)), (cost.seconds, number))
        report.largest[grouping] = max(report.largest.get(grouping, (0.0, 0)), (cost.megabytes, number))
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the decoders.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    result = run(options.count, options.seed, options.first)
    for kind in sorted(result.slowest):
        counts = ", ".join(f"{name} {result.outcomes[kind, name]}" for name in ("people", "nobody", "refused"))
        (seconds, slow), (megabytes, large) = result.slowest[kind], result.largest[kind]
        print(f"{kind:10} {counts}  {seconds:.2f} s #{slow}  {megabytes:.0f} MB #{large}")
