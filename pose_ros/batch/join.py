"""Join the pieces of an input to what one pass over its frames would give the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pose_ros.batch.one_source import CameraImages, FoundImages
from pose_ros.batch.pieces import StoredPiece
from pose_ros.estimator import Estimate
from pose_ros.media.sources import BagImages, Frame, Source, frame_name
from pose_ros.pipeline import CameraImage


def fit_together(frames: Source, pieces: Sequence[StoredPiece]) -> bool:
    """Return whether pieces are the same as one pass.

    A decoder that starts in the middle of a video may miss the frame, or decode other pixels. So each piece of a video
    ends with a look at the first frame of the next one. The messages of a bag may not be in the order of time. As a
    piece ends at the first message after its end, the messages of all pieces are too few then.
    """
    if isinstance(frames, BagImages):
        return sum(piece.count for piece in pieces) == frames.bag.count
    return all(a.following == b.first for a, b in pairwise(pieces))


class JoinedFrames:
    """Frames of an input with the people of its pieces. The images are black, see ``attach``.

    Args:
        path: The input.
        pieces: Its pieces, in order.
    """

    def __init__(self, path: Path, pieces: Sequence[StoredPiece]) -> None:
        self._path, self._pieces = path, pieces

    def __iter__(self) -> FoundImages:
        for index, piece, n in self._places():
            image, stamp_ns = piece.image(n), piece.stamp_ns(n)
            frame = Frame(image, index, frame_name(self._path.stem, index), stamp_ns)
            yield frame, CameraImage(image, stamp_ns=stamp_ns), _estimate(piece, n)

    def attach(self, images: CameraImages) -> FoundImages:
        """Add the stored people to the frames of the input, for stages and outputs that need their pixels."""
        places = {index: (piece, n) for index, piece, n in self._places()}
        for frame, image in images:
            place = places.get(frame.index)
            yield frame, image, None if place is None else _estimate(*place)

    def faults(self, frames: Source) -> Iterator[Exception]:
        """Yield the errors of what could not be read, as one pass would report them."""
        start = 0
        for piece in self._pieces:
            if isinstance(frames, BagImages):
                yield from (ValueError(frames.explain_broken(start + n, reason)) for n, reason in piece.broken)
            start += piece.count
        yield from (ValueError(fault) for piece in self._pieces for fault in piece.faults)

    def _places(self) -> Iterator[tuple[int, StoredPiece, int]]:
        """Yield the index of each frame in the input, its piece, and its number there."""
        start = 0
        for piece in self._pieces:
            yield from ((start + piece.place(n), piece, n) for n in range(len(piece)))
            start += piece.count


def _estimate(piece: StoredPiece, n: int) -> Estimate:
    return Estimate(piece.people(n), 0.0, 0.0, 0.0)
