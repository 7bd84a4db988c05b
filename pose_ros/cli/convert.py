"""``pose_ros convert``: turn stored people into files of other tools."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pose_ros.texts import format_count


class Form(str, Enum):
    """Format of the files to write."""

    OPENPOSE = "openpose"
    POSE2SIM = "pose2sim"
    TRC = "trc"


class Order(str, Enum):
    """Order of the keypoints in OpenPose's files."""

    BODY_25 = "body_25"
    COCO_17 = "coco_17"
    OPENPOSE_18 = "openpose_18"


def convert(
    people: Annotated[list[Path], typer.Argument(help="JSON Lines files of people.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    form: Annotated[Form, typer.Option("--to", help="Format.")] = Form.OPENPOSE,
    skeleton: Annotated[
        Order | None,
        typer.Option("--skeleton", help="Order of the keypoints.", show_default="body_25; pose2sim: coco_17"),
    ] = None,
) -> None:
    """Convert people for OpenPose's readers, Pose2Sim or OpenSim.

    pose_ros video walk.mp4 --json walk.jsonl && pose_ros convert walk.jsonl --to openpose -o walk_openpose
    """
    from pose_ros.cli.check_paths import check_folder
    from pose_ros.exchange.convert import convert_people
    from pose_ros.skeleton import SKELETONS

    if skeleton is not None and form is Form.TRC:
        raise ValueError(
            "--skeleton: expected --to openpose or pose2sim, got trc, which keeps the keypoints of the file"
        )
    target = SKELETONS[skeleton.value] if skeleton is not None else None
    check_folder("--output", output.parent)
    count = convert_people(people, output, form.value, target)
    typer.echo(f"{output}: {format_count(count, 'file')}")
