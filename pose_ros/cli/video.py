"""``pose_ros video`` and ``pose_ros bag``: find people in a sequence of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

DropTopics = Annotated[
    str, typer.Option("--drop-topics", help="With --anonymise -o FOLDER: topics to leave out, separated by commas.")
]
KeepTopics = Annotated[
    str, typer.Option("--keep-topics", help="With --anonymise -o FOLDER: topics to copy unchanged, whatever they show.")
]


def video(
    source: Annotated[
        str,
        typer.Argument(
            help="Video, folder of images, rosbag2, camera (number) or address, e.g. rtsp://camera/stream.",
            show_default=False,
        ),
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
    hwaccel: options.Hwaccel = "",
    reconnect_s: options.Reconnect = options.RECONNECT_S,
    model: options.Model = None,
    spec: options.Spec = None,
    runtime: options.Runtime = "auto",
    grouping: options.Grouping = None,
    threads: options.Threads = None,
    short_side: options.ShortSide = None,
    settings: options.SetOption = None,
    boxes: options.Boxes = False,
    ids: options.Ids = False,
    anonymise: options.Anonymise = None,
    drop_topics: DropTopics = "",
    keep_topics: KeepTopics = "",
) -> None:
    """Find people in a video, folder of images, bag or camera.

    pose_ros video walk.mp4 -o drawn.mp4 --json people.jsonl
    """
    from pose_ros.batch.depth_frames import camera_images, find_depth
    from pose_ros.batch.one_source import check_complete, make_ignore_stage
    from pose_ros.cli.anonymise_bag import copies_bag, copy_bag
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.cli.outputs import CommandFiles, make_mcap
    from pose_ros.media.addresses import is_address
    from pose_ros.media.output_file import check_suffix
    from pose_ros.media.results import check_image_ids
    from pose_ros.media.sources import ImageFiles, Video, check_topic, open_source
    from pose_ros.media.video_file import SUFFIXES
    from pose_ros.pipeline import PosePipeline
    from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge

    config, overlay = options.make_configs(settings, threads, short_side, boxes, ids, anonymise)
    options.check_append(append, json)
    if output is not None and copies_bag(source, output, overlay):
        given = {"--json": json, "--coco": coco, "--csv": csv, "--mcap": mcap, "--topic": topic}
        _refuse_options({**given, "--max-frames": max_frames, "--depth-topic": depth_topic})
        load = partial(options.load_estimator, model, spec=spec, runtime=runtime, grouping=grouping, config=config)
        copy_bag(Path(source), output, load, overlay, keep_topics, drop_topics, strict)
        return
    _check_topic_options(drop_topics, keep_topics)
    if output is not None:
        check_suffix("--output", output, SUFFIXES)
    region = options.load_region(config)
    if mcap is not None:
        check_suffix("--mcap", mcap, (".mcap",))
    check_paths(
        [None if is_address(source) else Path(source), model, spec, options.refinement_input(config)],
        [("--json", json), ("--coco", coco), ("--csv", csv), ("--mcap", mcap), ("--output", output)],
    )
    failures = Failures(strict)
    frames = open_source(
        source,
        topic=topic,
        convert=convert_with_cv_bridge,
        on_broken=failures.add,
        notify=options.warn,
        hwaccel=hwaccel,
        reconnect_s=reconnect_s,
    )
    check_topic(frames, topic, "--topic")
    if coco is not None and isinstance(frames, ImageFiles):
        check_image_ids(file.name for file in frames.files)
    depth = find_depth(frames, depth_topic, partial(typer.echo, err=True))
    if depth is not None:
        config = replace(config, depth=replace(config.depth, enabled=True))
    estimator = options.load_estimator(model, spec=spec, runtime=runtime, grouping=grouping, config=config)
    if (output, json, coco, csv, mcap) == (None,) * 5:
        typer.echo("no results are kept; to keep them, add --output, --csv, --json, --coco or --mcap", err=True)
    rate_hz = 0.0 if output is None else frames.even_rate_hz()
    refiner, ignore = options.load_refiner(estimator), make_ignore_stage(region)
    pipeline = PosePipeline(estimator, refiner=refiner, ignore=ignore, on_depth_error=failures.add)
    images = camera_images(frames, depth, config.depth)
    with CommandFiles(estimator, json, coco, output, rate_hz, overlay, append, csv, mcap, make_mcap, region) as outputs:
        run = _process(images, frames.count, max_frames, pipeline, outputs)
        failures.stop_if_none(run.frames)
    typer.echo(f"{frames.name}: {run}")
    failures.finish()
    if isinstance(frames, Video):
        check_complete(frames, max_frames, run, partial(typer.secho, fg="yellow", err=True))


def _check_topic_options(drop_topics: str, keep_topics: str) -> None:
    """Raise ValueError for options that have no effect without the copy of a bag."""
    if drop_topics or keep_topics:
        raise ValueError("--drop-topics, --keep-topics: expected a bag with --anonymise and -o FOLDER as well")


def _refuse_options(given: Mapping[str, object]) -> None:
    """Raise ValueError if an option is given that has no effect on the copy of a bag."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: expected none with --anonymise and -o FOLDER, got {value}; run bag on the copy")


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
