"""Shared fixture of the fuzz tests."""

from __future__ import annotations

import costs
import pytest


@pytest.fixture(autouse=True)
def count_memory_of_this_test() -> None:
    """Count the memory of each test alone."""
    costs.start()
