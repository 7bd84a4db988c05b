"""Options that several commands share, and the configuration built from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.config import AUTO, EstimatorConfig, OverlayConfig

if TYPE_CHECKING:
    from pose_ros.estimator import PoseEstimator
    from pose_ros.media.regions import IgnoredRegion
    from pose_ros.refinement import Refiner
    from pose_ros.refinement.stage import RefinementStage

Model = Annotated[
    Path | None,
    typer.Option(
        "--model", help="ONNX file, checkpoint, or triton://HOST/MODEL.", show_default="the model of this package"
    ),
]
Spec = Annotated[Path | None, typer.Option("--spec", help="YAML description of the model, if the file has none.")]
Grouping = Annotated[
    str | None,
    typer.Option(
        "--grouping", help="Grouping: paf, tag, personlab, centernet, single or direct.", show_default="from the model"
    ),
]
Runtime = Annotated[str, typer.Option("--runtime", help="Runtime: auto, tensorrt, onnx, openvino, torch or triton.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads of the network.", show_default="automatic")]


def _parse_short_side(text: str) -> int:
    """Return the short side, px. ``auto`` is a word of the setting.

    Raises:
        typer.BadParameter: If the text is neither a whole number nor ``auto``.
    """
    if text == "auto":
        return AUTO
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a whole number or auto, got {text!r:.80}") from error


ShortSide = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        parser=_parse_short_side,
        metavar="PX|auto",
        help="Shorter side of the network input, px. auto = by the people.",
        show_default="from the model",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. decoder.score_threshold=0.2. Repeatable."),
]
Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        help="Category of people, name or id. Repeatable.",
        show_default="with keypoints, by name",
    ),
]
Boxes = Annotated[bool, typer.Option("--boxes", help="Draw a box around each person.")]
Ids = Annotated[bool, typer.Option("--ids", help="Draw the id of each person, or the score without tracking.")]
Anonymise = Annotated[
    str | None,
    typer.Option("--anonymise", metavar="blur|pixelate|black", help="Cover the heads of people.", show_default="off"),
]
Json = Annotated[
    Path | None, typer.Option("--json", help="JSON Lines file to write, one line per image.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option("--csv", help="CSV file to write, one row per person.", show_default=False)]
Mcap = Annotated[
    Path | None,
    typer.Option("--mcap", help="MCAP file to write, one PersonPoseArray per image. Needs ROS 2.", show_default=False),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        help="PNG file to write, or folder for several: 0 = no person, n = the n-th person. For models with masks.",
        show_default=False,
    ),
]
Append = Annotated[bool, typer.Option("--append", help="Add lines to the --json file, in place, instead.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first image that cannot be read.")]
Coco = Annotated[Path | None, typer.Option("--coco", help="COCO keypoint results to write.", show_default=False)]

RECONNECT_S = 60.0
Hwaccel = Annotated[
    str,
    typer.Option(
        "--hwaccel",
        help="Hardware decoder of FFmpeg, e.g. cuda or vaapi. Needs PyAV.",
        show_default="software",
        metavar="NAME",
    ),
]
Reconnect = Annotated[
    float,
    typer.Option(
        "--reconnect",
        min=0,
        max=1e9,
        metavar="SECONDS",
        help="Live stream: end after this time without an image. 0 = do not reconnect.",
    ),
]


def warn(line: str) -> None:
    """Print a warning above a progress bar."""
    typer.secho(line, fg="yellow", err=True)


def load_estimator(
    model: Path | None, *, spec: Path | None, runtime: str, grouping: str | None, config: EstimatorConfig
) -> PoseEstimator:
    """Load a model. Shows a progress bar while an engine is built.

    Raises:
        ValueError: If ``runtime`` is another one than the settings name.
    """
    check_runtime(runtime, config)
    from pose_ros.cli.progress import BuildBar
    from pose_ros.estimator import PoseEstimator

    with BuildBar() as bar:
        return PoseEstimator.load(
            model,
            runtime=runtime,
            grouping=grouping,
            spec=spec,
            config=config,
            progress=bar.progress,
            notify=bar.notify,
        )


def check_runtime(runtime: str, config: EstimatorConfig) -> None:
    """Raise ValueError if ``--runtime`` is another one than the settings name."""
    backend = config.runtime.backend
    if "auto" not in (runtime, backend) and runtime != backend:
        raise ValueError(f"--runtime: expected the runtime once, got {runtime} and runtime.backend={backend}")


def load_refiner(estimator: PoseEstimator) -> Refiner | None:
    """Load the second network that the settings of an estimator name. None if they name none."""
    from pose_ros.cli.progress import BuildBar
    from pose_ros.refinement.stage import load_refiner

    with BuildBar() as bar:
        return load_refiner(estimator.config, estimator.skeleton, bar.progress, bar.notify)


def load_refinement(estimator: PoseEstimator) -> RefinementStage | None:
    """Load the second network for images that do not follow each other. None if the settings name none."""
    from pose_ros.refinement.stage import RefinementStage

    refiner = load_refiner(estimator)
    return None if refiner is None else RefinementStage.of_single_images(refiner, estimator.config.refinement)


def refinement_input(config: EstimatorConfig) -> Path | None:
    """Return the file of the second network. None without one."""
    return Path(config.refinement.model) if config.refinement.model else None


def load_region(config: EstimatorConfig) -> IgnoredRegion | None:
    """Load the ignored region that the settings name. None if they name none."""
    from pose_ros.media.regions import find_region, load_regions

    return find_region(load_regions(config.regions.ignore))


def check_append(append: bool, json: Path | None) -> None:
    """Raise ValueError for ``--append`` without ``--json``: it would have no effect."""
    if append and json is None:
        raise ValueError("--append: expected --json FILE as well, got none")


def make_configs(
    settings: Sequence[str] | None,
    threads: int | None,
    short_side: int | None,
    boxes: bool,
    ids: bool,
    anonymise: str | None = None,
) -> tuple[EstimatorConfig, OverlayConfig]:
    """Build the settings of all stages, from ``--set`` and its shortcut options.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a setting does not exist, its value is out of range, or it is given twice.
    """
    from pose_ros.config_file import build_config, merge_assignments

    shortcuts = {"runtime.threads": threads, "preprocess.short_side": short_side, "overlay.boxes": boxes or None}
    refuse_twice(settings, {**shortcuts, "overlay.ids": ids or None, "overlay.anonymise": anonymise})
    given = {"runtime": {"threads": threads}, "preprocess": {"short_side": short_side}}
    options = {
        stage: {name: value for name, value in each.items() if value is not None} for stage, each in given.items()
    }
    drawing = {"boxes": boxes, "ids": ids, **({"anonymise": anonymise} if anonymise else {})}
    built = build_config(Settings, merge_assignments({**options, "overlay": drawing}, settings or ()))
    config = EstimatorConfig(**{entry.name: getattr(built, entry.name) for entry in fields(EstimatorConfig)})
    return config, built.overlay


def refuse_twice(settings: Sequence[str] | None, options: Mapping[str, object]) -> None:
    """Raise ValueError for a setting that ``--set`` gives twice, or that both ``--set`` and an option give.

    Args:
        settings: Texts ``name=value`` of ``--set``.
        options: Value of the option for each setting. None = not given.
    """
    names = [text.partition("=")[0].strip() for text in settings or ()]
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"--set {name}: expected the setting once, got it {count} times; remove all but one")
    for name, value in options.items():
        if value is not None and name in names:
            option = f"--{name.rpartition('.')[2].replace('_', '-')}"
            raise ValueError(f"--set {name}: expected the setting once, got {option} as well; remove one of them")


def first_given_option(context: typer.Context, names: Sequence[str]) -> str:
    """Return the first of these options that is on the command line, or an empty string."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return f"--{given[0].replace('_', '-')}" if given else ""


@dataclass(frozen=True)
class Settings(EstimatorConfig):
    """All settings that ``--set`` can change."""

    overlay: OverlayConfig = field(default_factory=OverlayConfig)
