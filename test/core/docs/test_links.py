"""Test that every relative link of the documentation leads somewhere, and that the site has every page."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from pages import PAGES, ROOT, anchors, links, name_of

DOCS = ROOT / "docs"
LATER = {"scale.md"}
"""Pages that may not exist yet. The site leaves them out."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        missing = not target.exists() and Path(path).name not in LATER
        if missing or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(f"{path}#{anchor}")
    assert wrong == []


def test_every_page_is_in_the_navigation() -> None:
    listed = {path for path, _ in links(DOCS / "index.md")}
    pages = {str(page.relative_to(DOCS)) for page in (*DOCS.rglob("*.md"), *DOCS.glob("api/*.rst"))}
    assert {page for page in pages if not page.startswith("_")} - {"index.md"} <= listed


def test_every_page_of_the_api_names_a_module() -> None:
    for page in DOCS.glob("api/*.rst"):
        modules = re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(), re.MULTILINE)
        assert modules and all((ROOT / f"{name.replace('.', '/')}.py").is_file() or package(name) for name in modules)


def package(name: str) -> bool:
    return (ROOT / name.replace(".", "/") / "__init__.py").is_file()


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("node", "(cli.md#csv)", "(cli.md#csv)"),
        ("node", "(../benchmarks/README.md#training)", "(_pages/benchmarks.md#training)"),
        ("tutorials/webcam", "(../../README.md#install)", "(../_pages/readme.md#install)"),
        ("_pages/readme", "(docs/demo.gif)", "(../demo.gif)"),
        ("_pages/default_model", "(../../docs/models.md#use)", "(../models.md#use)"),
        ("node", "x\n[a]: ../benchmarks/README.md#b", "x\n[a]: _pages/benchmarks.md#b"),
        ("training", "(../configs/finetune.yaml)", "(../configs/finetune.yaml)"),
        ("node", "(nothing.md)", ""),
        ("node", "(https://arxiv.org)", "(https://arxiv.org)"),
        ("node", "(#limits)", "(#limits)"),
    ],
)
def test_links_are_mended_for_the_site(conf: ModuleType, page: str, link: str, expected: str) -> None:
    assert conf.mend_links(page, f"see [x]{link}") == f"see [x]{expected}"


def test_the_lists_of_the_start_page_become_the_navigation(conf: ModuleType) -> None:
    text = conf.add_navigation(
        "# a\n\n## Start\n\n- [First](node.md): b\n- [Gone](gone.md)\n\n## Help\n\n- [H](cli.md)\n"
    )
    assert ":caption: Start\n\nFirst <node>\n```" in text and ":caption: Help\n\nH <cli>\n" in text
