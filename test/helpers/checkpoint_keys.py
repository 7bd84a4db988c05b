"""The keys and shapes of published checkpoints, and state dicts of that form with random values."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
torch.set_num_threads(1)  # small tensors: on a busy machine, threads wait for each other longer than they work
FOLDER = Path(os.environ.get("POSE_ROS_SHARED", ROOT.parent / "shared")) / "checkpoint_keys"


def published(name: str) -> dict[str, tuple[int, ...]]:
    """Key to shape of one table, in its order; the test is skipped where the tables are not at hand."""
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"the keys of published checkpoints are not here ({path})")
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {key: tuple(int(size) for size in shape.strip("()").split(",") if size.strip()) for key, shape in rows}


def state(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of those keys and shapes, its values such that signals neither vanish nor explode."""
    return random_state(published(name), seed)


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random values for any keys and shapes; variances and scales are positive."""
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


def parameters(shapes: dict[str, tuple[int, ...]], *, without: tuple[str, ...] = ()) -> int:
    """How many learnt numbers there are, running statistics and some modules left out."""
    skipped = ("running_mean", "running_var", "num_batches_tracked")
    return sum(
        math.prod(shape)
        for key, shape in shapes.items()
        if not key.endswith(skipped) and not any(module in key for module in without)
    )
