"""``pose_ros evaluate``: compare a model, or stored results, with labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options
from pose_ros.cli.options import Runtime, SetOption, Spec, Threads, load_estimator, make_configs, refuse_twice
from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.config import EstimatorConfig
    from pose_ros.estimator import PoseEstimator
    from pose_ros.evaluation.data import DataSet, LabelledImage
    from pose_ros.evaluation.scores import Evaluation


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Label file.", show_default=False)],
    model: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]", help="ONNX file or checkpoint.", show_default="the model of this package"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images.", show_default="next to the labels")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="Format of the labels: coco (also for CrowdPose), lsp or mpii.")
    ] = "coco",
    category: options.Categories = None,
    grouping: Annotated[
        list[str] | None,
        typer.Option("--grouping", metavar="NAME...", help="Groupings to compare.", show_default="from the model"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report and all numbers.", show_default=False)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="COCO results file to evaluate instead of a model.", show_default=False),
    ] = None,
    first: Annotated[int, typer.Option("--first", min=0, help="Number of images to use. 0 = all.")] = 0,
    image_list: Annotated[
        Path | None, typer.Option("--image-list", help="Text file with the names of the images to use, one per line.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Also run the mirrored images.")] = False,
    short_side: Annotated[
        list[int] | None,
        typer.Option(
            "--short-side", help="Shorter side of the network input, px. Repeatable.", show_default="from the model"
        ),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show images of failures in the report.")] = True,
    spec: Spec = None,
    runtime: Runtime = "auto",
    threads: Threads = None,
    settings: SetOption = None,
) -> None:
    """Measure the accuracy and speed of a model on labelled images.

    Reports AP, PCK, kinds of errors and time per image.

    pose_ros evaluate model.onnx --data person_keypoints_val.json --grouping paf tag -o report

    pose_ros evaluate --results people.json --data person_keypoints_val.json
    """
    from pose_ros.datasets.sets import read_image_list
    from pose_ros.evaluation.data_sets import read_data

    _check_packages(output is not None)
    if output is not None:
        _check_report([data, images, results, image_list, spec, *map(Path, model or ())], output)
    file, groupings = _model_and_groupings(model or (), grouping or ())
    whole = read_data(data, images, format, category or ())
    for line in whole.report.lines() if whole.report is not None else ():
        typer.echo(line, err=True)
    labelled = whole.select(first, read_image_list(image_list, "--image-list") if image_list else ())
    sides = short_side or []
    if results is not None:
        views = {"a model": file, "--grouping": groupings, "--flip": flip, "--short-side": sides, "--spec": spec}
        _refuse_settings({**views, "--runtime": runtime != "auto", "--threads": threads, "--set": settings})
        labelled.check_rotation()
        name, evaluations = results.stem, _evaluate_results(results, labelled)
        described = [f"results: {results}"]
        _report_unlisted(results, whole)
    else:
        refuse_twice(settings, {"preprocess.short_side": sides or None})
        config, _ = make_configs(settings, threads, sides[0] if len(sides) == 1 else None, False, False)
        preferred = groupings[0] if groupings else None
        estimator = load_estimator(file, spec=spec, runtime=runtime, grouping=preferred, config=config)
        name, evaluations = estimator.model_name, _evaluate_model(estimator, labelled, groupings, flip, sides)
        described = [*_describe_model(estimator, sides), *_describe_settings(config)]
    _print_table(evaluations)
    if output is not None:
        source = f"data: {format_count(len(labelled), 'image')} of {data}"
        notes = [source, *described, *["with mirrored images"] * flip]
        _write_report(output, name, evaluations, pictures, notes)


def _check_report(inputs: Sequence[Path | None], folder: Path) -> None:
    """Raise ValueError if a file of the report would replace an input."""
    from pose_ros.cli.check_paths import check_paths

    files = [folder / "report.html", folder / "evaluation.json", *folder.glob("results_*.json")]
    check_paths(inputs, [("--output", file) for file in files])


def _check_packages(report: bool) -> None:
    """Raise ImportError for a missing package now, not after an hour of evaluation."""
    from pose_ros.evaluation.coco import cocoeval
    from pose_ros.evaluation.plots import new_figure

    cocoeval()
    if report:
        new_figure(1, 1)


def _model_and_groupings(arguments: Sequence[str], first: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Separate the model from the names that follow the first ``--grouping NAME``."""
    from pose_ros.fields import GROUPING_HEADS

    others = [argument for argument in arguments if first and argument in GROUPING_HEADS]
    models = [Path(argument) for argument in arguments if argument not in others]
    if len(models) > 1:
        raise ValueError(f"MODEL: expected one, got {', '.join(map(str, models))}")
    return (models[0] if models else None), list(dict.fromkeys([*first, *others]))


