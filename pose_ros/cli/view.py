"""``pose_ros view``: show a running node in a web page."""

from __future__ import annotations

from typing import Annotated

import typer

from pose_ros.cli.ros_needed import require_ros

NO_AIOHTTP = "view: expected aiohttp, got none ({}); install it: pip install aiohttp, or apt install python3-aiohttp"


def view(
    ros_args: Annotated[
        list[str] | None, typer.Argument(help="ROS arguments after --, e.g. -- --ros-args -r __ns:=/left.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            help="Node to show, e.g. /robot/pose_estimator, or one of its cameras. Repeatable. / = all.",
            show_default="/pose_estimator",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. 0.0.0.0 = reachable from the whole network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port. 0 = any free port.")] = 8080,
) -> None:
    """Show a running node in a live web page.

    The page shows the images with people, counts, rates and latencies.

    pose_ros view --topic /pose_estimator
    """
    with require_ros("view"):
        pass  # without ROS, aiohttp does not help
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise ImportError(NO_AIOHTTP.format(error)) from error
    with require_ros("view"):
        from pose_ros.ros.view import viewer as live
    topics = topic or ["/pose_estimator"]

    def print_address(address: str) -> None:
        typer.echo(f"{', '.join(topics)}: {address}  (Ctrl-C to stop)")

    live.view(topics, host, port, print_address, ros_args or ())
