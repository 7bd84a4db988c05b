"""Recognise the usual spellings of keypoint names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pose_ros.skeleton import SKELETONS

_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_SYNONYMS = {
    "head_top": ("head", "top_head", "top_of_head"),
    "pelvis": ("mid_hip", "hip_center", "hip_centre"),
    "upper_neck": ("head_bottom",),
}
_SHORT = {"shoulder": "sho", "elbow": "elb", "wrist": "wri", "knee": "kne", "ankle": "ank"}
_KNOWN = {name for skeleton in SKELETONS.values() for name in skeleton.keypoint_names} | {*_SYNONYMS, "thorax"}


def normalise_names(names: Sequence[str]) -> tuple[str, ...]:
    """Convert keypoint names to those of this package.

    ``Left Shoulder``, ``leftShoulder``, ``LShoulder``, ``l_shoulder``, ``shoulder_left`` and ``lshoulder`` all become
    ``left_shoulder``. A name of an unknown keypoint becomes lower case with underscores, with its side in front. If
    two names mean the same keypoint, the usual name gets it, and the other one keeps its words.
    """
    plain = ["_".join(split_words(name)) for name in names]
    found = [_SPELLINGS.get(name.replace("_", ""), _move_side(name)) for name in plain]
    return tuple(name if found.count(new) > 1 and name != new else new for name, new in zip(plain, found, strict=True))


def split_words(name: object) -> list[str]:
    """Split a name into words in lower case: at spaces, punctuation and changes of case."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", str(name))
    return re.sub(r"[\W_]+", " ", apart).lower().split()


def _move_side(name: str) -> str:
    """Write out the side of a name and move it to the front."""
    words = name.split("_")
    if len(words) > 1 and words[0] in _SIDES:
        return "_".join([_SIDES[words[0]], *words[1:]])
    if len(words) > 1 and words[-1] in _SIDES:
        return "_".join([_SIDES[words[-1]], *words[:-1]])
    return name


def _list_spellings(name: str) -> list[str]:
    side, _, part = name.partition("_")
    if side not in _SIDES:
        return [name, *_SYNONYMS.get(name, ())]
    parts = [part, _SHORT.get(part, part)]
    return [text for end in (side, side[0]) for part in parts for text in (end + part, part + end)]


_SPELLINGS = {spelling.replace("_", ""): name for name in _KNOWN for spelling in _list_spellings(name)}
"""Keypoint name by spelling, without spaces and underscores."""
