"""``pose_ros label`` and ``pose_ros merge-labels``: label images with models, to train another model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pose_ros.cli import options
from pose_ros.texts import format_count

LabelOutput = Annotated[
    Path, typer.Option("--output", "-o", help="Label file to write: COCO JSON with keypoint_scores.")
]


def label(
    folder: Annotated[Path, typer.Argument(help="Folder of images.", show_default=False)],
    output: LabelOutput,
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="Teacher: ONNX file or checkpoint. Repeatable.")
    ] = None,
    spec: options.Spec = None,
    grouping: options.Grouping = None,
    skeleton: Annotated[str, typer.Option("--skeleton", help="Skeleton of the labels.")] = "openpose_18",
    short_side: Annotated[
        list[int] | None,
        typer.Option(
            "--short-side", help="Shorter side of the network input, px. Repeatable.", show_default="from each model"
        ),
    ] = None,
    flip: Annotated[bool, typer.Option(help="Also run the mirrored images.")] = True,
    refine: Annotated[
        Path | None,
        typer.Option("--refine", help="Second stage: model for one person, which refines the crop of each person."),
    ] = None,
    threads: options.Threads = None,
    settings: options.SetOption = None,
    strict: options.Strict = False,
) -> None:
    """Label images with the predictions of one or more models.

    Each keypoint is stored with its score.

    pose_ros label frames/ -o labels.json --model teacher.onnx --short-side 368 --short-side 480 --refine thunder.onnx
    """
    from rich.progress import track

    from pose_ros.cli.check_paths import check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.consensus import Views
    from pose_ros.datasets import teacher
    from pose_ros.datasets.labels import DEFAULT_GATES
    from pose_ros.datasets.labels_file import LabelFile
    from pose_ros.datasets.taught import count_scored
    from pose_ros.media.results import image_id
    from pose_ros.media.sources import images_in
    from pose_ros.skeleton import SKELETONS

    if skeleton not in SKELETONS:
        raise ValueError(f"--skeleton: expected one of {', '.join(SKELETONS)}, got {skeleton!r}")
    options.refuse_twice(settings, {"preprocess.short_side": short_side})
    config, _ = options.make_configs(settings, threads, None, False, False)
    check_paths([folder, *(model or ()), spec, refine], [("--output", output)])
    models: list[Path | None] = [*model] if model else [None]
    teachers = [
        options.load_estimator(file, spec=spec, runtime="auto", grouping=grouping, config=config) for file in models
    ]
    second = (
        None
        if refine is None
        else options.load_estimator(refine, spec=None, runtime="auto", grouping=None, config=config)
    )
    views = Views(teachers, SKELETONS[skeleton], short_side or (), flip, second)
    files, labels, images, people = images_in(folder), LabelFile(output, views.skeleton), 0, 0
    numbers = {file: image_id(file.name, index) for index, file in enumerate(files)}  # as of pose_ros image --coco
    failures, taught = Failures(strict), Counter[str]()
    results = teacher.label_images(views, files, failures.add)
    for file, size_wh, found in track(results, "labelling", total=len(files)):
        labels.add(file.name, size_wh, teacher.to_annotations(found), numbers[file])
        images, people = images + 1, people + len(found)
        taught.update(count_scored(found))
    failures.stop_if_none(images)
    labels.close()
    typer.echo(f"{output}: {format_count(people, 'person', 'people')} in {format_count(images, 'image')}")
    scored = format_count(taught["people"], "person", "people")
    typer.echo(f"{output}: taught: {scored} with {format_count(taught['keypoints'], 'keypoint')}")
    if not taught["people"]:
        text = f"{output}: teaches nothing, and pose_ros train would stop: no person has enough keypoints with a score"
        typer.secho(f"{text} of at least {DEFAULT_GATES.label}", fg="yellow", err=True)
    failures.finish()


def merge_labels(
    files: Annotated[list[Path], typer.Argument(help="Label files of the same images.", show_default=False)],
    output: LabelOutput,
) -> None:
    """Merge the label files of several models into one.

    The score of a keypoint is the mean over the files.

    pose_ros merge-labels first.json second.json -o labels.json
    """
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.datasets import teacher

    check_paths(files, [("--output", output)])
    teacher.merge(files, output)
    typer.echo(f"{output}: merged {format_count(len(files), 'file')}")
