"""Read keys and shapes of published checkpoints, and make state dicts with these keys and random values."""

from __future__ import annotations

import math

import pytest
import torch
from shared_folder import SHARED

torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other on a busy machine
FOLDER = SHARED / "checkpoint_keys"


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Read the shape of each key of one checkpoint, in its order. Skip the test if the tables are missing."""
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"the keys of published checkpoints are missing ({path})")
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {key: tuple(int(size) for size in shape.strip("()").split(",") if size.strip()) for key, shape in rows}


def published_state(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Make a checkpoint with these keys and shapes. Its values keep activations in a normal range."""
    return random_state(published_shapes(name), seed)


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Make random values for any keys and shapes. Variances and scales are positive."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _values(key, shape, generator) for key, shape in shapes.items()}


def _values(key: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if not shape:
        return torch.tensor(1)
    if len(shape) > 1:
        return torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
    if "prelu" in key:
        return 0.5 * torch.rand(shape, generator=generator)
    if key.endswith(("weight", "running_var")):
        return 0.5 + torch.rand(shape, generator=generator)
    return 0.1 * torch.randn(shape, generator=generator)


def count_parameters(shapes: dict[str, tuple[int, ...]], *, without: tuple[str, ...] = ()) -> int:
    """Count the learnt parameters, without running statistics and the modules in ``without``."""
    skipped = ("running_mean", "running_var", "num_batches_tracked")
    return sum(
        math.prod(shape)
        for key, shape in shapes.items()
        if not key.endswith(skipped) and not any(module in key for module in without)
    )
