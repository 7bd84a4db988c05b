"""Split the inputs of a batch among machines that do not know each other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")
_SLURM = "SLURM_ARRAY_TASK_"


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of the inputs.

    Attributes:
        index: Number of the part, from 1.
        count: Number of parts.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard: expected 1/{self.count} to {self.count}/{self.count}, got {self}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        """Name of the manifest of this part."""
        return f"manifest.{self.index}-of-{self.count}.jsonl" if self.count > 1 else "manifest.jsonl"

    def select(self, items: Sequence[_T]) -> list[_T]:
        """Return every ``count``-th item. Neighbours, which are often of one kind, go to different parts."""
        return list(items[self.index - 1 :: self.count])


def find_shard(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the part that this process works on.

    Args:
        text: ``"3/10"``, the third of ten parts. None = by the variables of a SLURM array, or of an Indexed Job of
            Kubernetes. Without them, everything is one part.
        environment: Variables of the environment.

    Raises:
        ValueError: If the text is not a part, or the variables do not tell the number of parts.
    """
    if text is not None:
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise ValueError(f"--shard: expected i/n, such as 3/10, got {text!r}")
        return Shard(int(match[1]), int(match[2]))
    if f"{_SLURM}ID" in environment:
        return _find_in_array(environment)
    if "JOB_COMPLETION_INDEX" in environment:
        if "JOB_COMPLETIONS" not in environment:
            raise ValueError(
                "JOB_COMPLETIONS: expected the number of completions of the Indexed Job, got none; set this variable "
                "in the container, or give --shard"
            )
        index, count = (_read_number(environment, f"JOB_COMPLETION{end}") for end in ("_INDEX", "S"))
        return Shard(index + 1, count)
    return Shard()


def _find_in_array(environment: Mapping[str, str]) -> Shard:
    """Return the place of a task in its array, whose numbers may start and step as they like."""
    number = _read_number(environment, f"{_SLURM}ID")
    missing = [name for name in ("MIN", "MAX", "COUNT") if _SLURM + name not in environment]
    if missing:
        raise ValueError(f"{_SLURM}{missing[0]}: expected this variable beside {_SLURM}ID, got none; give --shard i/n")
    low, high, count = (_read_number(environment, _SLURM + name) for name in ("MIN", "MAX", "COUNT"))
    step = (high - low) // (count - 1) if count > 1 else 1
    if low + step * (count - 1) != high or (number - low) % max(step, 1):
        raise ValueError(
            f"{_SLURM}COUNT: expected numbers at equal steps from {low} to {high}, got {count} numbers with {number}; "
            "submit the array as a range, such as --array=0-9, or give --shard i/n"
        )
    return Shard((number - low) // max(step, 1) + 1, count)


def _read_number(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdecimal():
        raise ValueError(f"{name}: expected a whole number, got {environment[name]!r}")
    return int(environment[name])
