"""Measure CenterNet decoding of 128 x 128 fields of 17 keypoints, and single-person decoding of 17 x 64 x 48 fields.

All decoders run with one thread. cv2.dilate (5 x 5) and np.max on the same heatmaps are the references for a
comparison of machines. The published decoder of CenterNet (PyTorch on the CPU, max pooling and top 100) took 11 to
12 ms on a similar machine, for any number of people.

    python benchmarks/decode_centernet.py
"""

from __future__ import annotations

import cv2
import numpy as np
import scene
import scene_centernet
from decode import reference_ms
from measure import median_ms, print_table

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17
from pose_ros.training.targets.make import confidence_maps

LIMIT_MS, PUBLISHED_MS = 0.5, 11.4
PEOPLE = (1, 5, 10, 20, 30)
SPEC = ModelSpec("benchmark", COCO_17, stride=4)
SINGLES = {
    "none": DecoderConfig(subpixel="none"),
    "quadratic": DecoderConfig(subpixel="quadratic"),
    "dark": DecoderConfig(subpixel="dark"),
    "soft-argmax": DecoderConfig(soft_argmax=25.0),
}


def measure_centernet() -> None:
    """Measure crowds and print the table."""
    decoder, rows = make_decoder(SPEC, "centernet"), []
    dilate, read = reference_ms(scene_centernet.fields(PEOPLE[0])[0].heatmaps)
    for people in PEOPLE:
        fields, _ = scene_centernet.fields(people)
        found = len(decoder(fields))
        if found != people:
            raise RuntimeError(f"people: expected {people}, got {found}; the time is not valid")
        ours = median_ms(lambda fields=fields: decoder(fields), 300)
        ratios = f"{PUBLISHED_MS / ours:.0f} x", f"{ours / dilate:.2f}", f"{ours / read:.1f}"
        rows.append((str(people), f"{ours:.3f}", f"{LIMIT_MS}", *ratios))
    columns = (
        "people",
        "pose_ros, ms",
        "limit, ms",
        f"speed-up over {PUBLISHED_MS} ms",
        f"of cv2.dilate ({dilate:.3f} ms)",
        f"of np.max ({read:.3f} ms)",
    )
    print_table("CenterNet decode, 128 x 128, 17 keypoints, one thread, medians", columns, rows)


def measure_single() -> None:
    """Measure every subpixel refinement on one crop and print the table."""
    keypoints = scene.crowd(1, (64, 48))[:, :17]
    fields = Fields(heatmaps=confidence_maps(keypoints, np.ones(keypoints.shape[:2], bool), (64, 48), 2.0))
    (dilate, read), rows = reference_ms(fields.heatmaps), []
    for name, config in SINGLES.items():
        decoder = make_decoder(SPEC, "single", config)
        error = np.linalg.norm(decoder(fields).keypoints / SPEC.stride - keypoints, axis=2)
        ours = median_ms(lambda decoder=decoder: decoder(fields), 300)
        rows.append((name, f"{ours:.3f}", f"{ours / dilate:.2f}", f"{ours / read:.1f}", f"{np.median(error):.3f}"))
    references = (f"of cv2.dilate ({dilate:.3f} ms)", f"of np.max ({read:.3f} ms)")
    columns = ("refinement", "pose_ros, ms", *references, "median error, cells")
    print_table("Single-person decode, 17 x 64 x 48, one thread, medians", columns, rows)


def main() -> None:
    """Measure both decoders."""
    cv2.setNumThreads(1)
    measure_centernet()
    measure_single()


if __name__ == "__main__":
    main()
