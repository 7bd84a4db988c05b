"""Tell which topics of a bag may show people: images, and all messages that may hold an image in another form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pose_ros.media.recorded_message import COMPRESSED_IMAGE, IMAGE

COVERED_TYPES = (IMAGE, COMPRESSED_IMAGE)
"""Types in which heads can be covered."""
_HARMLESS = (
    *("rcl_interfaces/msg/ParameterEvent", "nav_msgs/msg/OccupancyGrid", "map_msgs/msg/OccupancyGridUpdate"),
    *("nav2_msgs/msg/Costmap", "nav2_msgs/msg/CostmapUpdate"),
)
"""Types with bytes that are no image."""
_BYTES = ("uint8", "int8", "byte", "char", "octet")
_NAMES = re.compile(r"image|video|ffmpeg|theora|h26[45]|jpeg|disparity|rgbd|depth|pointcloud|packet", re.IGNORECASE)
_FIELD = re.compile(r"^\s*([\w/]+)(<=\d+)?(\[[^\]]*\])?\s+\w+", re.MULTILINE)
_UNLIMITED = re.compile(r"\[(<=\d+)?\]")


def may_show_people(type_name: str, definition: str) -> bool:
    """Whether messages of a type may hold an image: by its name, or because it has a list of bytes.

    Args:
        type_name: Type, such as ``sensor_msgs/msg/PointCloud2``.
        definition: Definitions of the type and of all types in it. Empty = unknown, so it may.
    """
    if type_name in _HARMLESS:
        return False
    if type_name in COVERED_TYPES or _NAMES.search(type_name.rpartition("/")[2]) or not definition.strip():
        return True
    return any(is_list and kind in _BYTES for kind, is_list in _fields(definition)) or "sequence<" in definition


def _fields(definition: str) -> Iterator[tuple[str, bool]]:
    """Yield the type of each field, and whether it is a list of any length."""
    for found in _FIELD.finditer(definition):
        kind: Any = found[1].rpartition("/")[2]
        yield kind, found[3] is not None and _UNLIMITED.fullmatch(found[3]) is not None
