"""``pose_ros replay``: publish a recording as a camera topic. Needs ROS."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pose_ros.cli.launched import exit_0_on_signals
from pose_ros.cli.options import RECONNECT_S, Hwaccel, Reconnect, Strict, warn
from pose_ros.cli.ros_needed import require_ros
from pose_ros.texts import format_count


def replay(
    source: Annotated[
        str, typer.Argument(help="Video, folder of images, rosbag2, camera or address.", show_default=False)
    ],
    ros_args: Annotated[
        list[str] | None, typer.Argument(help="ROS arguments after --, e.g. -- --ros-args -r __ns:=/left.")
    ] = None,
    topic: Annotated[
        str, typer.Option("--topic", help="Topic to publish on.", show_default="image, or image/compressed")
    ] = "",
    from_topic: Annotated[str | None, typer.Option("--from", help="Image topic of the bag, if it has several.")] = None,
    rate_hz: Annotated[
        float, typer.Option("--rate", min=0, max=1000, help="Images per second.", show_default="as recorded")
    ] = 0.0,
    speed: Annotated[float, typer.Option("--speed", min=0.01, max=100, help="Speed relative to the recording.")] = 1.0,
    compressed: Annotated[bool, typer.Option("--compressed", help="Publish JPEG instead of raw images.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat until interrupted.")] = False,
    stamps: Annotated[
        str,
        typer.Option(
            "--stamps", metavar="original|now", help="Message stamps: as recorded, or the time of publishing."
        ),
    ] = "original",
    clock: Annotated[
        bool, typer.Option("--clock", help="Publish the recorded time on /clock, for use_sim_time.")
    ] = False,
    frame_id: Annotated[
        str, typer.Option("--frame-id", help="Frame id of the messages.", show_default="as recorded, or camera")
    ] = "",
    camera_info: Annotated[
        Path | None, typer.Option("--camera-info", help="Calibration to publish: YAML file of camera_calibration.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=3600, help="Longest wait for a subscriber, seconds. 0 = no wait.")
    ] = 10.0,
    also: Annotated[
        str,
        typer.Option("--also", help="Other topics of the bag to publish, such as /tf,/tf_static. all = all topics."),
    ] = "",
    launched: Annotated[
        bool, typer.Option("--launched", help="Exit with code 0 when interrupted, as launch files expect.")
    ] = False,
    hwaccel: Hwaccel = "",
    reconnect_s: Reconnect = RECONNECT_S,
    strict: Strict = False,
) -> None:
    """Publish a video, folder of images or bag as a ROS camera.

    pose_ros replay walk.mp4 --topic camera/image_raw --loop
    """
    with exit_0_on_signals() if launched else nullcontext():
        with require_ros("replay"):
            from pose_ros.ros.replay import player
        from pose_ros.cli.failures import Failures
        from pose_ros.media.sources import check_topic, open_source

        config = player.ReplayConfig(
            topic=topic,
            also=also,
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
        failures = Failures(strict)
        frames = open_source(
            source,
            topic=from_topic,
            on_broken=failures.add,
            notify=warn,
            hwaccel=hwaccel,
            reconnect_s=reconnect_s,
        )
        check_topic(frames, from_topic, "--from")
        result = player.replay(frames, config, ros_args or ())
        late = f", up to {result.late_ms:.0f} ms late" if result.late_ms > 1e3 / 30 else ""
        typer.echo(f"{frames.name}: {format_count(result.images, 'image')} in {result.duration_s:.1f} s{late}")
        failures.finish()
