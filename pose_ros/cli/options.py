"""The options that several commands share, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.config import EstimatorConfig, OverlayConfig

if TYPE_CHECKING:
    from pose_ros.estimator import PoseEstimator

Model = Annotated[
    Path | None, typer.Option("--model", help="ONNX file or checkpoint; by default the model of this package.")
]
Spec = Annotated[Path | None, typer.Option("--spec", help="YAML description of a model that has none of its own.")]
Grouping = Annotated[str | None, typer.Option("--grouping", help="Way to form people; by default the model's own.")]
Runtime = Annotated[
    str, typer.Option("--runtime", help="What runs the network: auto, tensorrt, onnx, openvino or torch.")
]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads of the network.", show_default="automatic")]
ShortSide = Annotated[
    int | None, typer.Option("--short-side", help="Shorter side of the network input, px.", show_default="the model's")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as decoder.score_threshold=0.2; repeatable."),
]
Boxes = Annotated[bool, typer.Option("--boxes", help="Draw the box of each person.")]
Ids = Annotated[bool, typer.Option("--ids", help="Write id and score beside each person.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write JSON lines, one per image.", show_default=False)]
Coco = Annotated[Path | None, typer.Option("--coco", help="Write COCO keypoint results.", show_default=False)]


def load_estimator(
    model: Path | None, *, spec: Path | None, runtime: str, grouping: str | None, config: EstimatorConfig
) -> PoseEstimator:
    """Load the chosen model, with a bar while an engine is built for it."""
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
            say=bar.say,
        )


def configs(
    settings: Sequence[str] | None, threads: int | None, short_side: int | None, boxes: bool, ids: bool
) -> tuple[EstimatorConfig, OverlayConfig]:
    """Settings of all stages, from ``--set`` and the options that abbreviate it.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If there is no such setting, or its value is out of range.
    """
    from pose_ros.config_file import build_config, merge_assignments

    given = {"runtime": {"threads": threads}, "preprocess": {"short_side": short_side}}
    options = {
        stage: {name: value for name, value in each.items() if value is not None} for stage, each in given.items()
    }
    built = build_config(
        _Settings, merge_assignments({**options, "overlay": {"boxes": boxes, "ids": ids}}, settings or ())
    )
    return EstimatorConfig(built.preprocess, built.runtime, built.decoder), built.overlay


@dataclass(frozen=True)
class _Settings(EstimatorConfig):
    """Everything that ``--set`` can change."""

    overlay: OverlayConfig = field(default_factory=OverlayConfig)