def _refuse_settings(settings: Mapping[str, object]) -> None:
    """Raise ValueError for settings of a model: they have no effect on stored results."""
    given = [name for name, value in settings.items() if value]
    if given:
        raise ValueError(f"--results: expected no model and no settings, got {', '.join(given)}")


def _evaluate_results(results: Path, labelled: DataSet) -> Mapping[str, Evaluation]:
    from pose_ros.evaluation.detections import read_results
    from pose_ros.evaluation.scores import evaluate_detections

    return {results.stem: evaluate_detections(labelled, read_results(results, labelled))}


def _report_unlisted(results: Path, whole: DataSet) -> None:
    from pose_ros.evaluation.detections import count_unlisted

    if count := count_unlisted(results, whole):
        typer.echo(f"{results}: left out: {count} results of an image that is not listed in {whole.name}", err=True)


def _evaluate_model(
    estimator: PoseEstimator, labelled: DataSet, groupings: Sequence[str], flip: bool, sides: Sequence[int]
) -> Mapping[str, Evaluation]:
    from rich.console import Console
    from rich.progress import track

    from pose_ros.evaluation.scores import evaluate_model

    def show_progress(images: Sequence[LabelledImage]) -> Iterable[LabelledImage]:
        return track(images, "evaluating", console=Console(stderr=True))

    scales = sides if len(sides) > 1 else ()
    refinement = options.load_refinement(estimator)
    return evaluate_model(
        *(estimator, labelled, groupings),
        flip=flip,
        short_sides=scales,
        refinement=refinement,
        track=show_progress,
    )


def _describe_model(estimator: PoseEstimator, sides: Sequence[int]) -> list[str]:
    """Describe the file, the runtime and the input size, for the report."""
    spec = estimator.spec.input
    fixed = f"{spec.size_wh[0]} × {spec.size_wh[1]} px, fixed" if spec.size_wh else ""
    short_sides = ", ".join(map(str, sides or estimator.short_sides))
    return [
        f"model: {estimator.model_name}, in {estimator.runner.description}",
        f"network input: {fixed or f'short side {short_sides} px'}",
    ]


def _describe_settings(config: EstimatorConfig) -> list[str]:
    """List the settings that differ from their defaults, for the report."""
    defaults = asdict(type(config)())
    changed = [
        f"{group}.{name}={value}"
        for group, settings in asdict(config).items()
        for name, value in settings.items()
        if value != defaults[group][name]
    ]
    return [f"settings: {', '.join(changed)}; all others are the defaults" if changed else "settings: the defaults"]


def _print_table(evaluations: Mapping[str, Evaluation]) -> None:
    from pose_ros.evaluation.report import main_table

    rows = main_table(evaluations)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        typer.echo("  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]))


def _write_report(
    output: Path, name: str, evaluations: Mapping[str, Evaluation], pictures: bool, notes: Sequence[str]
) -> None:
    from pose_ros.evaluation.report import write_report

    typer.echo(f"report: {write_report(output, name, evaluations, pictures, notes)}")
