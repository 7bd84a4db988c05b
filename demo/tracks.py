"""Make a sheet of all people that the node saw for several frames, lowest score first, to look for false positives.

python demo/tracks.py                           # write output/tracks.png from the bag of `make demo` in output/
python demo/tracks.py BAG PNG --frames 6
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bag import POSES_TOPIC, read_messages
from overlays import ROOT, make_contact_sheet, read_frames

from pose_ros.arrays import FloatArray, Image
from pose_ros.media.image_messages import stamp_ns
from pose_ros.media.results import write_image
from pose_ros.similarity import box_iou

TILE_WH = (120, 160)
COLUMNS = 14
LEAST_OVERLAP = 0.3
LONGEST_GAP = 2

Box = FloatArray
"""x_min, y_min, x_max, y_max, px."""


@dataclass
class Track:
    """One person in several frames.

    Attributes:
        numbers: Frame numbers.
        boxes: Box in each frame.
        scores: Score in each frame.
    """

    numbers: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))

    @property
    def middle_frame(self) -> tuple[int, Box]:
        """Number of the frame in the middle of the track, and the box in it."""
        index = len(self.numbers) // 2
        return self.numbers[index], self.boxes[index]

    def add(self, number: int, box: Box, score: float) -> None:
        """Append a frame."""
        self.numbers.append(number)
        self.boxes.append(box)
        self.scores.append(score)


def make_tracks(messages: Sequence[Any]) -> list[Track]:
    """Track people from frame to frame by the overlap of their boxes.

    Each box is compared with the last box of every recent track and added to the track with the highest overlap.

    Args:
        messages: PersonPoseArray messages, in the order of their images.
    """
    found: list[Track] = []
    for number, message in enumerate(messages):
        alive = [track for track in found if number - track.numbers[-1] <= LONGEST_GAP + 1]
        for person in sorted(message.people, key=lambda person: -person.score):
            box = np.asarray(person.box, np.float32)
            free = [track for track in alive if track.numbers[-1] != number]
            best = max(free, key=lambda track: overlap(track.boxes[-1], box), default=None)
            if best is None or overlap(best.boxes[-1], box) < LEAST_OVERLAP:
                found.append(best := Track())
            best.add(number, box, person.score)
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    return float(box_iou(one[None], other[None])[0, 0])


def make_tiles(bag: Path, tracks: Sequence[Track], stamps_ns: Sequence[int]) -> list[tuple[Image, str]]:
    """Crop the middle frame of each track from its overlay, and add a caption. Tracks without an overlay are skipped.

    Args:
        bag: Bag with the overlays.
        tracks: Tracks to show.
        stamps_ns: Stamp of each frame number, nanoseconds.
    """
    wanted = defaultdict(list)
    for place, track in enumerate(tracks):
        number, box = track.middle_frame
        wanted[stamps_ns[number]].append((place, box))
    crops = {
        place: _crop(frame.decode(), box) for frame in read_frames(bag) for place, box in wanted.get(frame.stamp_ns, ())
    }
    return [(crops[place], f"{len(tracks[place].numbers)}f {tracks[place].score:.2f}") for place in sorted(crops)]


def main() -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bag", nargs="?", type=Path, default=ROOT / "output/bag", help="bag of a demo run")
    parser.add_argument("png", nargs="?", type=Path, default=ROOT / "output/tracks.png", help="image to write")
    parser.add_argument("--frames", type=int, default=6, help="skip tracks with fewer frames (default: 6)")
    options = parser.parse_args()
    messages = list(read_messages(options.bag, POSES_TOPIC))
    tracks = make_tracks(messages)
    long_tracks = sorted((t for t in tracks if len(t.numbers) >= options.frames), key=lambda track: track.score)
    print(f"{len(tracks)} tracks in {len(messages)} images, {len(long_tracks)} with {options.frames} frames or more")
    if tiles := make_tiles(options.bag, long_tracks, [stamp_ns(message.header) for message in messages]):
        write_image(options.png, make_contact_sheet(tiles, COLUMNS, TILE_WH[0]))
    return 0


def _crop(image: Image, box: Box) -> Image:
    """Crop a box and its surroundings in the shape of a tile."""
    scale = max(0.2, 1.5 * float(np.max((box[2:] - box[:2]) / TILE_WH)))  # overlay pixels per tile pixel
    x, y = (box[:2] + box[2:]) / 2 - scale * np.array(TILE_WH) / 2
    matrix = np.array([[1, 0, -x], [0, 1, -y]]) / scale
    return np.asarray(cv2.warpAffine(image, matrix, TILE_WH, borderValue=(80, 80, 80)), np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
