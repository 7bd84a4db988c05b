"""The program ``pose_ros``: one file per group of commands, errors in one line, heavy imports only when needed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pose_ros.cli import (
    build_engine,
    data,
    decode,
    doctor,
    evaluate,
    export,
    image,
    label,
    models,
    replay,
    train,
    video,
    view,
)

INTERRUPTED = 130
TERMINATED = 143


class Commands(TyperGroup):
    """Turns what the library raises into one red line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (BrokenPipeError, typer.Exit, typer.Abort):
            raise  # the reader of our output has gone, or a command has ended: no error
        except (ValueError, TypeError, OSError, ImportError, KeyError, RuntimeError) as error:
            if ctx.params.get("traceback"):
                raise
            typer.secho(f"pose_ros: {_text(error)}", fg="red", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("image")(image.image)
app.command("video")(video.video)
app.command("bag", help="Find the people in a rosbag2; another name of video.")(video.video)
app.command("replay")(replay.replay)
app.command("decode")(decode.decode)
app.command("build-engine")(build_engine.build_engine)
app.command("doctor")(doctor.doctor)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("inspect")(data.inspect)
app.command("synthetic")(data.synthetic)
app.command("label")(label.label)
app.command("merge-labels")(label.merge_labels)
app.command("train")(train.train)
app.command("view")(view.view)
app.add_typer(models.app, name="models")


@app.callback()
def options(
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="POSE_ROS_TRACEBACK", help="Show where an error comes from.")
    ] = False,
) -> None:
    """Finds the people in images, videos and recordings.

    pose_ros image photo.jpg -o drawn.jpg
    """


def main() -> None:
    """Run the program and exit."""
    # A broken file is reported by us, with its name; the libraries' own remarks would stand around it.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    signal.signal(signal.SIGTERM, _terminate)
    app()


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)  # by way of every "with", so that files are finished


def _text(error: Exception) -> str:
    """The message alone; KeyError would put it in quotes, and Python says of an absent PyTorch no cure."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return "torch: expected PyTorch, got none: pip install torch"
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or repr(error)
