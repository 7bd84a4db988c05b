"""Command line of ``pose_ros``: one file per group of commands, listed in ``commands.py``.

Errors are reported in one line. Heavy libraries are imported inside the commands that need them.
"""

from __future__ import annotations

import os
import signal
from typing import Annotated, Any

import typer

from pose_ros.cli.commands import HELP, LazyCommands
from pose_ros.cli.signal_guard import EXIT_CODES, SignalGuard


class Commands(LazyCommands):
    """Command group that reports exceptions of the library as one red line and an exit code."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the options of the program. ``--install-completion`` writes a file meanwhile."""
        try:
            return super().make_context(*args, **options)
        except OSError as error:
            from pose_ros.files import describe_os_error

            advice = "write the text of --show-completion to another file"
            typer.secho(f"pose_ros: {describe_os_error(error)}; {advice}", fg="red", err=True)
            raise SystemExit(1) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the selected command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_CODES[signal.SIGINT]) from None
        except (BrokenPipeError, typer.Exit, typer.Abort):
            raise  # the reader closed our output, or a command exited: not an error
        except (ValueError, TypeError, OSError, ImportError, KeyError, RuntimeError) as error:
            if ctx.params.get("traceback"):
                raise
            from pose_ros.cli.error_text import add_advice, error_text

            typer.secho(f"pose_ros: {add_advice(error_text(error), error, ctx.invoked_subcommand)}", fg="red", err=True)
            raise typer.Exit(1) from None


# Without rich, which takes 0.15 s to import, and which the help and the errors of options would load.
app = typer.Typer(
    cls=Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)


FIRST_STEPS = """\
pose_ros finds people in images, videos and recordings. The commonest tasks:

  pose_ros demo                           see it work on a clip of pedestrians
  pose_ros image photo.jpg -o drawn.jpg   find the people in a photo
  pose_ros video walk.mp4 -o drawn.mp4    in a video. 0 = first webcam
  pose_ros bag my_bag -o drawn.mp4        in a ROS 2 recording
  pose_ros doctor                         check what works on this machine

All commands: pose_ros --help. Options of a command: pose_ros image --help"""


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from pose_ros.cli.doctor import version

        typer.echo(f"pose_ros {version()}")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="POSE_ROS_TRACEBACK", help="Print the Python traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Estimate the poses of people in images, videos and recordings.

    pose_ros image photo.jpg -o drawn.jpg
    """
    if context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS)


def main(has_guard: bool = True) -> None:
    """Run the program and exit.

    Args:
        has_guard: Whether to end soon after a signal. False = the handlers stay as they are.
    """
    # We report a broken file in one line with its name. Messages of OpenCV and FFmpeg would surround that line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        if has_guard:
            SignalGuard().install()
        app()
    except KeyboardInterrupt:  # before or after the command itself
        raise SystemExit(EXIT_CODES[signal.SIGINT]) from None
    finally:
        for number in EXIT_CODES:  # the end of the interpreter cannot be interrupted without a traceback
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
