"""Read the documentation: its pages, anchors, links and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tutorials/*.md")}
    | {ROOT / "benchmarks/README.md", ROOT / "pose_ros/models/default.md", ROOT / "test/mutants/README.md"}
)
_FENCE = re.compile(r"^(?:<!-- (?P<note>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:^\n|\A)((?:^ {4,}\S.*\n|^\n(?= {4}))+)", re.MULTILINE)
_LINK = re.compile(r"(?:\]\(|^\[[^]]+\]: )(?!https?:|mailto:)([^)\s#]*)(#[^)\s]*)?(?:\)|$)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Block of code.

    Attributes:
        language: Language after the fence. Empty = an indented block.
        text: The code.
        note: Comment before the block, for the tests: ``not run: REASON`` or ``run with: NEW instead of OLD``.
        file: Name after "Save this as" in the paragraph before the block. Empty = none.
    """

    language: str
    text: str
    note: str = ""
    file: str = ""


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return str(page.relative_to(ROOT))


def fenced_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text, blocks = page.read_text(encoding="utf-8"), []
    for match in _FENCE.finditer(text):
        file = re.search(r"Save this as `(\S+)`", text[: match.start()].rstrip().rpartition("\n\n")[2])
        blocks.append(Block(match["language"], match["text"], match["note"] or "", file[1] if file else ""))
    return blocks


def shell_lines(page: Path) -> Iterator[str]:
    """Yield the lines of the shell and indented blocks of a page, without comments and with continued lines joined."""
    text = page.read_text(encoding="utf-8")
    blocks = [block.text for block in fenced_blocks(page) if block.language == "sh"]
    blocks += _INDENTED.findall(_FENCE.sub("", text))
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield line.partition(" # ")[0].strip()


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield path and anchor of each relative link of a page, outside of code."""
    text = _INDENTED.sub("\n", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
        yield match[1], (match[2] or "").lstrip("#")


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(name for n in range(99) if (name := f"{slug}-{n}" if n else slug) not in found))
    return found
