"""A small part of the fuzzing of images. See ``fuzz_images.py`` for more."""

from __future__ import annotations

import fuzz_images
import pytest


def test_damaged_images_are_decoded_or_refused_within_the_limits(capfd: pytest.CaptureFixture[str]) -> None:
    report = fuzz_images.run(1000)
    kinds = {kind for kind, outcome in report.outcomes if outcome == "decoded"}
    assert kinds >= {"png", "jpeg", "tiff", "webp", "bmp", "netpbm"}
    assert sum(report.outcomes.values()) == 1000
    assert max(megabytes for megabytes, _ in report.largest.values()) < 2 * fuzz_images.LIMIT_MB + 50
    assert capfd.readouterr().err == ""
