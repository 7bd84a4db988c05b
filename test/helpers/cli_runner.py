"""Run the program ``pose_ros`` in the process of the test."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from pose_ros.cli import app


def run(*arguments: object) -> Result:
    """Run the program. Raise the exceptions that it does not handle."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
