"""Prepare batches of samples and targets in worker processes.

The order depends only on the seed and the step. A resumed run gets the same batches as a run without interruption, with
any number of workers. Each step has the same images with any number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
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
from pose_ros.preprocess import add_pose
from pose_ros.training.config import LoaderConfig

Batch = dict[str, Tensor]
"""``image``: (B, H, W, C) uint8, in the colour order of the network. The other entries are the targets, stacked."""
Targets = Callable[[Sample], dict[str, AnyArray]]


class SampleStream(Protocol):
    """Endless stream of samples: the same epoch and index always return the same sample."""

    def sample(self, epoch: int, index: int) -> Sample:
        """Return a sample of the input size of the network."""
        ...


class Examples(Dataset):
    """Images and targets, indexed by position in the whole run.

    Args:
        stream: Stream of samples.
        epoch: Number of samples per epoch.
        targets: Function that computes the targets of a sample.
        input: Input of the network.
    """

    def __init__(self, stream: SampleStream, epoch: int, targets: Targets, input: InputSpec) -> None:
        self.stream, self.epoch, self.targets, self.input = stream, epoch, targets, input

    def __getitem__(self, position: int) -> dict[str, AnyArray]:
        sample = self.stream.sample(*divmod(position, self.epoch))
        return {"image": pixels_of(sample, self.input), **self.targets(sample)}


class _Guarded(Dataset):
    """Examples that return an error about a file instead of raising it. A worker would add a traceback to the text."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __getitem__(self, position: int) -> dict[str, AnyArray] | BadExample:
        try:
            return self._examples[position]
        except (ValueError, OSError) as error:
            return BadExample(str(error))


@dataclass(frozen=True)
class BadExample:
    """Error about an image or its labels, in place of an example."""

    text: str


@dataclass(frozen=True)
class Positions(Sampler):
    """Sample positions of each batch of one process.

    Attributes:
        first_step: First step.
        steps: Step to stop before.
        batch: Samples per step, over all processes.
        parts: Batches per step in each process.
        rank: Rank of this process.
        processes: Number of processes.
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


def make_loader(
    examples: Examples, positions: Positions, config: LoaderConfig, pinned: bool = False
) -> Iterator[Batch]:
    """Make an iterator over the batches of a run, prepared in advance.

    Args:
        examples: Images and targets.
        positions: Positions of the examples of each batch.
        config: Number of worker processes and of batches to prefetch.
        pinned: Whether to store batches in pinned memory, for faster copies to a GPU.

    Yields:
        The batches.

    Raises:
        ValueError: If an image or its labels are wrong.
    """
    loader = DataLoader(
        _Guarded(examples),
        batch_sampler=positions,
        num_workers=config.workers,
        prefetch_factor=config.prefetch if config.workers else None,
        persistent_workers=config.workers > 0,
        worker_init_fn=_init_worker,
        # A forked worker can deadlock if the parent has used threads or a GPU.
        multiprocessing_context="forkserver" if config.workers else None,
        pin_memory=pinned,
        collate_fn=_collate,
    )
    for batch in loader:
        if isinstance(batch, BadExample):
            raise ValueError(batch.text)
        yield batch


def split_samples(samples: Sequence[Sample], most: int) -> Iterator[list[Sample]]:
    """Split samples into batches of one size, in order. Each sample is read once.

    Args:
        samples: Samples of any sizes.
        most: Most samples of a batch.
    """
    part: list[Sample] = []
    for index in range(len(samples)):
        sample = samples[index]
        if part and (len(part) == most or part[0].size_wh != sample.size_wh):
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


def stack_examples(examples: list[dict[str, AnyArray]]) -> Batch:
    """Stack examples into a batch."""
    batch: Batch = default_collate(examples)
    return batch


def _collate(examples: list[dict[str, AnyArray] | BadExample]) -> Batch | BadExample:
    bad = next((example for example in examples if isinstance(example, BadExample)), None)
    return bad or stack_examples([example for example in examples if not isinstance(example, BadExample)])


class Normaliser:
    """Conversion of pixels to network input: (B, H, W, C) uint8 to (B, C, H, W) float32, channels last in memory."""

    def __init__(self, spec: InputSpec, device: Any) -> None:
        self._mean = torch.tensor(spec.channel_mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(spec.channel_std, device=device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Compute (pixel - mean) / std. The colour order is unchanged."""
        return (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std


def pixels_of(sample: Sample, input: InputSpec) -> ByteArray:
    """Return the image of a sample in the colour order of a network, (H, W, C), with the pose that it refines."""
    image = sample.image_bgr if input.colour == "bgr" else sample.image_bgr[..., ::-1]
    return add_pose(np.ascontiguousarray(image), sample.pose, input)


def _init_worker(_: int) -> None:
    """Use one thread and ignore Ctrl-C: a terminal sends it to all processes, but the trainer stops its workers."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with_trainer, name="trainer_watch", daemon=True).start()


def _exit_with_trainer() -> None:
    """Exit when the trainer is killed. PyTorch workers watch only their parent, which is the fork server."""
    if (trainer := multiprocessing.parent_process()) is not None:
        trainer.join()
        os._exit(1)
