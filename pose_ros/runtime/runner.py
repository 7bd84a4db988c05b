"""The one interface of all runtimes: named arrays in, named arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray

Arrays = Mapping[str, AnyArray]
BuildProgress = Callable[[str, float], None]
"""Told what is under way, and how much of it is done: 0 to 1, or less than 0 where nobody knows."""
Notify = Callable[[str], None]
"""Told in one line what a person should know."""
CPU = "the CPU"
CLOSED = "runner: expected an open one, got one that has been closed; load the model again"


def existing(path: str | Path, kind: str = "an ONNX file") -> Path:
    """The path of a model file, which is there.

    Raises:
        FileNotFoundError: If it is not.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: expected {kind}, got {path}, which does not exist")
    return Path(path)


class Unavailable(ImportError):
    """A runtime cannot work on this machine.

    Attributes:
        reason: What is missing, in a few words.
        fix: What to do about it; empty where nothing helps.
    """

    def __init__(self, runtime: str, reason: str, fix: str = "") -> None:
        super().__init__(f"runtime {runtime}: {reason}" + f"; {fix}" * bool(fix))
        self.reason, self.fix = reason, fix


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output; a free dimension is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def check(self, array: AnyArray) -> None:
        """Raise unless the array fits.

        Raises:
            TypeError: If it is not an array of this type.
            ValueError: If its shape differs.
        """
        got = getattr(array, "dtype", type(array).__name__)
        if got != self.dtype:
            raise TypeError(f"input {self.name!r}: expected {self.dtype}, got {got}")
        fits = len(array.shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            wanted_shape = ", ".join("any" if d is None else str(d) for d in self.shape)
            raise ValueError(f"input {self.name!r}: expected shape ({wanted_shape}), got {array.shape}")


class Runner(ABC):
    """A loaded network. Use it as a context manager, or call ``close``.

    Attributes:
        inputs: What ``run`` takes.
        outputs: What ``run`` gives.
        metadata: Text entries stored in the model file.
        description: Runtime and device, for people.
        device: What computes, such as the name of a GPU.
        reason: Why ``load_runner`` took this one, in one line; empty if it did not.
        state: What is under way besides answering, such as the build of an engine; empty if nothing is.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    description: str
    device: str = CPU
    reason: str = ""
    state: str = ""

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, AnyArray]:
        """Run the network once.

        Args:
            feeds: One array per input, by name.
            wanted: Names of the outputs to fetch; None fetches all.

        Returns:
            One array per wanted output, by name; they belong to the caller.

        Raises:
            ValueError: If an input is missing, unknown or of the wrong shape, or there is no such output.
            TypeError: If an input has the wrong type.
        """
        expected = {spec.name for spec in self.inputs}
        if expected != set(feeds):
            raise ValueError(f"inputs: expected {sorted(expected)}, got {sorted(feeds)}")
        for spec in self.inputs:
            spec.check(feeds[spec.name])
        return self._run(feeds, self._fetched(wanted))

    def _fetched(self, wanted: Collection[str] | None) -> list[str]:
        names = [spec.name for spec in self.outputs]
        if wanted is None:
            return names
        unknown = sorted(set(wanted) - set(names))
        if unknown:
            raise ValueError(f"outputs: expected names among {sorted(names)}, got {unknown}")
        return [name for name in names if name in wanted]

    @abstractmethod
    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]: ...

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Used and total memory of the GPU it runs on, by all programs; None where there is no GPU, or nobody knows.

        Any thread may ask, at any time; a run in hand is not waited for. On a Jetson the memory is also the CPU's.
        """
        return None

    def close(self) -> None:  # noqa: B027 - a runtime without memory of its own has nothing to do
        """Give back memory and device; the runner is unusable afterwards."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
