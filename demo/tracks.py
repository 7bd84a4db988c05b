"""Everybody whom the node has seen for longer than a moment, the least certain first: to look for people who are none.

python demo/tracks.py                           # output/lasting.png, from the bag that `make demo` leaves in output/
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
import numpy.typing as npt
from bag import POSES, messages
from overlays import ROOT, Picture, contact_sheet, frames

from pose_ros.media.bag import stamp_ns
from pose_ros.media.results import write_image
from pose_ros.similarity import box_iou

TILE_WH = (120, 160)
COLUMNS = 14
LEAST_OVERLAP = 0.3
LONGEST_GAP = 2

Box = npt.NDArray[np.float32]


@dataclass
class Track:
    """One person in a row of frames.

    Attributes:
        numbers: Of the frames.
        boxes: x_min, y_min, x_max, y_max in each, px.
        scores: In each.
    """

    numbers: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The mean score."""
        return float(np.mean(self.scores))

    @property
    def middle(self) -> tuple[int, Box]:
        """A frame and the box in it."""
        index = len(self.numbers) // 2
        return self.numbers[index], self.boxes[index]

    def add(self, number: int, box: Box, score: float) -> None:
        """Go on in another frame."""
        self.numbers.append(number)
        self.boxes.append(box)
        self.scores.append(score)


def tracks(answers: Sequence[Any]) -> list[Track]:
    """People followed from frame to frame: a box belongs to the track whose last box it overlaps most.

    Args:
        answers: Messages of people, in the order of their images.
    """
    found: list[Track] = []
    for number, answer in enumerate(answers):
        alive = [track for track in found if number - track.numbers[-1] <= LONGEST_GAP + 1]
        for person in sorted(answer.people, key=lambda person: -person.score):
            box = np.asarray(person.box, np.float32)
            open_ones = [track for track in alive if track.numbers[-1] != number]
            best = max(open_ones, key=lambda track: overlap(track.boxes[-1], box), default=None)
            if best is None or overlap(best.boxes[-1], box) < LEAST_OVERLAP:
                found.append(best := Track())
            best.add(number, box, person.score)
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    return float(box_iou(one[None], other[None])[0, 0])


def tiles(bag: Path, shown: Sequence[Track], stamps_ns: Sequence[int]) -> list[tuple[Picture, str]]:
    """The middle of each track, cut out of the overlay, and what is known of it; without those that have no overlay."""
    wanted = defaultdict(list)
    for place, track in enumerate(shown):
        number, box = track.middle
        wanted[stamps_ns[number]].append((place, box))
    cut = {
        place: _cut_out(frame.picture(), box) for frame in frames(bag) for place, box in wanted.get(frame.stamp_ns, ())
    }
    return [(cut[place], f"{len(shown[place].numbers)}f {shown[place].score:.2f}") for place in sorted(cut)]


def main() -> int:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bag", nargs="?", type=Path, default=ROOT / "output/bag", help="bag that the demo has recorded")
    parser.add_argument("png", nargs="?", type=Path, default=ROOT / "output/lasting.png", help="picture to write")
    parser.add_argument("--frames", type=int, default=6, help="fewest frames of a track that is shown")
    options = parser.parse_args()
    answers = list(messages(options.bag, POSES))
    followed = tracks(answers)
    lasting = sorted((t for t in followed if len(t.numbers) >= options.frames), key=lambda track: track.score)
    print(f"{len(followed)} tracks in {len(answers)} images, {len(lasting)} of {options.frames} frames or more")
    if shown := tiles(options.bag, lasting, [stamp_ns(answer.header) for answer in answers]):
        write_image(options.png, contact_sheet(shown, COLUMNS, TILE_WH[0]))
    return 0


def _cut_out(picture: Picture, box: Box) -> Picture:
    """The surroundings of a box, in the shape of a tile."""
    scale = max(0.2, 1.5 * float(np.max((box[2:] - box[:2]) / TILE_WH)))  # pixels of the overlay in one of the tile
    x, y = (box[:2] + box[2:]) / 2 - scale * np.array(TILE_WH) / 2
    matrix = np.array([[1, 0, -x], [0, 1, -y]]) / scale
    return np.asarray(cv2.warpAffine(picture, matrix, TILE_WH, borderValue=(80, 80, 80)), np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
