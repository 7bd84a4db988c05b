"""``pose_ros video`` and ``pose_ros bag``: find people in a sequence of frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options

if TYPE_CHECKING:
    from pose_ros.cli.outputs import ResultFiles
    from pose_ros.estimator import Estimate
    from pose_ros.media.sources import Source
    from pose_ros.pipeline import PosePipeline

VideoOutput = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Annotated video to write: .mp4, .webm (for browsers), .avi or .mkv.", show_default=False
    ),
]
MaxFrames = Annotated[int | None, typer.Option("--max-frames", min=1, help="Stop after this number of frames.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Image topic, if the bag has several.")]


def video(
    source: Annotated[
        str, typer.Argument(help="Video, folder of images, rosbag2 or camera number.", show_default=False)
    ],
    output: VideoOutput = None,
    json: options.Json = None,
    coco: options.Coco = None,
    append: options.Append = False,
    strict: options.Strict = False,
    max_frames: MaxFrames = None,
    topic: Topic = None,
    model: options.Model = None,
    spec: options.Spec = None,
    runtime: options.Runtime = "auto",
    grouping: options.Grouping = None,
    threads: options.Threads = None,
    short_side: options.ShortSide = None,
    settings: options.SetOption = None,
    boxes: options.Boxes = False,
    ids: options.Ids = False,
) -> None:
    """Find people in a video, folder of images, bag or camera.

    pose_ros video walk.mp4 -o drawn.mp4 --json people.jsonl
    """
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.cli.outputs import ResultFiles
    from pose_ros.media.results import check_image_ids
    from pose_ros.media.sources import ImageFiles, open_source
    from pose_ros.media.video_file import check_video_name
    from pose_ros.pipeline import PosePipeline
    from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge

    config, overlay = options.make_configs(settings, threads, short_side, boxes, ids)
    options.check_append(append, json)
    if output is not None:
        check_video_name("--output", output)
    check_paths(
        [Path(source), model, spec, options.refinement_input(config)],
        [("--json", json), ("--coco", coco), ("--output", output)],
    )
    failures = Failures(strict)
    frames = open_source(source, topic=topic, convert=convert_with_cv_bridge, on_broken=failures.add)
    if coco is not None and isinstance(frames, ImageFiles):
        check_image_ids(file.name for file in frames.files)
    estimator = options.load_estimator(model, spec=spec, runtime=runtime, grouping=grouping, config=config)
    rate_hz = 0.0 if output is None else frames.even_rate_hz()
    with ResultFiles(estimator, json, coco, output, rate_hz, overlay, append) as outputs:
        run = _process(frames, max_frames, PosePipeline(estimator, refiner=options.load_refiner(estimator)), outputs)
        failures.stop_if_none(run.frames)
    if frames.count is not None and max_frames is None and run.frames + len(failures) < frames.count:
        typer.secho(f"{source}: {run.frames} of {frames.count} frames could be read", fg="yellow", err=True)
    typer.echo(f"{source}: {run}")
    failures.finish()


@dataclass
class Run:
    """Statistics of a run. ``str(run)`` is a summary for people."""

    people: list[int] = field(default_factory=list)
    network_ms: list[float] = field(default_factory=list)
    estimate_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

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
        return (
            f"{self.frames} frames in {self.seconds:.1f} s, {sum(self.people) / self.frames:.1f} people per frame; "
            f"median {median(self.estimate_ms):.1f} ms per frame, network {median(self.network_ms):.1f} ms"
        )


def _process(frames: Source, max_frames: int | None, pipeline: PosePipeline, outputs: ResultFiles) -> Run:
    """Estimate and write every frame, with a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pose_ros.pipeline import CameraImage

    total = min((count for count in (frames.count, max_frames) if count is not None), default=None)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    run, start = Run(), time.perf_counter()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, rate="")
        for frame in islice(frames, max_frames):
            estimate = pipeline.process(CameraImage(frame.image_bgr, stamp_ns=frame.stamp_ns))
            outputs.write(frame, estimate.people)
            run.add(estimate)
            run.seconds = time.perf_counter() - start
            progress.update(task, advance=1, rate=f"{run.frames / run.seconds:.1f} frames/s")
    return run
