"""Configure Sphinx: the pages of docs/, the navigation of index.md, and the API from the docstrings.

Apart from the optional copy button, only extensions that rosdoc2 allows are used. The Markdown stays readable without
Sphinx.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

DOCS = Path(__file__).parent
ROOT = DOCS.parent
OUTSIDE = {
    "README.md": "readme.md",
    "benchmarks/README.md": "benchmarks.md",
    "pose_ros/models/default.md": "default_model.md",
    "CHANGELOG.rst": "changes.rst",
    "CONTRIBUTING.md": "contributing.md",
    "QUALITY_DECLARATION.md": "quality_declaration.md",
    "SECURITY.md": "security_policy.md",
}
"""Documents outside of docs/ that become pages of the site, and their names there."""
LINK = re.compile(r"(\]\(|^\[[^]\n]+\]: )(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(\)|$)", re.MULTILINE)
"""Link in the text, ``](page.md#anchor)``, or below the tables, ``[name]: page.md#anchor``."""

project = "pose_ros"
copyright = "pose_ros contributors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
if importlib.util.find_spec("sphinx_copybutton"):
    extensions.append("sphinx_copybutton")
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["requirements.txt"]
myst_heading_anchors = 4
highlight_language = "none"

autodoc_mock_imports = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo" if importlib.util.find_spec("furo") else "alabaster"
html_title = "pose_ros"
html_static_path = ["_static"]
html_css_files = ["wide.css"] if html_theme == "furo" else []
html_copy_source = False

if (ROOT / "package.xml").is_file():
    release = ElementTree.parse(ROOT / "package.xml").findtext("version") or ""
    (DOCS / "_pages").mkdir(exist_ok=True)
    for source, name in OUTSIDE.items():
        if (ROOT / source).is_file():
            shutil.copy2(ROOT / source, DOCS / "_pages" / name)


def original_path(page: str) -> Path:
    """Return the file that a page of the site was copied from, or the page itself."""
    copied = {f"_pages/{Path(name).stem}": ROOT / source for source, name in OUTSIDE.items()}
    return copied.get(page, DOCS / page)


def mend_links(page: str, text: str) -> str:
    """Lead links to documents outside of docs/ to their pages of the site. Other files can be downloaded."""
    folder, depth = original_path(page).parent, page.count("/")

    def mend(link: re.Match[str]) -> str:
        file = (folder / link[2]).resolve()
        outside = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else ""
        if outside in OUTSIDE and (DOCS / "_pages" / OUTSIDE[outside]).is_file():
            target = f"_pages/{OUTSIDE[outside]}"
        elif file.is_dir() or not file.exists() or (file.suffix == ".md" and not file.is_relative_to(DOCS)):
            return "]" if link[4] else ""  # not a page of the site. rosdoc2 copies docs/ alone
        elif file.is_relative_to(DOCS):
            target = str(file.relative_to(DOCS))
        else:
            target = f"../{outside}"
        return f"{link[1]}{'../' * depth}{target}{link[3] or ''}{link[4]}"

    return LINK.sub(mend, text)


def add_navigation(text: str) -> str:
    """Make each list of links on the start page a part of the navigation."""
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    for caption, body in zip(parts[::2], parts[1::2], strict=True):
        pages = re.findall(r"^- \[(.+?)\]\(([^)#:]+)\.(md|rst)\)", body, re.MULTILINE)
        here = [f"{title} <{page}>" for title, page, suffix in pages if (DOCS / f"{page}.{suffix}").is_file()]
        text += "\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(here) + "\n```\n"
    return text


def prepare_page(app: Any, page: str, content: list[str]) -> None:
    """Change the text of a page before Sphinx reads it."""
    if not original_path(page).name.endswith(".rst") and not (DOCS / f"{page}.rst").is_file():
        content[0] = mend_links(page, content[0])
    if page == "index":
        content[0] = add_navigation(content[0])


def setup(app: Any) -> None:
    """Register the change of pages."""
    app.connect("source-read", prepare_page)
