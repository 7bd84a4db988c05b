"""``pose_ros video`` and ``pose_ros bag``: find people in a sequence of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options

if TYPE_CHECKING:
    from pose_ros.batch.one_source import Run
    from pose_ros.batch.result_files import ResultFiles
    from pose_ros.media.sources import Frame
    from pose_ros.pipeline import CameraImage, PosePipeline

VideoOutput = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Annotated video to write: .mp4, .webm (for browsers), .avi or .mkv.", show_default=False
    ),
]
MaxFrames = Annotated[int | None, typer.Option("--max-frames", min=1, help="Stop after this number of frames.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Image topic, if the bag has several.")]
DepthTopicName = Annotated[
    str | None,
    typer.Option(
        "--depth-topic",
        help="Topic of registered depth images in the bag, for results in metres. off = none.",
        show_default="the one beside the image topic",
    ),
]


def video(
    source: Annotated[
        str, typer.Argument(help="Video, folder of images, rosbag2 or camera number.", show_default=False)
    ],
    output: VideoOutput = None,
    json: options.Json = None,
    coco: options.Coco = None,
    csv: options.Csv = None,
    mcap: options.Mcap = None,
    append: options.Append = False,
    strict: options.Strict = False,
    max_frames: MaxFrames = None,
    topic: Topic = None,
    depth_topic: DepthTopicName = None,
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
    from pose_ros.batch.depth_frames import camera_images, find_depth
    from pose_ros.batch.one_source import check_complete
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.cli.outputs import CommandFiles, make_mcap
    from pose_ros.media.output_file import check_suffix
    from pose_ros.media.results import check_image_ids
    from pose_ros.media.sources import ImageFiles, Video, open_source
    from pose_ros.media.video_file import FOURCC
    from pose_ros.pipeline import PosePipeline
    from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge

    config, overlay = options.make_configs(settings, threads, short_side, boxes, ids)
    options.check_append(append, json)
    if output is not None:
        check_suffix("--output", output, FOURCC)
    if mcap is not None:
        check_suffix("--mcap", mcap, (".mcap",))
    check_paths(
        [Path(source), model, spec, options.refinement_input(config)],
        [("--json", json), ("--coco", coco), ("--csv", csv), ("--mcap", mcap), ("--output", output)],
    )
    failures = Failures(strict)
    frames = open_source(source, topic=topic, convert=convert_with_cv_bridge, on_broken=failures.add)
    if coco is not None and isinstance(frames, ImageFiles):
        check_image_ids(file.name for file in frames.files)
    depth = find_depth(frames, depth_topic, partial(typer.echo, err=True))
    if depth is not None:
        config = replace(config, depth=replace(config.depth, enabled=True))
    estimator = options.load_estimator(model, spec=spec, runtime=runtime, grouping=grouping, config=config)
    rate_hz = 0.0 if output is None else frames.even_rate_hz()
    pipeline = PosePipeline(estimator, refiner=options.load_refiner(estimator), on_depth_error=failures.add)
    images = camera_images(frames, depth, config.depth)
    with CommandFiles(estimator, json, coco, output, rate_hz, overlay, append, csv, mcap, make_mcap) as outputs:
        run = _process(images, frames.count, max_frames, pipeline, outputs)
        failures.stop_if_none(run.frames)
    typer.echo(f"{source}: {run}")
    failures.finish()
    if isinstance(frames, Video):
        check_complete(frames, max_frames, run, partial(typer.secho, fg="yellow", err=True))


def _process(
    images: Iterator[tuple[Frame, CameraImage]],
    count: int | None,
    max_frames: int | None,
    pipeline: PosePipeline,
    outputs: ResultFiles,
) -> Run:
    """Estimate and write every frame, with a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pose_ros.batch.one_source import find_people, process_frames

    total = min((number for number in (count, max_frames) if number is not None), default=None)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, rate="")

        def show(run: Run) -> None:
            progress.update(task, advance=1, rate=f"{run.frames / run.seconds:.1f} frames/s")

        found = find_people(islice(images, max_frames), pipeline)
        return process_frames(found, pipeline, outputs, show)
