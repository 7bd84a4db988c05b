#!/usr/bin/env python3
"""List what is missing for a release: addresses that only a published repository has, dates, and versions that differ.

docs/releases.md explains each.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
URL_TYPES = ("website", "repository", "bugtracker")


def find_leftovers(root: Path) -> list[str]:
    """Return one line for each thing to fill in, in the order of docs/releases.md."""
    manifest = ElementTree.parse(root / "package.xml").getroot()
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.rst").read_text(encoding="utf-8")
    version = manifest.findtext("version") or ""
    given = {url.get("type"): (url.text or "").strip() for url in manifest.findall("url")}
    lines = [f"package.xml: expected <url type={kind!r}>, got none" for kind in URL_TYPES if not given.get(kind)]
    maintainer = manifest.find("maintainer")
    address = "" if maintainer is None else maintainer.get("email", "")
    if "noreply" in address or not address:
        lines.append(f"package.xml: expected an address of the maintainer that receives mail, got {address}")
    lines += [
        f"CITATION.cff: expected {field}, got none"
        for field in ("repository-code", "date-released")
        if not re.search(rf"^{field}: \S", citation, re.M)
    ]
    cited = re.search(r"^version: (.*)$", citation, re.M)
    if cited is None or cited[1] != version:
        lines.append(f"CITATION.cff: expected version {version}, got {cited[1] if cited else 'none'}")
    heading = re.search(r"^(Forthcoming|\d+\.\d+\.\d+)\b.*\n-+$", changelog, re.M)
    if heading is None or heading[1] != version:
        lines.append(f"CHANGELOG.rst: expected {version} as the first section, got {heading[1] if heading else 'none'}")
    return lines


def main() -> int:
    """Print the leftovers. Returns the exit status: 1 = something is missing."""
    leftovers = find_leftovers(ROOT)
    print("\n".join(leftovers) or ElementTree.parse(ROOT / "package.xml").findtext("version"))
    return 1 if leftovers else 0


if __name__ == "__main__":
    sys.exit(main())
