"""Pictures of a recorded run: an annotated video, and a contact sheet.

python demo/overlays.py                          # docs/demo.png, from the bag that `make demo` leaves in output/
python demo/overlays.py BAG PNG --at 12.5 64.0   # these moments of another bag, side by side
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from bag import OVERLAY, POSES, messages

from pose_ros.media.bag import stamp_ns
from pose_ros.media.results import VideoFile, write_image
from pose_ros.media.sheet import arrange, write_caption

ROOT = Path(__file__).resolve().parents[1]
Picture = npt.NDArray[np.uint8]
LONGEST_HOLD_S = 5.0
README_MOMENT_S = 64.0


@dataclass(frozen=True)
class Frame:
    """An overlay as it lies in the bag.

    Attributes:
        stamp_ns: Of its image.
        time_s: Since the first one.
        jpeg: The overlay.
        people: How many the node has found in it.
    """

    stamp_ns: int
    time_s: float
    jpeg: npt.NDArray[np.uint8]
    people: int

    def picture(self) -> Picture:
        """The overlay, (H, W, 3) BGR."""
        return np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR), np.uint8)

    def tile(self) -> tuple[Picture, str]:
        """The overlay and a caption."""
        return self.picture(), f"{self.time_s:.1f} s   {self.people} people"


def frames(bag: Path) -> Iterator[Frame]:
    """The overlays of a bag."""
    people = {stamp_ns(message.header): len(message.people) for message in messages(bag, POSES)}
    first_ns = None
    for message in messages(bag, OVERLAY):
        now_ns = stamp_ns(message.header)
        first_ns = now_ns if first_ns is None else first_ns
        yield Frame(now_ns, (now_ns - first_ns) / 1e9, message.data, people.get(now_ns, 0))


def paced(shown: Iterable[Frame], rate_hz: float) -> Iterator[Frame]:
    """Frames at an even rate: each is repeated until the next one's time, so that dropped images leave no jump."""
    last, written = None, 0
    for frame in shown:
        if last is not None:
            missing = max(0, round(min(frame.time_s * rate_hz - written, LONGEST_HOLD_S * rate_hz)))
            yield from repeat(last, missing)
            written += missing
        yield frame
        last, written = frame, written + 1


def write_video(shown: Iterable[Frame], target: Path, rate_hz: float) -> None:
    """Writes frames as a video, as long as they come; without any, there is no file."""
    size_wh = None
    with VideoFile(target, rate_hz) as video:
        for frame in paced(shown, rate_hz):
            picture = frame.picture()
            size_wh = size_wh or (picture.shape[1], picture.shape[0])
            video.write(_scaled(picture, size_wh))


def contact_sheet(tiles: Sequence[tuple[Picture, str]], columns: int, width: int) -> Picture:
    """Pictures side by side, row by row, each with its caption in the lower left corner.

    Args:
        tiles: Pictures and captions, at least one; all get the size of the first.
        columns: Tiles in a row.
        width: Width of a tile, pixels.
    """
    first_height, first_width = tiles[0][0].shape[:2]
    size_wh = width, max(1, round(first_height * width / first_width))
    return arrange([_captioned(picture, caption, size_wh) for picture, caption in tiles], columns)


def sheet_of_run(bag: Path, count: int, columns: int = 3, rows: int = 4, width: int = 384) -> Picture:
    """The contact sheet of a bag with ``count`` overlays, at least one: frames evenly spread over it."""
    wanted = set(np.linspace(0, count - 1, min(count, columns * rows)).round().astype(int).tolist())
    return contact_sheet([f.tile() for index, f in enumerate(frames(bag)) if index in wanted], columns, width)


def sheet_of_moments(bag: Path, moments_s: Sequence[float]) -> Picture:
    """The frames at these times side by side, in their own size and in few colours: PNG would be large otherwise.

    Raises:
        ValueError: If the bag holds no overlay.
    """
    nearest: dict[float, Frame] = {}
    for frame in frames(bag):
        for moment_s in moments_s:
            if moment_s not in nearest or abs(frame.time_s - moment_s) < abs(nearest[moment_s].time_s - moment_s):
                nearest[moment_s] = frame
    if not nearest:
        raise ValueError(f"bag: expected overlays, got none in {bag}: run make demo first")
    tiles = [nearest[moment_s].tile() for moment_s in moments_s]
    sheet = contact_sheet(tiles, len(tiles), tiles[0][0].shape[1])
    return sheet // 8 * 8 + 4


def main() -> int:
    """Makes the picture of the README from a recorded run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bag", nargs="?", type=Path, default=ROOT / "output/bag", help="bag that the demo has recorded")
    parser.add_argument("png", nargs="?", type=Path, default=ROOT / "docs/demo.png", help="picture to write")
    parser.add_argument("--at", nargs="+", type=float, default=[README_MOMENT_S], help="moments, seconds")
    options = parser.parse_args()
    write_image(options.png, sheet_of_moments(options.bag, options.at))
    return 0


def _scaled(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    if (picture.shape[1], picture.shape[0]) == size_wh:
        return picture
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _captioned(picture: Picture, caption: str, size_wh: tuple[int, int]) -> Picture:
    tile = _scaled(picture, size_wh).copy()
    write_caption(tile, caption)
    return tile


if __name__ == "__main__":
    raise SystemExit(main())
