"""Run the tasks of a batch in the process of the test, and find people whose place follows from the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.batch.inputs import find_inputs
from pose_ros.batch.manifest import Manifest, Row
from pose_ros.batch.recipe import Recipe
from pose_ros.batch.run import BatchRun
from pose_ros.batch.shards import Shard
from pose_ros.batch.tasks import Died, Progress, Task, TaskReport
from pose_ros.batch.work import BatchWorker
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.people import People

EMPTY = Row("", "", 0, 0, 0.0, "", "", "", "", (), "", 0, 0, "")


class InlinePool:
    """Pool of one worker in this process. ``deaths`` counts down: a task dies while it is above 0."""

    def __init__(self, recipe: Recipe, size: int = 2, deaths: int = 0, is_innocent: bool = False) -> None:
        self.size, self.deaths, self.is_innocent = size, deaths, is_innocent
        self.done: list[Task] = []
        self._worker = BatchWorker(recipe)
        self._tasks: list[Task] = []

    def __enter__(self) -> InlinePool:
        return self

    def __exit__(self, *error: object) -> None: ...

    def count_idle(self) -> int:
        return self.size - len(self._tasks)

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def wait(self) -> list[TaskReport]:
        task = self._tasks.pop(0)
        if self.deaths:
            self.deaths -= 1
            return [TaskReport(task, Died("its worker was killed", self.is_innocent))]
        self.done.append(task)
        progress: list[Progress] = []
        return [self._worker.run(task, progress.append)]


def find_by_brightness(estimator: PoseEstimator, images: Sequence[np.ndarray], *_: Any, **options: Any) -> list[Any]:
    """Return two people for each image, whose place and score follow from its pixels. A bright image has one."""
    return [Estimate(_people(estimator, float(image.mean())), 0.0, 0.0, 0.0) for image in images]


def _people(estimator: PoseEstimator, brightness: float) -> People:
    body = 20 * np.nan_to_num(estimator.skeleton.standing, nan=0.5)
    places = np.array([(brightness / 10, 5), (30 - brightness / 20, 15)])
    keypoints = body + places[:, None]
    scores = np.full(keypoints.shape[:2], 0.5 + brightness / 1000)
    people = People(keypoints, scores, scores[:, 0])
    return people[:1] if brightness > 180 else people


def process_input(
    path: Path, out: Path, piece_s: float, **settings: Any
) -> tuple[dict[str, bytes], list[Any], Row, list[str]]:
    """Process an input, and return its outputs, the tasks, its row, and the notes."""
    recipe = Recipe(out, runtime="onnx", piece_s=piece_s, **{"kinds": ("json", "csv"), **settings})
    inputs, notes = find_inputs([str(path)], out=out, root=None), list[str]()
    with Manifest(out, Shard()) as manifest, InlinePool(recipe) as pool:
        make_row = lambda entry: replace(EMPTY, input=entry.name)  # noqa: E731
        BatchRun(inputs, pool, manifest, make_row, lambda report: None, lambda row: None, notes.append).run()
        row = manifest.rows[path.name]
    return {name: (out / name).read_bytes() for name in row.outputs}, pool.done, row, notes
