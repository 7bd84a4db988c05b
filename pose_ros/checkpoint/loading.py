"""Load a checkpoint as a network: read the file, identify it by its keys, convert it, and fill the network."""

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
    """Yield all importers: the ``PUBLISHER`` of every file of this folder that has one."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        publisher = getattr(import_module(f"pose_ros.checkpoint.{module.name}"), "PUBLISHER", None)
        if publisher is not None:
            yield publisher


def load_checkpoint(path: str | Path, network: str | None = None) -> PoseNetwork:
    """Load a checkpoint into its network, in evaluation mode on the CPU.

    Args:
        path: File of a known publisher, or of ``save_checkpoint``.
        network: Name of the network, a key of ``zoo.networks()``. None = identify it by the keys.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, contains code, has an unknown publisher, or does not fit its network. The
            error then names the first missing, unexpected and mis-shaped keys.
    """
    path = Path(path)
    return load_content(read_file(path), path, network)


def load_content(content: Any, path: Path, network: str | None = None) -> PoseNetwork:
    """Load the content that ``read_file`` returned. ``path`` names it in errors.

    Raises:
        ValueError: As for ``load_checkpoint``.
    """
    if own.is_own(content):
        if network not in (None, content.get("network")):
            raise ValueError(f"checkpoint {path}: expected network {content.get('network')}, got {network}")
        return own.restore(content, path)
    return load_state(state_of(content, path), str(path), network)


def load_state(state: State, source: str, network: str | None = None) -> PoseNetwork:
    """Load a publisher's state dict. ``source`` names it in errors.

    Raises:
        ValueError: If the publisher is unknown, or the weights do not fit.
    """
    shapes, named = shapes_of(state), zoo.build(network) if network else None
    for publisher in publishers():
        with _name_publisher_in_errors(publisher, source):
            build = publisher.network(shapes)
            if build is None:
                continue
            identified, converted = build(), publisher.convert(state)
        model = identified if named is None else named
        with _name_identified_network_in_errors(model.spec.name, identified.spec.name):
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
def _name_publisher_in_errors(publisher: Publisher, source: str) -> Iterator[None]:
    """Name the publisher in any error of its importer. A damaged file can have the right keys but other shapes."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint {source}: expected the weights of {publisher.name}, got: {error}") from error


@contextmanager
def _name_identified_network_in_errors(requested: str, identified: str) -> Iterator[None]:
    """If weights do not fit the requested network, add to the error which network the keys identify."""
    try:
        yield
    except ValueError as error:
        if requested == identified:
            raise
        raise ValueError(f"{error}; its keys identify it as a checkpoint of {identified}") from error
