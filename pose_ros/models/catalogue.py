"""The catalogue of public models: what each is, where its publisher offers it, and under which licence.

It stands in ``models/catalogue.yaml``. Nothing in it was measured by us; AP and speed are the publishers' own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pose_ros.config_file import build_config
from pose_ros.fields import GROUPING_HEADS
from pose_ros.files import user_cache

FILE = Path(__file__).with_name("catalogue.yaml")
COMMERCIAL = ("yes", "no", "unclear")
NOT_PINNED = "not pinned"
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{8,64}|md5:[0-9a-f]{32}")


@dataclass(frozen=True)
class PublishedResult:
    """An accuracy that the publisher states.

    Attributes:
        ap: Average precision of COCO keypoints, percent.
        data: The images.
        test: How they were shown: scales, flip, what ran before or after the network.
    """

    ap: float
    data: str
    test: str = ""


@dataclass(frozen=True)
class Entry:
    """One public model.

    Attributes:
        name: Its name here.
        network: The network that its weights fill, a name of ``network/zoo.py``.
        grouping: How its people are formed, a key of ``fields.GROUPING_HEADS``.
        skeleton: Its keypoints, a name of ``skeleton.SKELETONS``.
        input: The size of image that it was published with.
        paper: Title.
        publisher: Its repository.
        code_licence: Licence of the publisher's code, of which nothing is used here.
        weights_licence: Licence of the weights; the repository's where the publisher states no other.
        commercial: Whether the weights may be used commercially: "yes", "no" or "unclear".
        file: Name of the file as published.
        arxiv: Number of the paper.
        url: Where a program can fetch the file; empty where only a person can.
        page: Where a person can.
        checksum: ``sha256:`` or ``md5:`` and hexadecimal digits, or ``not pinned`` where the publisher gives none and
            we have not had the file. At least the first 8 digits of a SHA-256.
        size_mb: Size of the file, MB; 0 where unknown.
        results: What accuracy the publisher states.
        speed: What speed the publisher states, and on what.
        note: What else to know.
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
            self._fail("name", "small letters, digits and _", self.name)
        if Path(self.file).name != self.file or self.file.startswith("."):
            self._fail("file", "the name of a file", self.file)
        for name, choices in {"grouping": tuple(GROUPING_HEADS), "commercial": COMMERCIAL}.items():
            if getattr(self, name) not in choices:
                self._fail(name, f"one of {', '.join(choices)}", getattr(self, name))
        if self.checksum != NOT_PINNED and not _CHECKSUM.fullmatch(self.checksum):
            self._fail("checksum", f"sha256:… or md5:… in small hexadecimal digits, or {NOT_PINNED!r}", self.checksum)
        if self.url and not self.url.startswith(("https://", "http://")):
            self._fail("url", "https://… or http://…", self.url)

    @property
    def is_ours(self) -> bool:
        """Whether its file comes with this package."""
        return not self.url and not self.page

    @property
    def path(self) -> Path:
        """Where its file lies, or will lie once it is fetched."""
        return FILE.parent / self.file if self.is_ours else user_cache("models") / self.name / self.file

    def _fail(self, field: str, expected: str, got: object) -> None:
        raise ValueError(f"{self.name}.{field}: expected {expected}, got {got!r}")


@cache
def entries(file: Path = FILE) -> tuple[Entry, ...]:
    """All entries, in the order of the file: the default model first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a valid catalogue; the entry and its fault are named.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"catalogue {file}: expected YAML, got: {error}") from error
    if not isinstance(data, list):
        raise ValueError(f"catalogue {file}: expected a list of entries, got {type(data).__name__}")
    try:
        found = tuple(build_config(Entry, entry, _name(entry, number)) for number, entry in enumerate(data, 1))
    except (ValueError, TypeError) as error:
        raise ValueError(f"catalogue {file}: {error}") from error
    names = [entry.name for entry in found]
    if len(set(names)) < len(names):
        raise ValueError(f"catalogue {file}: expected each name once, got {sorted(names)}")
    return found


def find(name: str, file: Path = FILE) -> Entry:
    """The entry of a name.

    Raises:
        ValueError: If there is none; the nearest names are given.
    """
    known = {entry.name: entry for entry in entries(file)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        raise ValueError(f"model: expected a name such as {', '.join(near)}, got {name!r}")
    return known[name]


def _name(entry: Any, number: int) -> str:
    return str(entry.get("name", f"entry {number}")) if isinstance(entry, Mapping) else f"entry {number}"
