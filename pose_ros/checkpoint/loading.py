"""A checkpoint becomes a network: read, recognised by its keys, converted, and loaded whole or not at all."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from pose_ros.checkpoint import own
from pose_ros.checkpoint.fill import fill
from pose_ros.checkpoint.publisher import Publisher, State, shapes_of
from pose_ros.checkpoint.reading import read_file, state_of
from pose_ros.network import zoo
from pose_ros.network.model import PoseNetwork


def publishers() -> Iterator[Publisher]:
    """All importers: every file of this folder that has a ``PUBLISHER``."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        publisher = getattr(import_module(f"pose_ros.checkpoint.{module.name}"), "PUBLISHER", None)
        if publisher is not None:
            yield publisher


def load_checkpoint(path: str | Path, network: str | None = None) -> PoseNetwork:
    """Load a checkpoint into its network, in evaluation mode on the CPU.

    Args:
        path: The file of a publisher that this package knows, or of ``save_checkpoint``.
        network: A name of ``zoo.networks()``, to say which network instead of telling it from the keys.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds code, is of no known publisher, or does not fit its network: the
            first missing, unexpected and mis-shaped keys are named.
    """
    path = Path(path)
    return from_content(read_file(path), path, network)


def from_content(content: Any, path: Path, network: str | None = None) -> PoseNetwork:
    """The network of what ``read_file`` has read; ``path`` names it in errors.

    Raises:
        ValueError: As ``load_checkpoint``.
    """
    if own.is_own(content):
        if network not in (None, content.get("network")):
            raise ValueError(f"checkpoint {path}: expected network {content.get('network')}, got {network}")
        return own.restored(content, path)
    return from_state(state_of(content, path), str(path), network)


def from_state(state: State, source: str, network: str | None = None) -> PoseNetwork:
    """The network of a publisher's state dict; ``source`` names it in errors.

    Raises:
        ValueError: If it is of no known publisher, or does not fit.
    """
    shapes, named = shapes_of(state), zoo.build(network) if network else None
    for publisher in publishers():
        with _damage_named(publisher, source):
            build = publisher.network(shapes)
            if build is None:
                continue
            told, converted = build(), publisher.convert(state)
        model = told if named is None else named
        with _other_network_named(model.spec.name, told.spec.name):
            fill(model, converted, f"{source} ({publisher.name}, {model.spec.name})")
        return model
    if named is None:
        known = ", ".join(publisher.name for publisher in publishers())
        raise ValueError(
            f"checkpoint {source}: expected the keys of {known}, got {', '.join(list(state)[:4])}, …; "
            "name its network with --network if it is one of ours"
        )
    fill(named, state, f"{source} ({named.spec.name})")
    return named


@contextmanager
def _damage_named(publisher: Publisher, source: str) -> Iterator[None]:
    """A damaged file may have a publisher's keys and other shapes: whatever its importer makes of them is told."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint {source}: expected the weights of {publisher.name}, got: {error}") from error


@contextmanager
def _other_network_named(wanted: str, told: str) -> Iterator[None]:
    """Weights that do not fit the network that was asked for: say whose they are."""
    try:
        yield
    except ValueError as error:
        if wanted == told:
            raise
        raise ValueError(f"{error}; by its keys it is a checkpoint of {told}") from error
