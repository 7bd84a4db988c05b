"""Make images from the bag of a demo run: an annotated video, a contact sheet and an animation.

python demo/overlays.py                                      # write docs/demo.png from the bag of `make demo`
python demo/overlays.py --output docs/demo.gif               # write three seconds as an animation
python demo/overlays.py --bag BAG --output PNG --at 12.5 64  # show two moments of another bag side by side
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from bag import OVERLAY_TOPIC, POSES_TOPIC, read_messages

from pose_ros.arrays import ByteArray, Image, SizeWH
from pose_ros.media.image_messages import stamp_ns
from pose_ros.media.overlay import SIDE_COLOURS
from pose_ros.media.results import write_image
from pose_ros.media.sheet import arrange, write_caption
from pose_ros.media.video_file import VideoFile

ROOT = Path(__file__).resolve().parents[1]
LONGEST_HOLD_S = 5.0
README_MOMENT_S = 64.0
ANIMATION_S = 3.0
ANIMATION_WIDTH = 560
ANIMATION_COLOURS = 96


@dataclass(frozen=True)
class OverlayFrame:
    """Overlay image of a bag, still compressed.

    Attributes:
        stamp_ns: Stamp of the image, nanoseconds.
        time_s: Time since the first overlay of the bag, seconds.
        jpeg: Overlay as JPEG data.
        people: Number of people that the node found in the image.
    """

    stamp_ns: int
    time_s: float
    jpeg: ByteArray
    people: int

    def decode(self) -> Image:
        """Decompress the overlay to (H, W, 3) BGR."""
        return np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR), np.uint8)

    def tile(self) -> tuple[Image, str]:
        """Return the overlay and its caption."""
        return self.decode(), f"{self.time_s:.1f} s   {self.people} people"


def read_frames(bag: Path) -> Iterator[OverlayFrame]:
    """Read the overlays of a bag."""
    people = {stamp_ns(message.header): len(message.people) for message in read_messages(bag, POSES_TOPIC)}
    first_ns = None
    for message in read_messages(bag, OVERLAY_TOPIC):
        now_ns = stamp_ns(message.header)
        first_ns = now_ns if first_ns is None else first_ns
        yield OverlayFrame(now_ns, (now_ns - first_ns) / 1e9, message.data, people.get(now_ns, 0))


def hold_frames(frames: Iterable[OverlayFrame], rate_hz: float) -> Iterator[OverlayFrame]:
    """Repeat each frame until the next one is due, so that the video runs at an even rate despite dropped images."""
    last, written = None, 0
    for frame in frames:
        if last is not None:
            missing = max(0, round(min(frame.time_s * rate_hz - written, LONGEST_HOLD_S * rate_hz)))
            yield from repeat(last, missing)
            written += missing
        yield frame
        last, written = frame, written + 1


def write_video(frames: Iterable[OverlayFrame], target: Path, rate_hz: float) -> None:
    """Write frames to a video until the iterable ends. Without frames, no file is written."""
    size_wh = None
    with VideoFile(target, rate_hz) as video:
        for frame in hold_frames(frames, rate_hz):
            image = frame.decode()
            size_wh = size_wh or (image.shape[1], image.shape[0])
            video.write(_resize(image, size_wh))


def make_contact_sheet(tiles: Sequence[tuple[Image, str]], columns: int, width: int) -> Image:
    """Arrange images in rows, each with a caption in its lower left corner.

    Args:
        tiles: Images and captions, at least one. All images are resized to the aspect ratio of the first.
        columns: Tiles per row.
        width: Width of a tile, pixels.
    """
    first_height, first_width = tiles[0][0].shape[:2]
    size_wh = width, max(1, round(first_height * width / first_width))
    return arrange([_add_caption(image, caption, size_wh) for image, caption in tiles], columns)


def make_run_sheet(bag: Path, count: int, columns: int = 3, rows: int = 4, width: int = 384) -> Image:
    """Make the contact sheet of a bag with ``count`` overlays, at least one. Its frames are spread evenly."""
    wanted = set(np.linspace(0, count - 1, min(count, columns * rows)).round().astype(int).tolist())
    return make_contact_sheet([f.tile() for index, f in enumerate(read_frames(bag)) if index in wanted], columns, width)


def make_moment_sheet(bag: Path, moments_s: Sequence[float]) -> Image:
    """Show the frames nearest to some times side by side, in full size. Few colours keep the PNG small.

    Args:
        bag: Bag of a demo run.
        moments_s: Times since the first overlay, seconds.

    Raises:
        ValueError: The bag contains no overlay.
    """
    nearest: dict[float, OverlayFrame] = {}
    for frame in read_frames(bag):
        for moment_s in moments_s:
            if moment_s not in nearest or abs(frame.time_s - moment_s) < abs(nearest[moment_s].time_s - moment_s):
                nearest[moment_s] = frame
    if not nearest:
        raise ValueError(f"bag: expected overlays, got none in {bag}; run make demo first")
    tiles = [nearest[moment_s].tile() for moment_s in moments_s]
    sheet = make_contact_sheet(tiles, len(tiles), tiles[0][0].shape[1])
    return sheet // 8 * 8 + 4


def write_animation(bag: Path, target: Path, start_s: float) -> None:
    """Write the overlays of a few seconds as a GIF that repeats. Needs Pillow.

    Args:
        bag: Bag of a demo run.
        target: GIF file to write.
        start_s: Start, seconds since the first overlay.

    Raises:
        ValueError: The bag contains no overlay in these seconds.
    """
    from PIL import Image as PillowImage

    frames = [frame for frame in read_frames(bag) if start_s <= frame.time_s < start_s + ANIMATION_S]
    if len(frames) < 2:
        raise ValueError(f"bag: expected overlays from {start_s} s on, got {len(frames)} in {bag}; run make demo first")
    images = [PillowImage.fromarray(_shrink(frame.decode())[..., ::-1]) for frame in frames]
    palette = images[0].quantize(ANIMATION_COLOURS, dither=PillowImage.Dither.NONE)
    lines = [channel for blue, green, red in SIDE_COLOURS.values() for channel in (red, green, blue)]  # thin lines
    palette.putpalette((palette.getpalette() or [])[: 3 * ANIMATION_COLOURS] + lines)
    small = [image.quantize(palette=palette, dither=PillowImage.Dither.NONE) for image in images]
    period_ms = round(1e3 * (frames[-1].time_s - frames[0].time_s) / (len(frames) - 1))
    small[0].save(target, save_all=True, append_images=small[1:], duration=period_ms, loop=0, optimize=True)


def main() -> int:
    """Make the image or the animation of the README from a recorded run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bag", type=Path, default=ROOT / "output/bag", help="bag of a demo run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/demo.png", help="PNG, or GIF for an animation")
    parser.add_argument("--at", nargs="+", type=float, default=[README_MOMENT_S], help="times to show, s (default: 64)")
    options = parser.parse_args()
    if options.output.suffix == ".gif":
        write_animation(options.bag, options.output, options.at[0])
    else:
        write_image(options.output, make_moment_sheet(options.bag, options.at))
    return 0


def _shrink(image: Image) -> Image:
    return _resize(image, (ANIMATION_WIDTH, round(image.shape[0] * ANIMATION_WIDTH / image.shape[1])))


def _resize(image: Image, size_wh: SizeWH) -> Image:
    if (image.shape[1], image.shape[0]) == size_wh:
        return image
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _add_caption(image: Image, caption: str, size_wh: SizeWH) -> Image:
    tile = _resize(image, size_wh).copy()
    write_caption(tile, caption)
    return tile


if __name__ == "__main__":
    raise SystemExit(main())
