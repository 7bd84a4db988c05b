"""Checks that every decoder must pass."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from pose_ros.decoder import Decoder
from pose_ros.fields import Fields
from pose_ros.people import People


def assert_same(a: People, b: People, px: float = 1e-3) -> None:
    """Check for the same people in the same order, within ``px`` pixels and 0.001 of a score."""
    assert len(a) == len(b)
    assert np.array_equal(a.visible, b.visible)
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=px)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)
    np.testing.assert_allclose(a.person_scores, b.person_scores, atol=1e-3)


def assert_shareable(decoder: Decoder, jobs: Sequence[Fields]) -> None:
    """Check that four threads on one decoder get the same results as one thread."""
    expected = [decoder(job) for job in jobs]
    failures: list[int] = []

    def work() -> None:
        for _ in range(20):
            for index, (job, people) in enumerate(zip(jobs, expected, strict=True)):
                if not np.array_equal(decoder(job).keypoints, people.keypoints):
                    failures.append(index)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def variants(array: np.ndarray) -> dict[str, np.ndarray]:
    """Return a field, rounded to float16, in several types and memory layouts."""
    large = np.zeros((array.shape[0], 2 * array.shape[1], 2 * array.shape[2]), np.float32)
    large[:, ::2, ::2] = array
    return {
        "float16": array.astype(np.float16),
        "float32 of float16": array.astype(np.float16).astype(np.float32),
        "float64 of float16": array.astype(np.float16).astype(np.float64),
        "every other cell": large.astype(np.float16).astype(np.float32)[:, ::2, ::2],
        "channels last": np.ascontiguousarray(array.astype(np.float16).transpose(1, 2, 0)).transpose(2, 0, 1),
        "Fortran order": np.asfortranarray(array.astype(np.float16)),
    }
