"""Find given parameters that the node does not use: misspelt names, and files for other nodes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rclpy.node import Node

from pose_ros.yaml_text import read_yaml

_PARAMETERS = "ros__parameters"
_LISTED = 5


_OF_ROS = ("bond_disable_heartbeat_timeout", "start_type_description_service")
"""Parameters that the libraries of some ROS versions declare, and others do not."""


def find_unknown_parameters(node: Node, former_names: Collection[str] = ()) -> Iterator[str]:
    """Describe each given parameter that the node has not declared, with the nearest name.

    Args:
        node: Node that has declared all its parameters.
        former_names: Names that are accepted although they are not declared.
    """
    declared = list(node.get_parameters_by_prefix(""))
    for name in getattr(node, "_parameter_overrides", ()):  # rclpy has no public way to list them
        if not node.has_parameter(name) and name not in (*former_names, *_OF_ROS):
            yield f"parameter {name}: expected a parameter of this node, got an unknown name{_hint(name, declared)}"


def find_unused_files(node: Node, arguments: Sequence[str]) -> Iterator[str]:
    """Describe each parameter file on the command line that has no section for this node.

    Args:
        node: The node.
        arguments: Command line with ROS arguments.
    """
    own = node.get_fully_qualified_name()
    for option, path in pairwise(arguments):
        if option != "--params-file":
            continue
        sections = list(_find_sections(_read_yaml(Path(path))))
        if not sections or any(_matches(section, own) for section in sections):
            continue
        listed = ", ".join(sections[:_LISTED])
        yield (
            f"{path}: expected a section {own} or /**, got only sections of other nodes ({listed}); this node uses "
            f"nothing of this file{_renaming(own, sections)}"
        )


def _read_yaml(path: Path) -> Any:
    try:
        return read_yaml(path, "parameters")
    except (OSError, ValueError):  # rcl has read the file already, and reports what is wrong
        return None


def _find_sections(data: Any, name: str = "") -> Iterator[str]:
    """Yield the names of the nodes in a parameter file. Namespaces may be nested."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key == _PARAMETERS:
                yield name
            else:
                yield from _find_sections(value, f"{name}/{str(key).lstrip('/')}")


def _matches(section: str, own: str) -> bool:
    """Return whether a section applies to a node: ``*`` is one name, ``**`` is any number of names."""
    pattern = re.escape(section).replace(r"/\*\*", "(/[^/]+)*").replace(r"\*", "[^/]+")
    return re.fullmatch(pattern, own) is not None


def _renaming(own: str, sections: Collection[str]) -> str:
    near = difflib.get_close_matches(own, sections, n=1)
    return f"; rename {near[0]} to {own}" if near else ""


def _hint(name: str, known: Collection[str]) -> str:
    """Suggest the nearest names. The same name in another group is the nearest."""
    last = name.rpartition(".")[2]
    near = [each for each in known if each.rpartition(".")[2] == last] or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {' or '.join(near[:_LISTED])}?" if near else ""
