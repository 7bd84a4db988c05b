"""Find the people in all frames of one source, and write them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Optional

from pose_ros.media.sources import Frame, Video
from pose_ros.pipeline import CameraImage, PosePipeline, Stage, pass_through
from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.batch.result_files import ResultFiles
    from pose_ros.estimator import Estimate
    from pose_ros.media.regions import IgnoredRegion

COMPLETE_SHARE = 0.95
"""Share of its frames and of its duration at which a source counts as complete."""

CameraImages = Iterator[tuple[Frame, CameraImage]]
FoundImages = Iterator[tuple[Frame, CameraImage, Optional["Estimate"]]]


@dataclass
class Run:
    """Statistics of a run. ``str(run)`` is a summary for people."""

    people: list[int] = field(default_factory=list)
    network_ms: list[float] = field(default_factory=list)
    estimate_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    last_ns: int = 0

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.people)

    def add(self, estimate: Estimate) -> None:
        """Count one frame."""
        self.people.append(len(estimate.people))
        self.network_ms.append(estimate.network_ms)
        self.estimate_ms.append(estimate.preprocess_ms + estimate.network_ms + estimate.decode_ms)

    def __str__(self) -> str:
        if not self.frames:
            return "no frames"
        per_frame = sum(self.people) / self.frames
        return (
            f"{format_count(self.frames, 'frame')} in {self.seconds:.1f} s, {per_frame:.1f} people per frame; "
            f"median {median(self.estimate_ms):.1f} ms per frame, network {median(self.network_ms):.1f} ms"
        )


def make_ignore_stage(region: IgnoredRegion | None) -> Stage:
    """Return the stage of the pipeline that drops people in a region. Without a region, it drops none."""
    return pass_through if region is None else lambda people, image: region.drop(people, image.size_wh)


def process_frames(
    images: FoundImages,
    pipeline: PosePipeline,
    outputs: ResultFiles,
    on_frame: Callable[[Run], None],
) -> Run:
    """Run the pipeline on every frame, and write the people.

    Args:
        images: Frames as images of a camera, each with the result of the network, see ``find_people``.
        pipeline: The pipeline of this camera.
        outputs: Files to write.
        on_frame: Called after each frame.
    """
    run, start = Run(), time.perf_counter()
    for frame, image, found in images:
        estimate = pipeline.process(image, found)
        outputs.write(frame, estimate.people)
        run.add(estimate)
        run.last_ns = frame.stamp_ns
        run.seconds = time.perf_counter() - start
        on_frame(run)
    return run


def find_people(images: CameraImages, pipeline: PosePipeline) -> FoundImages:
    """Run the network on up to ``max_batch`` frames at once.

    Without batches, the pipeline runs the network itself. It also does if the input size of a frame depends on the
    people of earlier frames.
    """
    estimator = pipeline.estimator
    for first in images:
        if estimator.max_batch == 1 or pipeline.choose_view(first[1]) is not None:
            yield *first, None
            continue
        batch = [first, *islice(images, estimator.max_batch - 1)]
        found = estimator.process_batch([image.image for _, image in batch], [image.colour for _, image in batch])
        yield from ((*pair, estimate) for pair, estimate in zip(batch, found, strict=True))


def check_complete(video: Video, max_frames: int | None, run: Run, notify: Callable[[str], None]) -> None:
    """Check that a video was read to its end, or to the requested frame.

    A file may count a few frames too many, or estimate the count from its duration. So the time counts, too.

    Args:
        video: The video.
        max_frames: Frames to read at most. None = all.
        run: What was read.
        notify: Called with one line of text if a few frames are missing.

    Raises:
        ValueError: If the rest of the video cannot be decoded.
    """
    wanted = min(video.count or 0, max_frames or sys.maxsize)
    end_ns = (COMPLETE_SHARE * wanted - 1) / video.rate_hz * 1e9
    if run.frames < wanted:
        notify(f"{video.name}: {run.frames} of {wanted} frames could be read")
    if run.frames < COMPLETE_SHARE * wanted and run.last_ns < end_ns:
        raise ValueError(f"video {video.name}: expected {wanted} frames, got {run.frames} that can be decoded")
