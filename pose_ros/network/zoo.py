"""Find and build all networks by name.

Every file of this folder with networks lists them in ``NETWORKS``, name to builder. A builder takes the skeleton as its
only argument. The default is the publisher's skeleton.
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
    """Return every network: its name, and the function that builds it with random weights."""
    builders: dict[str, Builder] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        builders |= getattr(import_module(f"pose_ros.network.{module.name}"), "NETWORKS", {})
    return dict(sorted(builders.items()))


def build_random(name: str, seed: int = 0) -> PoseNetwork:
    """Build a network with random weights from a seed. Its licence says that the weights are random.

    Raises:
        ValueError: If no network has that name.
    """
    torch.manual_seed(seed)
    network = build(name)
    network.spec = replace(network.spec, licence="none: random weights")
    return network


def build(name: str, skeleton: Skeleton | None = None) -> PoseNetwork:
    """Build a network with random weights.

    Args:
        name: Name of a network, a key of ``networks()``.
        skeleton: Keypoints and limbs to predict. None = the publisher's.

    Raises:
        ValueError: If no network has that name.
    """
    known = networks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        raise ValueError(f"network: expected a name such as {', '.join(near)}, got {name!r}")
    network = known[name](skeleton) if skeleton is not None else known[name]()
    network.zoo_name = name
    return network
