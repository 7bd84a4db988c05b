"""Test the quick ones of the inputs that failed once. ``python test/cases.py`` runs all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import CASES, Case, Outcome
from cli_runner import run

pytestmark = pytest.mark.usefixtures("share_default_network")
QUICK = [case for case in CASES if case.is_quick]


@pytest.mark.parametrize("case", QUICK, ids=[case.name for case in QUICK])
def test_a_case_has_the_right_value(case: Case, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.make is not None:
        case.make(tmp_path)
    monkeypatch.chdir(shared / "cases" / case.folder if case.folder else tmp_path)
    result = run(
        *case.arguments(tmp_path), *(["--short-side", "64"] if case.command.startswith(("bag", "video")) else [])
    )
    outcome = Outcome(result.exit_code, result.output, tmp_path)
    assert case.is_right(outcome), f"expected {case.right}, got exit code {outcome.code} and {outcome.text}"
