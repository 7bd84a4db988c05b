"""A small part of the fuzzing of decoders. See ``fuzz_fields.py`` for more."""

from __future__ import annotations

import fuzz_fields

from pose_ros.fields import GROUPING_HEADS


def test_any_fields_give_valid_people_or_an_error() -> None:
    report = fuzz_fields.run(200)
    assert sum(report.outcomes.values()) == 200
    for grouping in GROUPING_HEADS:
        assert report.outcomes[grouping, "people"] and report.outcomes[grouping, "refused"], grouping
