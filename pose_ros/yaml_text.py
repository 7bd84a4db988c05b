"""Read YAML from files and texts that may be hostile. The only place of the package that parses YAML.

A few bytes of YAML can stand for gigabytes: an alias repeats what its anchor names, and aliases may nest. Such a text
is small, and so is the loaded object, but every program that walks through it does not end. So the size with all
aliases replaced is limited, as are the text, the depth and the length of a number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pose_ros.files import is_file

MAX_TEXT = 2**20
"""Longest text, characters."""
MAX_NODES = 10_000
"""Most values of a text, with each alias replaced by its content."""
MAX_DEPTH = 50
_LONGEST_NUMBER = 400  # 1:59:59:… is a number, too: its computation is quadratic in its length
_TEXT_TAG = "tag:yaml.org,2002:str"


class BoundedLoader(yaml.SafeLoader):
    """Loader of plain data that counts what it composes.

    Raises:
        yaml.YAMLError: If a text exceeds the limits of this module, or contains itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one value."""
        start, is_alias = self._count, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if is_alias and node not in self._sizes:
            raise yaml.YAMLError("an alias within its own anchor")
        self._count += self._sizes[node] if is_alias else 1
        self._sizes.setdefault(node, self._count - start)
        if self._count > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values, with aliases replaced")
        if isinstance(node, yaml.ScalarNode) and node.tag != _TEXT_TAG and len(node.value) > _LONGEST_NUMBER:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters")
        return node


def parse_yaml(text: str, source: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Parse a YAML or JSON text into plain data.

    Args:
        text: The text.
        source: Name of the text, for errors.
        loader: Class that constructs the data.

    Raises:
        ValueError: If the text is not YAML, or exceeds the limits of this module.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"{source}: expected YAML of at most {MAX_TEXT} characters, got {len(text)}")
    try:
        return yaml.load(text, loader)
    except Exception as error:  # dates and tags with invalid values raise many types of errors
        raise ValueError(f"{source}: expected YAML, got: {' '.join(str(error).split())}") from error


def read_yaml(path: Path, name: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Read a YAML or JSON file as plain data.

    Args:
        path: The file.
        name: Name of the content, for errors.
        loader: Class that constructs the data.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not YAML, or exceeds the limits of this module.
    """
    return parse_yaml(read_yaml_text(path, name), f"{name} {path}", loader)


def read_yaml_text(path: Path, name: str) -> str:
    """Read the text of a YAML file without parsing it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not text, or too long.
    """
    if not is_file(path):
        raise FileNotFoundError(f"{name}: expected a YAML file, got {path}, which does not exist")
    if (size := path.stat().st_size) > 4 * MAX_TEXT:
        raise ValueError(f"{name}: expected a YAML file, got {path} of {size} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected a YAML file, got {path}, which is not text") from error
