"""Compare the time of the matchings of PAFs: greedy, Hungarian, and partition without a time limit, with one thread.

The PAFs have noise, so that many links are wrong. Without noise, the greedy result is the optimum, and the solver has
nothing to do.

    python benchmarks/decode_partition.py
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import scene
from measure import median_ms, print_table

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import ModelSpec
from pose_ros.skeleton import OPENPOSE_18

PEOPLE = (1, 5, 20)
NOISE = 0.2
"""Standard deviation of the noise of the PAFs."""


def main() -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    spec, rows = ModelSpec("benchmark", OPENPOSE_18, stride=4), []
    for people in PEOPLE:
        clean, _ = scene.fields(people)
        noise = np.random.default_rng(people).normal(0, NOISE, clean.pafs.shape)
        fields = replace(clean, pafs=(clean.pafs + noise).astype(np.float32))
        times = {}
        for matching in ("greedy", "hungarian", "partition"):
            decoder = make_decoder(spec, "paf", DecoderConfig(matching=matching, partition_ms=0.0))
            times[matching] = median_ms(lambda run=decoder, fields=fields: run(fields), 10)
        ratio = times["partition"] / times["greedy"]
        rows.append((str(people), *(f"{ms:.2f}" for ms in times.values()), f"{ratio:.0f} x"))
    columns = ("people", "greedy, ms", "hungarian, ms", "partition, ms", "partition / greedy")
    print_table("PAF decode with noise, 92 x 164, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
