"""``pose_ros demo``: find the people in a clip of pedestrians. Needs no ROS and no video of your own.

The clip is a sample of OpenCV. Its licence is not stated, so this package does not contain it.
"""

from __future__ import annotations

from pathlib import Path

import typer

from pose_ros.cli.video import MaxFrames, VideoOutput, video
from pose_ros.files import describe_os_error, user_cache

NAME = "vtest.avi"
FRAME_COUNT = 795
INSTALLED = Path("/usr/share/doc/opencv-doc/examples/data")
"""Folder of the package opencv-doc of Debian and Ubuntu."""
URL = "https://raw.githubusercontent.com/opencv/opencv/4.12.0/samples/data/vtest.avi"
CHECKSUM = "sha256:45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
ADVICE = "use a video of your own: pose_ros video my.mp4 -o drawn.mp4 --ids"
OFFLINE = f"on Debian and Ubuntu, sudo apt install opencv-doc, or {ADVICE}"


def demo(output: VideoOutput = Path("pose_ros_demo.mp4"), max_frames: MaxFrames = None) -> None:
    """Find the people in a clip of pedestrians, and draw them.

    The clip (8 MB) is downloaded once, from OpenCV's samples.

    pose_ros demo
    """
    from pose_ros.cli.check_paths import check_paths
    from pose_ros.media.output_file import check_suffix
    from pose_ros.media.video_file import SUFFIXES

    if output is not None:  # before the download
        check_suffix("--output", output, SUFFIXES)
        check_paths([], [("--output", output)])
    clip = load_clip()
    typer.echo(f"clip: {clip}")
    video(str(clip), output=output, max_frames=max_frames, ids=True)
    typer.echo(f"{output}: the people with their ids; next, {ADVICE}")


def load_clip() -> Path:
    """Return the clip: from the cache, from OpenCV's documentation on this machine, or downloaded into the cache.

    Raises:
        OSError: If it cannot be downloaded.
    """
    from pose_ros.cli.download_bar import download_bar
    from pose_ros.models.download import download

    cached = user_cache() / NAME
    for path in (cached, INSTALLED / NAME):
        if is_complete(path):
            return path
    cached.unlink(missing_ok=True)
    typer.echo(f"downloading the clip (8 MB, only once): {URL}", err=True)
    try:
        with download_bar(NAME) as progress:
            download(URL, cached, CHECKSUM, progress)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise OSError(
                f"demo: {describe_os_error(error)}; set XDG_CACHE_HOME to a folder that takes files"
            ) from error
        raise OSError(f"demo: expected the clip {NAME}, got: {error}; {OFFLINE}") from error
    return cached


def is_complete(path: Path) -> bool:
    """Check that the file exists and has all frames of the clip."""
    return path.is_file() and count_frames(path) == FRAME_COUNT


def count_frames(path: Path) -> int:
    """Return the number of frames of a video. 0 for any other file."""
    import cv2

    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))
