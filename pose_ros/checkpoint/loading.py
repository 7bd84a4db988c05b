"""A checkpoint becomes a network: read, recognised by its keys, converted, and loaded whole or not at all."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch

from pose_ros.checkpoint import own
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
    content = read_file(path)
    if own.is_own(content):
        return own.restored(content, path)
    return from_state(state_of(content, path), str(path), network)


def from_state(state: State, source: str, network: str | None = None) -> PoseNetwork:
    """The network of a publisher's state dict; ``source`` names it in errors.

    Raises:
        ValueError: If it is of no known publisher, or does not fit.
    """
    shapes = shapes_of(state)
    for publisher in publishers():
        with _damage_named(publisher, source):
            build = publisher.network(shapes)
        if build is not None:
            model = zoo.build(network) if network else build()
            with _damage_named(publisher, source):
                converted = publisher.convert(state)
            fill(model, converted, f"{source} ({publisher.name}, {model.spec.name})")
            return model
    if network is None:
        known = ", ".join(publisher.name for publisher in publishers())
        raise ValueError(
            f"checkpoint {source}: expected the keys of {known}, got {', '.join(list(state)[:4])}, …; "
            "name its network with --network if it is one of ours"
        )
    model = zoo.build(network)
    fill(model, state, f"{source} ({model.spec.name})")
    return model


@contextmanager
def _damage_named(publisher: Publisher, source: str) -> Iterator[None]:
    """A damaged file may have a publisher's keys and other shapes: whatever its importer makes of them is told."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint {source}: expected the weights of {publisher.name}, got: {error}") from error


def fill(model: PoseNetwork, state: State, source: str) -> None:
    """Put all weights into a network, and set it to evaluation.

    Raises:
        ValueError: If any key is missing, unexpected, of another shape or not finite; the network is then unchanged.
    """
    expected, got = shapes_of(model.state_dict()), shapes_of(state)
    faults = {
        "missing": [key for key in expected if key not in got and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in got if key not in expected],
        "mis-shaped": [
            f"{key} (expected {expected[key]}, got {got[key]})"
            for key in expected
            if key in got and got[key] != expected[key]
        ],
    }
    said = [f"{len(keys)} {kind}, first {', '.join(keys[:3])}" for kind, keys in faults.items() if keys]
    if said:
        raise ValueError(
            f"checkpoint {source}: expected the {len(expected)} entries of this network, got {'; '.join(said)}"
        )
    wrong = [key for key in expected if key in state and not torch.isfinite(state[key]).all()]
    if wrong:
        raise ValueError(f"checkpoint {source}: expected finite weights, got NaN or infinity in {wrong[0]}")
    model.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)
    model.eval()
