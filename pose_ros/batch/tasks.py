"""Messages between a batch and its workers."""

from __future__ import annotations

from dataclasses import dataclass

from pose_ros.batch.inputs import Input

Bounds = tuple[int, int]
"""Start and end of a piece, ns. The end does not belong to it."""


@dataclass(frozen=True)
class WholeTask:
    """Process an input in one pass.

    Attributes:
        input: The input.
        may_cut: Whether a long input may be cut into pieces instead.
    """

    input: Input
    may_cut: bool


@dataclass(frozen=True)
class PieceTask:
    """Run the network on a piece of an input, and store the people."""

    input: Input
    bounds: Bounds


@dataclass(frozen=True)
class JoinTask:
    """Track the people of all pieces of an input, and write its outputs."""

    input: Input
    pieces: tuple[Bounds, ...]


Task = WholeTask | PieceTask | JoinTask


@dataclass(frozen=True)
class Finished:
    """The outputs of an input are complete.

    Attributes:
        people: Number of people in all frames.
        frames: Number of frames.
        faults: Errors of images that were left out.
        outputs: Names of the files, relative to the folder of the outputs.
    """

    people: int
    frames: int
    faults: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """An input is long. Nothing was processed yet."""

    pieces: tuple[Bounds, ...]


@dataclass(frozen=True)
class Stored:
    """A piece is stored."""

    frames: int


@dataclass(frozen=True)
class Failed:
    """A task could not be done.

    Attributes:
        error: The reason, for people.
        is_fatal: Whether each other input would fail, too: the disk is full or read-only.
    """

    error: str
    is_fatal: bool = False


@dataclass(frozen=True)
class Died:
    """The process of the worker ended during a task. The pool has replaced it.

    Attributes:
        reason: How it ended, for people.
        is_innocent: Whether it ended while it loaded the model, so that the task is not the cause.
    """

    reason: str
    is_innocent: bool = False


@dataclass(frozen=True)
class Progress:
    """A task is in progress.

    Attributes:
        share: Share that is done, from 0 to 1. 0 = unknown.
        frames: Frames so far.
    """

    share: float
    frames: int


TaskResult = Finished | Cut | Stored | Failed | Died


@dataclass(frozen=True)
class TaskReport:
    """What a worker reports about its task.

    Attributes:
        task: The task.
        result: Its result, or its progress.
        seconds: Time that the task took, s.
        model: Name and short hash of the model.
        notes: Lines of text for people.
    """

    task: Task
    result: TaskResult | Progress
    seconds: float = 0.0
    model: str = ""
    notes: tuple[str, ...] = ()
