"""Read the catalogue of public models: facts about each model, where to download it, and its licence.

The catalogue is ``models/catalogue.yaml``. AP and speed are the publishers' figures, except AP on 143 images of COCO
val2017, which we measured.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pose_ros.config_file import build_config
from pose_ros.fields import GROUPING_HEADS
from pose_ros.files import user_cache
from pose_ros.yaml_text import read_yaml

FILE = Path(__file__).with_name("catalogue.yaml")
COMMERCIAL = ("yes", "no", "unclear")
NOT_PINNED = "not pinned"
OURS = "143 images of COCO val2017"
"""Images that this package measures on."""
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{8,64}|md5:[0-9a-f]{32}")


@dataclass(frozen=True)
class PublishedResult:
    """Accuracy that the publisher states, or that we measured on 143 images of COCO val2017.

    Attributes:
        ap: Average precision of COCO keypoints, percent.
        data: Images of the test.
        test: Test method: scales, flip, and programs before or after the network.
    """

    ap: float
    data: str
    test: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether this package has measured it."""
        return self.data == OURS


@dataclass(frozen=True)
class Entry:
    """One public model.

    Attributes:
        name: Name of the model in this package.
        network: Network of the weights, a name of ``network/zoo.py``.
        grouping: Grouping of keypoints into people, a key of ``fields.GROUPING_HEADS``.
        skeleton: Skeleton of the model, a name of ``skeleton.SKELETONS``.
        input: Image size of the publication.
        paper: Title of the paper.
        publisher: Repository of the publisher.
        code_licence: Licence of the publisher's code. This package uses none of it.
        weights_licence: Licence of the weights, or that of the repository if the publisher states no other.
        commercial: Whether commercial use of the weights is permitted: "yes", "no" or "unclear".
        file: Name of the published file.
        arxiv: arXiv number of the paper.
        url: Address for download by a program. Empty = only in a browser.
        page: Web page for download in a browser.
        checksum: ``sha256:`` or ``md5:`` and hexadecimal digits, or ``not pinned`` if the publisher states none and
            we do not have the file. At least the first 8 digits of a SHA-256.
        size_mb: Size of the file, MB. 0 = unknown.
        results: Accuracy.
        speed: Speed that the publisher states, with the hardware.
        note: Further information.
    """

    name: str
    network: str
    grouping: str
    skeleton: str
    input: str
    paper: str
    publisher: str
    code_licence: str
    weights_licence: str
    commercial: str
    file: str
    arxiv: str = ""
    url: str = ""
    page: str = ""
    checksum: str = NOT_PINNED
    size_mb: float = 0.0
    results: tuple[PublishedResult, ...] = ()
    speed: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            self._fail("name", "lower-case letters, digits and _", self.name)
        if Path(self.file).name != self.file or self.file.startswith("."):
            self._fail("file", "a file name without folders", self.file)
        for name, choices in {"grouping": tuple(GROUPING_HEADS), "commercial": COMMERCIAL}.items():
            if getattr(self, name) not in choices:
                self._fail(name, f"one of {', '.join(choices)}", getattr(self, name))
        if self.checksum != NOT_PINNED and not _CHECKSUM.fullmatch(self.checksum):
            self._fail("checksum", f"sha256:… or md5:… in lower-case hexadecimal, or {NOT_PINNED!r}", self.checksum)
        if self.url and not self.url.startswith(("https://", "http://")):
            self._fail("url", "https://… or http://…", self.url)

    @property
    def is_ours(self) -> bool:
        """Whether the file is part of this package."""
        return not self.url and not self.page

    @property
    def path(self) -> Path:
        """Path of the file, also before its download."""
        return FILE.parent / self.file if self.is_ours else user_cache("models") / self.name / self.file

    @property
    def published(self) -> PublishedResult | None:
        """First result that the publisher states."""
        return next((result for result in self.results if not result.is_ours), None)

    @property
    def measured(self) -> PublishedResult | None:
        """First result that this package has measured."""
        return next((result for result in self.results if result.is_ours), None)

    def _fail(self, field: str, expected: str, got: object) -> None:
        raise ValueError(f"{self.name}.{field}: expected {expected}, got {got!r}")


@cache
def entries(file: Path = FILE) -> tuple[Entry, ...]:
    """Read all entries, in the order of the file: the default model first.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the catalogue is invalid. The error names the entry and its fault.
    """
    data = read_yaml(file, "catalogue")
    if not isinstance(data, list):
        raise ValueError(f"catalogue {file}: expected a list of entries, got {type(data).__name__}")
    try:
        catalogue = tuple(build_config(Entry, entry, _name(entry, number)) for number, entry in enumerate(data, 1))
    except (ValueError, TypeError) as error:
        raise ValueError(f"catalogue {file}: {error}") from error
    names = [entry.name for entry in catalogue]
    if len(set(names)) < len(names):
        raise ValueError(f"catalogue {file}: expected each name once, got {sorted(names)}")
    return catalogue


def find(name: str, file: Path = FILE) -> Entry:
    """Find the entry of a name.

    Raises:
        ValueError: If no entry has the name. The error suggests the nearest names.
    """
    known = {entry.name: entry for entry in entries(file)}
    if name not in known:
        advice = "pose_ros models list shows all"
        raise ValueError(f"model: expected a name such as {', '.join(_near(name, known))}, got {name!r}; {advice}")
    return known[name]


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the names of the same family, else similar ones. The family is the word before the first underscore."""
    word = name.lower().replace("-", "_").partition("_")[0]
    family = difflib.get_close_matches(word, {each.partition("_")[0] for each in known}, n=1, cutoff=0.75)
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return [each for each in known if each.partition("_")[0] in family] or similar or list(known)


def _name(entry: Any, number: int) -> str:
    return str(entry.get("name", f"entry {number}")) if isinstance(entry, Mapping) else f"entry {number}"
