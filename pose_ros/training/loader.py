"""Batches: samples and their targets, prepared by worker processes, in an order that only the seed and the step decide.

A run that is taken up again at a step gets the same batches from there on as if it had never stopped, on any number of
workers; and a batch has the same pictures on any number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from pose_ros.arrays import AnyArray, ByteArray
from pose_ros.datasets.sample import Sample
from pose_ros.fields import InputSpec
from pose_ros.training.config import LoaderConfig

Batch = dict[str, Tensor]
"""``image``: (B, H, W, 3) uint8 in the network's colour order; and the targets of all fields, one per sample."""
Targets = Callable[[Sample], dict[str, AnyArray]]


class SampleStream(Protocol):
    """Samples without end: the i-th of an epoch is the same whenever it is asked for."""

    def sample(self, epoch: int, index: int) -> Sample:
        """One, of the network's input size."""
        ...


class Examples(Dataset):
    """What a network is taught, by position in the whole run.

    Args:
        stream: The samples.
        epoch: Samples of an epoch.
        targets: What is taught of each.
        colour: ``"rgb"`` or ``"bgr"``, the network's.
    """

    def __init__(self, stream: SampleStream, epoch: int, targets: Targets, colour: str) -> None:
        self.stream, self.epoch, self.targets, self.colour = stream, epoch, targets, colour

    def __getitem__(self, position: int) -> dict[str, AnyArray]:
        sample = self.stream.sample(*divmod(position, self.epoch))
        return {"image": pixels(sample, self.colour), **self.targets(sample)}


@dataclass(frozen=True)
class Positions(Sampler):
    """The positions of each batch of one process.

    Attributes:
        first_step: The step to begin with.
        steps: The step to end before.
        batch: Samples of a step, over all processes.
        parts: Batches that a step is made of in each process.
        rank: Of this process.
        processes: How many there are.
    """

    first_step: int
    steps: int
    batch: int
    parts: int = 1
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.batch % (self.parts * self.processes):
            raise ValueError(
                f"batch: expected a multiple of accumulation x processes ({self.parts} x {self.processes}), "
                f"got {self.batch}"
            )

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch // (self.parts * self.processes)
        for step in range(self.first_step, self.steps):
            for part in range(self.parts):
                start = step * self.batch + (part * self.processes + self.rank) * share
                yield list(range(start, start + share))


def make_loader(examples: Examples, positions: Positions, config: LoaderConfig, pinned: bool = False) -> Any:
    """The batches of a run, ready before they are needed.

    Args:
        examples: What is taught.
        positions: In which order.
        config: Number of processes that prepare them.
        pinned: Whether they lie in memory that a GPU reads directly.

    Returns:
        An iterable of ``Batch``.
    """
    return DataLoader(
        examples,
        batch_sampler=positions,
        num_workers=config.workers,
        prefetch_factor=config.prefetch if config.workers else None,
        persistent_workers=config.workers > 0,
        worker_init_fn=_begin_worker,
        # A fork of a process whose threads have computed, or that has a GPU, may wait for them forever.
        multiprocessing_context="forkserver" if config.workers else None,
        pin_memory=pinned,
    )


def stacked(examples: list[dict[str, AnyArray]]) -> Batch:
    """Examples as one batch."""
    batch: Batch = default_collate(examples)
    return batch


class Normaliser:
    """Makes pixels what a network takes: (B, H, W, 3) uint8 to (B, 3, H, W) float32, channels last in memory."""

    def __init__(self, spec: InputSpec, device: Any) -> None:
        self._mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(spec.std, device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(pixel - mean) / std; the colour order stays."""
        return (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std


def pixels(sample: Sample, colour: str) -> ByteArray:
    """The image of a sample, (H, W, 3), in a colour order."""
    return np.ascontiguousarray(sample.image_bgr if colour == "bgr" else sample.image_bgr[..., ::-1])


def _begin_worker(_: int) -> None:
    """One thread each; Ctrl-C goes to all processes of a terminal, and it is the trainer that ends its workers."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_trainer, name="trainer_watch", daemon=True).start()


def _end_with_the_trainer() -> None:
    """A trainer that is killed tells nobody; PyTorch's workers look at their parent, which is the fork server."""
    if (trainer := multiprocessing.parent_process()) is not None:
        trainer.join()
        os._exit(1)
