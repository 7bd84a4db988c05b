"""Test that docs/catalogue.md has the models of the catalogue."""

from __future__ import annotations

from pathlib import Path

from pose_ros.models.catalogue import entries
from pose_ros.models.catalogue_page import make_page

PAGE = Path(__file__).parents[3] / "docs/catalogue.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == make_page(entries()), "run: python -m pose_ros.models.catalogue_page docs/catalogue.md"


def test_our_measurements_are_separate() -> None:
    published, ours = make_page(entries()).split("## Our measurements")
    for entry in entries():
        assert f"| {entry.name} |" in published
        assert (f"| {entry.name} |" in ours) == any(result.is_ours for result in entry.results)
