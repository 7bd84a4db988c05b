"""Fixture of the tests of the program."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def load_the_default_model_once(share_default_network: None) -> None:
    """Load the default model once for all tests of the program."""
