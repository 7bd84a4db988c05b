"""Communicate between the processes of a run: a single one, or those that ``torchrun`` starts."""

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
_TIMEOUT = timedelta(hours=2)  # other processes wait while the first process validates


@dataclass(frozen=True)
class World:
    """This process and the number of processes of the run.

    Attributes:
        device: Device of this process.
        rank: Rank of this process. Rank 0 writes the files.
        size: Number of processes.
    """

    device: Any
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, the same in each process."""
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size
        return values

    def maximum(self, value: int) -> int:
        """Return the maximum over all processes, the same in each process."""
        if self.size == 1:
            return value
        number = torch.tensor(value, device=self.device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def broadcast(self, value: T) -> T:
        """Return the value of the first process in all processes."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, device=self.device)
        return box[0]

    def wait_for_all(self) -> None:
        """Wait until all processes have called this method.

        A barrier uses no Python tensor. A gloo thread that releases a Python tensor during shutdown crashes Python.
        """
        if self.size > 1:
            distributed.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that its gradients are averaged over all processes."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)


@contextmanager
def join_processes(device: str = "auto") -> Iterator[World]:
    """Join the process group of the run inside a ``with`` block.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA if available). With several GPUs, each process of a machine
            uses a different one.
    """
    chosen = _choose_device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        world = World(chosen, distributed.get_rank(), size)
        yield world
        world.wait_for_all()  # a process that exits early closes the connections of the others
    finally:
        distributed.destroy_process_group()


def _choose_device(name: str) -> Any:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise ValueError("device: expected a CUDA GPU, got none that PyTorch can use; set device to cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
