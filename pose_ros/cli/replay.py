"""``pose_ros replay``: a recording as a camera topic. It needs ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pose_ros.cli.ros_needed import ros_needed


def replay(
    source: Annotated[str, typer.Argument(help="Video, folder of images, or rosbag2.", show_default=False)],
    ros_args: Annotated[
        list[str] | None, typer.Argument(help="After --: arguments for ROS, such as --ros-args -r __ns:=/left.")
    ] = None,
    topic: Annotated[
        str, typer.Option("--topic", help="Topic to publish on.", show_default="image, or image/compressed")
    ] = "",
    from_topic: Annotated[
        str | None, typer.Option("--from", help="Image topic of the bag, where there are several.")
    ] = None,
    rate_hz: Annotated[
        float, typer.Option("--rate", min=0, max=1000, help="Images per second.", show_default="as recorded")
    ] = 0.0,
    speed: Annotated[float, typer.Option("--speed", min=0.01, max=100, help="Multiple of the recorded speed.")] = 1.0,
    compressed: Annotated[bool, typer.Option("--compressed", help="Publish JPEG instead of raw images.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until interrupted.")] = False,
    stamps: Annotated[
        str, typer.Option("--stamps", metavar="original|now", help="Recorded stamps, or the time of publishing.")
    ] = "original",
    clock: Annotated[
        bool, typer.Option("--clock", help="Publish the time of the recording on /clock, for use_sim_time.")
    ] = False,
    frame_id: Annotated[
        str, typer.Option("--frame-id", help="Frame of the messages.", show_default="as recorded, or camera")
    ] = "",
    camera_info: Annotated[
        Path | None, typer.Option("--camera-info", help="Calibration to publish: YAML of camera_calibration.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=3600, help="Longest wait for a subscriber before the start, s.")
    ] = 10.0,
) -> None:
    """Publish a recording like a camera.

    pose_ros replay walk.mp4 --topic camera/image_raw --loop
    """
    with ros_needed("replay"):
        from pose_ros.ros.replay import player
    from pose_ros.media.sources import open_source

    config = player.ReplayConfig(
        topic=topic,
        rate_hz=rate_hz,
        speed=speed,
        compressed=compressed,
        loop=loop,
        stamps=stamps,
        clock=clock,
        frame_id=frame_id,
        camera_info=str(camera_info or ""),
        wait_s=wait_s,
    )
    result = player.replay(open_source(source, topic=from_topic), config, ros_args or ())
    late = f", up to {result.late_ms:.0f} ms late" if result.late_ms > 1e3 / 30 else ""
    typer.echo(f"{source}: {result.images} images in {result.duration_s:.1f} s{late}")
