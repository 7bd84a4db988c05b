"""Test that docs/catalogue.md has the models of the catalogue."""

from __future__ import annotations

from pathlib import Path

from pose_ros.models.catalogue import entries
from pose_ros.models.catalogue_page import make_page

PAGE = Path(__file__).parents[3] / "docs/catalogue.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == make_page(entries()), "run: python -m pose_ros.models.catalogue_page docs/catalogue.md"


def test_published_and_own_ap_have_columns_of_their_own() -> None:
    lines = make_page(entries()).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    columns = rows[0].index("published AP"), rows[0].index("our AP")
    found = {row[0]: [row[column] for column in columns] for row in rows[2:]}
    for entry in entries():
        published = [
            f"{result.ap:.1f} ({result.data.replace('COCO ', '')})" for result in entry.results if not result.is_ours
        ]
        ours = [f"{result.ap:.1f}" for result in entry.results if result.is_ours]
        assert found.pop(entry.name) == [(published or [""])[0], (ours or [""])[0]]
        assert [line for line in lines if line.startswith(f"- `{entry.name}`: ")] or not ours
    assert not found
