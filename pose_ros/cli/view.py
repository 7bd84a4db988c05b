"""``pose_ros view``: a web page that shows a node at work."""

from __future__ import annotations

from typing import Annotated

import typer

from pose_ros.cli.ros_needed import ros_needed

NO_AIOHTTP = "view: expected aiohttp, got none ({}); install it: pip install aiohttp, or apt install python3-aiohttp"


def view(
    ros_args: Annotated[
        list[str] | None, typer.Argument(help="After --: arguments for ROS, such as --ros-args -r __ns:=/left.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            help="Name of a node, or of one of its cameras; several times for several. / shows all that there are.",
            show_default="/pose_estimator",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets everybody on the network look.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8080,
) -> None:
    """Serve a live web page: pictures with people, counts, rates and latencies.

    pose_ros view --topic /pose_estimator
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise ImportError(NO_AIOHTTP.format(error)) from error
    with ros_needed("view"):
        from pose_ros.ros.view import viewer as live
    topics = topic or ["/pose_estimator"]

    def say(address: str) -> None:
        typer.echo(f"{', '.join(topics)}: {address}  (Ctrl-C ends it)")

    live.view(topics, host, port, say, ros_args or ())
