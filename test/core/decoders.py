"""What every decoder is held to."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from pose_ros.decoder import Decoder
from pose_ros.fields import Fields
from pose_ros.people import People


def assert_same(a: People, b: People, px: float = 1e-3) -> None:
    """The same people in the same order, to ``px`` and a thousandth of a score."""
    assert len(a) == len(b)
    assert np.array_equal(a.visible, b.visible)
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=px)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)
    np.testing.assert_allclose(a.person_scores, b.person_scores, atol=1e-3)


def assert_shareable(decoder: Decoder, jobs: Sequence[Fields]) -> None:
    """Four threads on one decoder get what one thread gets."""
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
