"""``pose_ros image``: find people in image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options
from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.estimator import PoseEstimator


def image(
    files: Annotated[list[Path], typer.Argument(help="Images or folders of images.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Annotated image to write, or folder for several.", show_default=False),
    ] = None,
    masks: options.Masks = None,
    json: options.Json = None,
    coco: options.Coco = None,
    append: options.Append = False,
    strict: options.Strict = False,
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
) -> None:
    """Find people in images.

    pose_ros image photo.jpg -o drawn.jpg --json people.jsonl
    """
    from pose_ros.cli.check_paths import check_inputs, check_paths
    from pose_ros.cli.failures import Failures
    from pose_ros.cli.outputs import CommandFiles
    from pose_ros.media.anonymise import Anonymiser
    from pose_ros.media.masks import label_pixels
    from pose_ros.media.overlay import draw_covered
    from pose_ros.media.results import check_image_ids, write_image
    from pose_ros.media.sources import ImageFiles

    config, overlay = options.make_configs(settings, threads, short_side, boxes, ids, anonymise)
    options.check_append(append, json)
    region = options.load_region(config)
    check_inputs(files)
    inputs = _expand_folders(files)
    targets = [None] * len(inputs) if output is None else _target_files(inputs, output)
    maps = [None] * len(inputs) if masks is None else _mask_files(inputs, masks)
    drawn = [("--output", target) for target in targets] + [("--masks", target) for target in maps]
    check_paths([*inputs, model, spec, options.refinement_input(config)], [("--json", json), ("--coco", coco), *drawn])
    if coco is not None:
        check_image_ids(file.name for file in inputs)
    estimator = options.load_estimator(model, spec=spec, runtime=runtime, grouping=grouping, config=config)
    if masks is not None:
        _check_model(estimator)
    refinement = options.load_refinement(estimator)
    failures, done = Failures(strict or len(inputs) == 1), 0
    with CommandFiles(estimator, json, coco, append=append) as outputs:
        for frame in ImageFiles(inputs, files[0], on_broken=failures.add):
            people, target = estimator.estimate(frame.image_bgr), targets[frame.index]
            if region is not None:
                people = region.drop(people, frame.image_bgr.shape[1::-1])
            if refinement is not None:
                people = refinement.refine(people, frame.image_bgr)
            outputs.write(frame, people)
            if (people_map := maps[frame.index]) is not None:
                write_image(people_map, label_pixels(people, frame.image_bgr.shape[:2]))
            if target is not None:
                anonymiser = Anonymiser(estimator.skeleton, region)
                write_image(target, draw_covered(anonymiser, frame.image_bgr, people, overlay))
            typer.echo(f"{inputs[frame.index]}: {format_count(len(people), 'person', 'people')}")
            done += 1
        failures.stop_if_none(done)
    failures.finish()


def _expand_folders(files: Sequence[Path]) -> list[Path]:
    from pose_ros.media.sources import images_in

    return [image for file in files for image in (images_in(file) if file.is_dir() else [file])]


def _check_model(estimator: PoseEstimator) -> None:
    """Raise ValueError if a model finds no masks."""
    from pose_ros.decoder import fields_to_read

    read = fields_to_read(estimator.spec, estimator.grouping, estimator.config.decoder)
    if not {"long_offsets", "segmentation"} <= set(read):
        raise ValueError(
            f"--masks: expected a model with long offsets and a segmentation, and decoder.masks, got "
            f"{estimator.spec.name} with grouping {estimator.grouping}; use a PersonLab model"
        )
    if estimator.count_views() > 1:
        raise ValueError("--masks: expected one input size, got several preprocess.scales, whose masks are not merged")


def _mask_files(inputs: Sequence[Path], masks: Path) -> list[Path]:
    """Return the path of the masks of each image."""
    if masks.suffix.lower() == ".png" and not masks.is_dir():
        if len(inputs) > 1:
            raise ValueError(f"--masks: expected a folder for {len(inputs)} images, got {masks}")
        return [masks]
    return [masks / f"{file.name}.png" for file in inputs]


def _target_files(inputs: Sequence[Path], output: Path) -> list[Path]:
    """Return the path of each annotated image."""
    from pose_ros.media.results import WRITTEN_SUFFIXES

    if output.is_dir() or not any(letter.isalpha() for letter in output.suffix):
        names = (file.name if file.suffix.lower() in WRITTEN_SUFFIXES else f"{file.name}.png" for file in inputs)
        return [output / name for name in names]
    if output.suffix.lower() in WRITTEN_SUFFIXES and len(inputs) == 1:
        return [output]
    expected = f"a folder, or for one image a name ending in {', '.join(WRITTEN_SUFFIXES)}"
    raise ValueError(f"--output: expected {expected}, got {output}; a folder of this name must exist")
