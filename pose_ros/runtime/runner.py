"""Define the interface of all runtimes: named arrays in, named arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.file_kind import check_not_placeholder

Arrays = Mapping[str, AnyArray]
BuildProgress = Callable[[str, float], None]
"""Called with a short text and the fraction that is done: 0 to 1, or less than 0 if unknown."""
Notify = Callable[[str], None]
"""Called with one line of text for people."""
CPU = "the CPU"
CLOSED = "runner: expected an open runner, got a closed one; load the model again"


def require_model_file(path: str | Path, kind: str = "an ONNX file") -> Path:
    """Return the path of a model file, after checking that the file exists and is no web page or Git LFS pointer.

    Args:
        path: The model file.
        kind: Kind of file that is expected, for the error message.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is a web page or a Git LFS pointer.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: expected {kind}, got {path}, which does not exist")
    check_not_placeholder(Path(path), "model", kind)
    return Path(path)


class Unavailable(ImportError):
    """Error for a runtime that cannot work on this machine.

    Attributes:
        reason: What is missing, in a few words.
        fix: How to fix it. Empty if nothing helps.
    """

    def __init__(self, runtime: str, reason: str, fix: str = "") -> None:
        super().__init__(f"runtime {runtime}: {reason}" + f"; {fix}" * bool(fix))
        self.reason, self.fix = reason, fix


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output. A free dimension is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def check(self, array: AnyArray, kind: str = "input") -> None:
        """Check type and shape of an array. ``kind`` is its name in errors: input or output.

        Raises:
            TypeError: If it is not an array of this type.
            ValueError: If it has another shape.
        """
        got = getattr(array, "dtype", type(array).__name__)
        if got != self.dtype:
            raise TypeError(f"{kind} {self.name!r}: expected {self.dtype}, got {got}")
        fits = len(array.shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            wanted_shape = ", ".join("any" if d is None else str(d) for d in self.shape)
            raise ValueError(f"{kind} {self.name!r}: expected shape ({wanted_shape}), got {array.shape}")


class Runner(ABC):
    """A loaded network. Use it as a context manager, or call ``close``.

    Attributes:
        inputs: Inputs of ``run``.
        outputs: Outputs of ``run``.
        metadata: Text entries stored in the model file.
        description: Runtime and device, for people.
        device: Name of the device that computes, such as the name of a GPU.
        reason: Why ``load_runner`` chose this runner, in one line. Empty if ``load_runner`` was not used.
        state: Background work in progress, such as the build of an engine. Empty if there is none.
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
            wanted: Names of the outputs to fetch. None = all.

        Returns:
            One array per wanted output, by name. The caller owns the arrays.

        Raises:
            ValueError: If an input is missing, unknown or of the wrong shape, or if an output is unknown.
            TypeError: If an input has the wrong type.
        """
        expected = {spec.name for spec in self.inputs}
        if expected != set(feeds):
            raise ValueError(f"inputs: expected {sorted(expected)}, got {sorted(feeds)}")
        for spec in self.inputs:
            spec.check(feeds[spec.name])
        return self._run(feeds, self._select_outputs(wanted))

    def _select_outputs(self, wanted: Collection[str] | None) -> list[str]:
        names = [spec.name for spec in self.outputs]
        if wanted is None:
            return names
        unknown = sorted(set(wanted) - set(names))
        if unknown:
            raise ValueError(f"outputs: expected names among {sorted(names)}, got {unknown}")
        return [name for name in names if name in wanted]

    @abstractmethod
    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]: ...

    @property
    def problem(self) -> str:
        """Why the runtime cannot compute at present, such as a server that does not answer. Empty = it can."""
        return ""

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU, counting all programs. None without a GPU, or if it is unknown.

        Any thread may call this at any time. It does not wait for a run in progress. On a Jetson, GPU and CPU share
        this memory.
        """
        return None

    def close(self) -> None:  # noqa: B027 - a runtime that owns no memory has nothing to do
        """Release memory and device. The runner is unusable afterwards."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
