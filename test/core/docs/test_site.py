"""Build the site as ``make docs`` does. Skipped without Sphinx, which only ``make docs`` installs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

pytest.importorskip("sphinx", reason="needs Sphinx: pip install -r docs/requirements.txt")
pytest.importorskip("myst_parser")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-qW", "--keep-going", str(ROOT / "docs"), str(tmp_path / "site")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    pages = {str(page.relative_to(tmp_path / "site")): page for page in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "tutorials/keypoints.html", "api/estimator.html", "_pages/readme.html"} <= pages.keys()
    navigation = pages["index.html"].read_text(encoding="utf-8")
    assert all(part in navigation for part in ("Tutorials", "How-to", "Concepts", "Reference", "Help"))
    assert "PoseEstimator.load" in pages["api/estimator.html"].read_text(encoding="utf-8")
    if importlib.util.find_spec("sphinx_copybutton"):
        assert "copybutton.js" in navigation
    loaded = re.compile(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//')
    assert [name for name, page in pages.items() if loaded.search(page.read_text(encoding="utf-8"))] == []
