"""Do the tasks of a batch with one estimator: inputs in one pass, pieces of long inputs, and their join."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from itertools import islice

from pose_ros.batch.join import JoinedFrames, fit_together
from pose_ros.batch.one_source import find_people, make_ignore_stage
from pose_ros.batch.open_input import OnProgress, OpenInput
from pose_ros.batch.pieces import Piece, PieceFolder, find_bounds, read_piece
from pose_ros.batch.read_ahead import read_ahead
from pose_ros.batch.recipe import Recipe, fingerprint
from pose_ros.batch.tasks import Cut, Failed, Finished, JoinTask, PieceTask, Stored, Task, TaskReport, TaskResult
from pose_ros.decoder import fields_to_read
from pose_ros.estimator import PoseEstimator
from pose_ros.files import describe_os_error
from pose_ros.media.regions import find_region, load_regions
from pose_ros.media.sources import ImageFiles
from pose_ros.pipeline import CameraImage, PosePipeline, pass_through
from pose_ros.refinement.stage import RefinementStage, load_refiner

_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_AHEAD = 2
"""Frames that are decoded before the network needs them, at least."""


class BatchWorker:
    """Estimator of a process, and the tasks that it does, one at a time.

    Attributes:
        estimator: The estimator.

    Raises:
        FileNotFoundError: If the model does not exist.
        ImportError: If the runtime does not work on this machine.
        ValueError: If the model or the settings cannot be used.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._config = recipe, recipe.config
        self._notes: list[str] = []
        self._settings = fingerprint(recipe.settings())
        self.estimator = PoseEstimator.load(
            recipe.model,
            runtime=recipe.runtime,
            grouping=recipe.grouping,
            spec=recipe.spec,
            config=recipe.config,
            notify=self._notes.append,
        )
        self._region = find_region(load_regions(self._config.regions.ignore))
        self._ignore = make_ignore_stage(self._region)
        self._refiner = load_refiner(self._config, self.estimator.skeleton, notify=self._notes.append)
        self._ahead = max(_AHEAD, self.estimator.max_batch)
        self._single = self._make_single_pipeline()

    def run(self, task: Task, on_progress: OnProgress) -> TaskReport:
        """Do a task. Its errors become a result."""
        start = time.perf_counter()
        try:
            result = self._do(task, on_progress)
        except Exception as error:
            text = describe_os_error(error) if isinstance(error, OSError) else str(error) or repr(error)
            result = Failed(text, isinstance(error, OSError) and error.errno in _FATAL)
        notes = tuple(self._notes)
        self._notes.clear()
        return TaskReport(task, result, time.perf_counter() - start, self.estimator.model_name, notes)

    def _do(self, task: Task, on_progress: OnProgress) -> TaskResult:
        opened = OpenInput(task.input, self._recipe, self.estimator, on_progress, self._notes.append, self._region)
        folder = PieceFolder(self._recipe.out, task.input, self._settings)
        if isinstance(task, PieceTask):
            return self._store_piece(opened, task, folder)
        if isinstance(task, JoinTask):
            return self._join(opened, task, folder)
        if isinstance(opened.frames, ImageFiles):
            return opened.write_image(self._single)
        pieces = find_bounds(opened.frames, self._recipe.piece_s, self._config)
        if task.may_cut and len(pieces) > 1 and not self._draws_masks():
            return Cut(pieces)
        return self._process(opened)

    def _process(self, opened: OpenInput) -> Finished:
        """Process a video or bag in one pass."""
        pipeline = PosePipeline(
            self.estimator, refiner=self._refiner, ignore=self._ignore, on_depth_error=opened.add_fault
        )
        images = read_ahead(opened.images(pipeline), self._ahead)
        return opened.write(find_people(images, pipeline), pipeline)

    def _store_piece(self, opened: OpenInput, task: PieceTask, folder: PieceFolder) -> Stored:
        """Run the network on a piece. The second network, too: without a period, it needs no earlier frames."""
        if folder.has(task.bounds):
            return Stored(0)
        piece = Piece()
        stage = None if self._refiner is None else RefinementStage(self._refiner, self._config.refinement)
        frames = read_ahead(read_piece(opened.frames, task.bounds, piece), self._ahead)
        while images := list(islice(frames, self.estimator.max_batch)):
            found = self.estimator.process_batch([frame.image_bgr for frame in images], ["bgr"] * len(images))
            for frame, estimate in zip(images, found, strict=True):
                people = self._ignore(replace(estimate.people, masks=None), CameraImage(frame.image_bgr))
                piece.add(frame, people if stage is None else stage.refine(people, frame.image_bgr))
                opened.report(0.0, len(piece.places))
        piece.faults = opened.faults
        folder.write(task.bounds, piece)
        return Stored(len(piece.places))

    def _join(self, opened: OpenInput, task: JoinTask, folder: PieceFolder) -> Finished:
        """Run the stages after the network on all frames, and write the outputs."""
        pieces = [folder.read(bounds) for bounds in task.pieces]
        if fit_together(opened.frames, pieces):
            frames = JoinedFrames(task.input.path, pieces)
            pipeline = PosePipeline(self.estimator, refine=pass_through, on_depth_error=opened.add_fault)
            images = opened.images(pipeline)
            for fault in frames.faults(opened.frames):
                opened.add_fault(fault)
            needs_pixels = "video" in self._recipe.kinds or self._config.tracking.camera_motion or opened.depth
            found = frames.attach(read_ahead(images, self._ahead)) if needs_pixels else iter(frames)
            result = opened.write(found, pipeline)
        else:
            self._notes.append(f"{task.input.name}: its pieces differ from one pass, so it is processed in one pass")
            result = self._process(opened)
        folder.remove()
        return result

    def _draws_masks(self) -> bool:
        """Return whether masks are drawn. They are too large to be stored with a piece."""
        read = fields_to_read(self.estimator.spec, self.estimator.grouping, self._config.decoder)
        return "video" in self._recipe.kinds and self._recipe.overlay.masks and "long_offsets" in read

    def _make_single_pipeline(self) -> PosePipeline:
        """Make the pipeline of images that do not follow each other."""
        none = pass_through
        if self._refiner is None:
            return PosePipeline(self.estimator, ignore=self._ignore, refine=none, track=none, smooth=none, lift=none)
        stage = RefinementStage.of_single_images(self._refiner, self._config.refinement)
        return PosePipeline(
            self.estimator,
            ignore=self._ignore,
            refine=lambda people, image: stage.refine(people, image.image, image.colour),
            track=none,
            smooth=none,
            lift=none,
        )
