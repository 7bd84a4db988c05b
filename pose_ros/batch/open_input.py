"""One input of a batch while it is processed: its source, its outputs, and what is left out of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pose_ros.batch.depth_frames import DepthTopic, camera_images, find_depth
from pose_ros.batch.inputs import Input
from pose_ros.batch.one_source import CameraImages, FoundImages, Run, check_complete, process_frames
from pose_ros.batch.recipe import SUFFIXES, Recipe
from pose_ros.batch.result_files import ResultFiles
from pose_ros.batch.tasks import Finished, Progress
from pose_ros.estimator import PoseEstimator
from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.overlay import draw_covered
from pose_ros.media.regions import IgnoredRegion
from pose_ros.media.results import WRITTEN_SUFFIXES, write_image
from pose_ros.media.sources import ImageFiles, Video, open_source
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.runtime.runner import Notify

OnProgress = Callable[[Progress], None]
PROGRESS_S = 0.5
"""Time between two reports of the progress."""


class OpenInput:
    """Input that a worker processes.

    Attributes:
        entry: The input.
        frames: Its frames.
        faults: Errors of images that are left out.

    Raises:
        OSError: If the input cannot be read.
        ValueError: If it is not a video, image or bag, or its name is not UTF-8.
    """

    def __init__(
        self,
        entry: Input,
        recipe: Recipe,
        estimator: PoseEstimator,
        on_progress: OnProgress,
        notify: Notify,
        region: IgnoredRegion | None = None,
    ) -> None:
        self.entry, self.faults = entry, list[str]()
        self._recipe, self._estimator = recipe, estimator
        self._on_progress, self._notify, self._region = on_progress, notify, region
        self._reported_s = time.monotonic()
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"input: expected a name in UTF-8, got {entry.name!a}; rename it") from error
        self.frames = open_source(entry.path, topic=recipe.topic, convert=recipe.convert, on_broken=self.add_fault)

    @cached_property
    def depth(self) -> DepthTopic | None:
        """Depth topic of a bag."""
        return find_depth(self.frames, self._recipe.depth_topic, self._notify)

    def add_fault(self, error: Exception) -> None:
        """Note an image that is left out. Raise the error if the input must be complete."""
        if self._recipe.strict:
            raise error
        if str(error) not in self.faults:
            self.faults.append(str(error))

    def images(self, pipeline: PosePipeline) -> CameraImages:
        """Iterate over the frames as images of a camera. Depth images of a bag switch depth on."""
        config = self._recipe.config
        if self.depth is not None:
            pipeline.configure(config.tracking, config.smoothing, replace(config.depth, enabled=True))
        return camera_images(self.frames, self.depth, config.depth)

    def write(self, images: FoundImages, pipeline: PosePipeline) -> Finished:
        """Run the pipeline on all images, and write the outputs. Without all of them, there are none.

        Raises:
            OSError: If the disk is full.
            ValueError: If no image can be read.
        """
        rate_hz = self.frames.even_rate_hz() if "video" in self._recipe.kinds else 0.0
        with self._open_outputs(rate_hz) as outputs:
            run = process_frames(images, pipeline, outputs, self._report_run)
            if isinstance(self.frames, Video):
                self._check_end(self.frames, run)
            if self.faults and not run.frames:
                raise ValueError(self.faults[0])
        return self.finish(sum(run.people), run.frames)

    def write_image(self, pipeline: PosePipeline) -> Finished:
        """Run a pipeline without tracking on an image, and write the outputs.

        Raises:
            OSError: If the disk is full.
            ValueError: If the image cannot be read.
        """
        frame = next(iter(self.frames), None)
        if frame is None:
            raise ValueError(self.faults[0])
        estimate = self._estimator.process(frame.image_bgr)
        people = pipeline.process(CameraImage(frame.image_bgr), estimate).people
        with self._open_outputs(0.0) as outputs:
            outputs.write(frame, people)
            if (drawn := self.target("video")) is not None:
                anonymiser = Anonymiser(self._estimator.skeleton, self._region)
                write_image(drawn, draw_covered(anonymiser, frame.image_bgr, people, self._recipe.overlay))
        return self.finish(len(people), 1)

    def target(self, kind: str) -> Path | None:
        """Return the file of an output. None = not wanted. An annotated image has the type of the input."""
        if kind not in self._recipe.kinds:
            return None
        target = self._recipe.target(self.entry.name, kind)
        if kind == "video" and isinstance(self.frames, ImageFiles):
            suffix = self.entry.path.suffix
            return target.with_suffix(suffix if suffix.lower() in WRITTEN_SUFFIXES else ".png")
        return target

    def report(self, share: float, frames: int) -> None:
        """Report the progress, but not too often."""
        now_s = time.monotonic()
        if now_s - self._reported_s >= PROGRESS_S:
            self._reported_s = now_s
            self._on_progress(Progress(share, frames))

    def finish(self, people: int, frames: int) -> Finished:
        """Return the result, with the outputs that exist. A video without frames does not."""
        files = (self.target(kind) for kind in SUFFIXES)
        written = (str(file.relative_to(self._recipe.out)) for file in files if file is not None and file.exists())
        return Finished(people, frames, tuple(self.faults), tuple(written))

    @contextmanager
    def _open_outputs(self, rate_hz: float) -> Iterator[ResultFiles]:
        """Open the outputs. After an error, earlier files stay."""
        recipe, is_image = self._recipe, isinstance(self.frames, ImageFiles)
        with ResultFiles(
            self._estimator,
            json=self.target("json"),
            coco=self.target("coco"),
            csv=self.target("csv"),
            mcap=self.target("mcap"),
            video=None if is_image else self.target("video"),
            rate_hz=rate_hz,
            overlay=recipe.overlay,
            make_mcap=recipe.make_mcap,
            region=self._region,
        ) as outputs:
            try:
                yield outputs
            except BaseException:
                outputs.discard()
                raise

    def _check_end(self, video: Video, run: Run) -> None:
        """Note it if the rest of a video cannot be decoded."""
        try:
            check_complete(video, None, run, self._notify)
        except ValueError as error:
            self.add_fault(error)

    def _report_run(self, run: Run) -> None:
        self.report(min(run.frames / self.frames.count, 1.0) if self.frames.count else 0.0, run.frames)
