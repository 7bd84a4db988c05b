"""All networks by name.

Every file of this folder that holds networks lists them in ``NETWORKS``: name to builder. A builder takes the skeleton
as its one argument; left out, it is the publisher's.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import torch

from pose_ros.network.model import PoseNetwork
from pose_ros.skeleton import Skeleton

Builder = Callable[..., PoseNetwork]


@cache
def networks() -> dict[str, Builder]:
    """Every network: its name and what builds it, with random weights."""
    found: dict[str, Builder] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        found |= getattr(import_module(f"pose_ros.network.{module.name}"), "NETWORKS", {})
    return dict(sorted(found.items()))


def build_random(name: str, seed: int = 0) -> PoseNetwork:
    """A network with the random weights of a seed, which says in its licence that it has none of anybody's.

    Raises:
        ValueError: If there is none of that name.
    """
    torch.manual_seed(seed)
    network = build(name)
    network.spec = replace(network.spec, licence="none: random weights")
    return network


def build(name: str, skeleton: Skeleton | None = None) -> PoseNetwork:
    """A network with random weights.

    Args:
        name: One of ``networks()``.
        skeleton: Keypoints and limbs of your own; None takes the publisher's.

    Raises:
        ValueError: If there is none of that name.
    """
    known = networks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        raise ValueError(f"network: expected a name such as {', '.join(near)}, got {name!r}")
    return known[name](skeleton) if skeleton is not None else known[name]()
