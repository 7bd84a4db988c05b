"""``pose_ros tune``: choose the input size of a model for the images of a camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import options

if TYPE_CHECKING:
    from pose_ros.cli.failures import Failures
    from pose_ros.estimator import PoseEstimator
    from pose_ros.evaluation.short_sides import MeasuredSize


def tune(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="[MODEL] IMAGES", help="ONNX file, and folder, video or bag.", show_default=False),
    ],
    labels: Annotated[
        Path | None, typer.Option("--labels", help="COCO label file of the images.", show_default=False)
    ] = None,
    short_side: Annotated[
        list[int] | None,
        typer.Option(
            "--short-side",
            min=1,
            max=4096,
            help="Size to measure, px. Repeatable.",
            show_default="four around the model's",
        ),
    ] = None,
    first: Annotated[int, typer.Option("--first", min=1, help="Most images to use, spread over the source.")] = 200,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG plot to write.", show_default=False)
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="Image topic, if the bag has several.")] = None,
    spec: options.Spec = None,
    runtime: options.Runtime = "auto",
    grouping: options.Grouping = None,
    threads: options.Threads = None,
    settings: options.SetOption = None,
) -> None:
    """Choose the input size of a model for your own images.

    Without labels, it counts the people that each size finds. With labels, it measures AP.

    pose_ros tune recording/ --topic /camera/image_raw
    """
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.cli.tables import format_table
    from pose_ros.evaluation.short_sides import choose_size, default_short_sides

    if len(sources) > 2:
        raise ValueError(f"IMAGES: expected [MODEL] IMAGES, got {len(sources)} names")
    *models, images = sources
    model = models[0] if models else None
    if output is not None:
        if output.suffix.lower() != ".png":
            raise ValueError(f"--output: expected a name ending in .png, got {output}")
        check_paths([images, model, labels, spec], [("--output", output)])
    _check_packages(labels is not None, output is not None)
    config, _ = options.make_configs(settings, threads, None, False, False)
    estimator = options.load_estimator(model, spec=spec, runtime=runtime, grouping=grouping, config=config)
    sides = sorted(set(short_side or default_short_sides(estimator)))
    failures = Failures(False)
    if labels is None:
        sizes, name = _count_people(estimator, images, topic, sides, first, failures), "people per image"
    else:
        sizes, name = _measure_precision(estimator, images, labels, sides, first), "AP"
    rows = [("short side", name, "ms per image")]
    rows += [(str(size.short_side), f"{size.score:.3f}", f"{size.time_ms:.1f}") for size in sizes]
    typer.echo(format_table(rows))
    if output is not None:
        from pose_ros.evaluation.plots import sizes_plot
        from pose_ros.files import atomic_write

        columns = [size.short_side for size in sizes], [size.score for size in sizes], [size.time_ms for size in sizes]
        with atomic_write(output) as unfinished:
            unfinished.write_bytes(sizes_plot(*columns, name))
    if not any(size.score for size in sizes):
        raise ValueError(f"{images}: expected people in the images, got none at any size")
    typer.echo(f"preprocess.short_side: {choose_size(sizes).short_side}")
    failures.finish()


def _check_packages(precision: bool, plot: bool) -> None:
    """Raise ImportError for a missing package now, not after the measurement."""
    from pose_ros.evaluation.coco import cocoeval
    from pose_ros.evaluation.plots import new_figure

    if precision:
        cocoeval()
    if plot:
        new_figure(1, 1)


def _count_people(
    estimator: PoseEstimator, images: Path, topic: str | None, sides: Sequence[int], first: int, failures: Failures
) -> list[MeasuredSize]:
    from pose_ros.evaluation.short_sides import count_people
    from pose_ros.media.sources import check_topic, open_source
    from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge

    source = open_source(str(images), topic=topic, convert=convert_with_cv_bridge, on_broken=failures.add)
    check_topic(source, topic, "--topic")
    step = max(1, (source.count or 0) // first)  # images from the whole source, if its length is known
    total = first if source.count is None else min(first, -(-source.count // step))
    frames = _show_progress(islice(islice(source, 0, None, step), first), total)
    pixels = (frame.image_bgr for frame in frames)
    try:
        return count_people(estimator, pixels, sides, estimator.config.tracking.strong_score)
    except ValueError:
        failures.finish()  # no image could be read
        raise


def _measure_precision(
    estimator: PoseEstimator, images: Path, labels: Path, sides: Sequence[int], first: int
) -> list[MeasuredSize]:
    from pose_ros.evaluation.data_sets import read_data
    from pose_ros.evaluation.short_sides import measure_precision

    data = read_data(labels, images).select(first)
    return measure_precision(estimator, data, sides, lambda items: _show_progress(items, len(items)))


def _show_progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    return track(items, "measuring", total=total, console=Console(stderr=True))
