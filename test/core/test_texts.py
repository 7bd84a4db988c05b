"""Test that texts of unknown origin become one harmless line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pose_ros.texts import MAX_LINE, MAX_QUOTE, format_count, printable, quote

FORGED = "rgb8\n[INFO] [1.0] [pose_estimator]: all is well\x1b[2J\r\u202e\ud800\0"


def test_usual_texts_stay() -> None:
    for text in ("", "mono8", "Größe 3 · 图像", 'a "b" c'):
        assert printable(text) == text
    assert quote("16UC1") == "'16UC1'"
    assert quote("it's") == '"it\'s"'
    assert printable(ValueError("size: expected 3, got 4")) == "size: expected 3, got 4"


@pytest.mark.parametrize("make", [printable, quote])
@pytest.mark.parametrize("text", [FORGED, "x" * 10**6, FORGED * 10**4, "\x1b" * 10**6, "\n\n" + "ü" * 3000])
def test_other_texts_are_cut_and_escaped(make: Callable[[str], str], text: str) -> None:
    line = make(text)
    assert line.isprintable() and len(line.splitlines()) == 1
    assert len(line) <= 10 * (MAX_LINE if make is printable else MAX_QUOTE) + 40
    assert line.encode()
    if len(text) > MAX_LINE:
        assert line.endswith(f"… ({len(text)} characters)")


def test_a_noun_agrees_with_its_count() -> None:
    assert [format_count(count, "frame") for count in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [format_count(count, "person", "people") for count in (1, 3)] == ["1 person", "3 people"]
