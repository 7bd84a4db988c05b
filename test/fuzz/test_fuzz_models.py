"""A small part of the fuzzing of model files. See ``fuzz_models.py`` for more."""

from __future__ import annotations

import pytest

for library in ("torch", "onnx", "flatbuffers"):
    pytest.importorskip(library)
import fuzz_models  # noqa: E402


def test_damaged_files_are_read_or_refused() -> None:
    report = fuzz_models.run(600)
    assert sum(report.outcomes.values()) == 600
    refused = {kind for kind, outcome in report.outcomes if outcome == "refused"}
    assert len(refused) == 10 and len(report.slowest) == 10
