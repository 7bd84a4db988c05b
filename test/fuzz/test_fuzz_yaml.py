"""A small part of the fuzzing of YAML. See ``fuzz_yaml.py`` for more."""

from __future__ import annotations

import fuzz_yaml


def test_damaged_descriptions_are_read_or_refused() -> None:
    accepted, worst = fuzz_yaml.run(200)
    assert 0 < accepted < 200
    assert worst.megabytes < 100
