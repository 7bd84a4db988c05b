"""Commands of the program. A command is imported when it runs, so that the help of the program starts fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Listed(NamedTuple):
    """A command in the list of commands.

    Attributes:
        place: Module in ``pose_ros.cli``, and its function or group.
        summary: First line of the help. It equals that of the function's docstring, except with ``example``.
        example: Rest of the help. Empty = the help is the function's docstring.
    """

    place: str
    summary: str
    example: str = ""


HELP = {"help_option_names": ["-h", "--help"]}

COMMANDS = {
    "demo": Listed("demo:demo", "Find the people in a clip of pedestrians, and draw them."),
    "image": Listed("image:image", "Find people in images."),
    "video": Listed("video:video", "Find people in a video, folder of images, bag or camera."),
    "bag": Listed(
        "video:video",
        "Find people in a rosbag2. Same as video.",
        "pose_ros bag recording --topic /camera/image_raw -o drawn.mp4",
    ),
    "batch": Listed("batch:batch", "Find people in many files. Started again, it does what is left."),
    "replay": Listed("replay:replay", "Publish a video, folder of images or bag as a ROS camera."),
    "convert": Listed("convert:convert", "Convert people for OpenPose's readers, Pose2Sim or OpenSim."),
    "decode": Listed("decode:decode", "Run a decoder on stored network outputs."),
    "build-engine": Listed("build_engine:build_engine", "Build the TensorRT engine of a model ahead of time."),
    "doctor": Listed("doctor:doctor", "Report what is installed, what works, and how to fix the rest."),
    "evaluate": Listed("evaluate:evaluate", "Measure the accuracy and speed of a model on labelled images."),
    "export": Listed("export:export", "Export a network to ONNX and verify the file."),
    "inspect": Listed("data:inspect", "Draw training samples with their labels on one sheet."),
    "synthetic": Listed("data:synthetic", "Render synthetic images of people with COCO labels."),
    "label": Listed("label:label", "Label images with the predictions of one or more models."),
    "merge-labels": Listed("label:merge_labels", "Merge the label files of several models into one."),
    "train": Listed("train:train", "Train a network, or continue a stopped run."),
    "tune": Listed("tune:tune", "Choose the input size of a model for your own images."),
    "view": Listed("view:view", "Show a running node in a live web page."),
    "models": Listed("models:app", "List, download and describe models, and manage engines."),
}
"""All commands, in the order of the help."""


class LazyCommands(TyperGroup):
    """Group of the commands in ``COMMANDS``. A command is imported when it is looked up."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: Any = _Commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


class _Commands(Mapping[str, Any]):
    """Commands by name."""

    def __getitem__(self, name: str) -> Any:
        return _load_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _load_command(name: str) -> Any:
    """Import a command, and return it with its options.

    Raises:
        KeyError: If there is no such command.
    """
    entry = COMMANDS[name]
    module, attribute = entry.place.split(":")
    found = getattr(import_module(f"pose_ros.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    app.command(name, help=f"{entry.summary}\n\n{entry.example}" if entry.example else None)(found)
    return typer.main.get_command(app)
