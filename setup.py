"""Read the version and the addresses for pip from package.xml. All other settings are in pyproject.toml."""

import re
from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^][]*)\]\((?!https?://|#)(?P<target>[^)]+)\)")


def make_long_description(readme: str, repository: str | None, version: str) -> str:
    """Replace the relative links of the README, which lead nowhere outside the repository.

    Args:
        readme: Text with links relative to the root of the repository.
        repository: Address of the repository. None = not published: each link becomes its text, images are left out.
        version: Version of the package. The links lead to the tag of this name.
    """

    def replace(link: re.Match[str]) -> str:
        if not repository:
            return "" if link["image"] else link["text"]
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({repository}/{kind}/{version}/{link['target']})"

    return LINK.sub(replace, readme)


if __name__ == "__main__":
    manifest = ElementTree.parse(ROOT / "package.xml")
    version = manifest.findtext("version") or ""
    urls = {url.get("type", "website").capitalize(): url.text or "" for url in manifest.findall("url")}
    # docker/ installs the dependencies alone, without the README.
    readme = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").is_file() else ""
    setup(
        version=version,
        long_description=make_long_description(readme, urls.get("Repository"), version),
        long_description_content_type="text/markdown",
        project_urls=urls,
    )
