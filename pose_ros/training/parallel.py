"""The processes of one run: one alone, or those that ``torchrun`` starts, on one machine or several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
_PATIENCE = timedelta(hours=2)  # the others wait for the first process, which validates


@dataclass(frozen=True)
class World:
    """This process among those of the run.

    Attributes:
        device: Where it computes.
        rank: Which it is; the first, 0, writes the files.
        size: How many there are.
    """

    device: Any
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, the same in each."""
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size
        return values

    def largest(self, value: int) -> int:
        """The largest of all processes' numbers, the same in each."""
        if self.size == 1:
            return value
        number = torch.tensor(value, device=self.device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def shared(self, value: T) -> T:
        """What the first process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, device=self.device)
        return box[0]

    def meet(self) -> None:
        """Wait until all processes are here.

        A barrier has no tensor of Python's: a thread of gloo that lets go of one while Python ends takes it down.
        """
        if self.size > 1:
            distributed.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """Meet the other processes, for the time of a ``with``.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``, which is CUDA where there is one. With several GPUs, each process
            of a machine takes its own.
    """
    chosen = _device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        world = World(chosen, distributed.get_rank(), size)
        yield world
        world.meet()  # who leaves early takes the others' connections away
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> Any:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise ValueError("device: expected a CUDA GPU, got none that torch can use; device: cpu trains without")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
