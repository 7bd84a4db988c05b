"""Cut long videos and bags by time, and store the people of each piece until they are joined.

A piece holds what the network found in each frame. Tracking needs all earlier frames, so the join runs it.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pose_ros.arrays import AnyArray, Image
from pose_ros.batch.inputs import Input
from pose_ros.batch.manifest import hidden_folder
from pose_ros.batch.tasks import Bounds
from pose_ros.config import AUTO, EstimatorConfig
from pose_ros.files import atomic_write
from pose_ros.media.sources import BagImages, Frame, Source, Video
from pose_ros.people import People
from pose_ros.runtime.model_checksum import sha256_of_json

END_NS = 1 << 62
"""End of the last piece, ns. The length of a recording is not known exactly before its end."""
_FIELDS = ("keypoints", "scores", "person_scores", "refined")
_LEAST_PIECES = 1.5


@dataclass
class Piece:
    """People of some frames in a row.

    Attributes:
        places: Index of each frame in the piece. Bags may have images that cannot be read between them.
        stamps_ns: Stamp of each frame, ns.
        sizes_wh: Width and height of each image, pixels.
        people: People of each frame, as the network and the second network found them.
        count: Images of the piece, with those that cannot be read.
        first: Identity of the first frame. Empty for a bag, or without frames.
        following: Identity of the frame after the piece. Empty for a bag, or at the end.
        broken: Index in the piece of each image of a bag that cannot be read, and the reason.
        faults: Errors of parts of the input that cannot be read.
    """

    places: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    sizes_wh: list[tuple[int, int]] = field(default_factory=list)
    people: list[People] = field(default_factory=list)
    count: int = 0
    first: str = ""
    following: str = ""
    broken: list[tuple[int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, frame: Frame, people: People) -> None:
        """Add a frame."""
        height, width = frame.image_bgr.shape[:2]
        self.places.append(frame.index)
        self.stamps_ns.append(frame.stamp_ns)
        self.sizes_wh.append((width, height))
        self.people.append(people)


def find_bounds(frames: Source, piece_s: float, config: EstimatorConfig) -> tuple[Bounds, ...]:
    """Cut a source by time, into pieces of equal length. An input that is not long is one piece.

    An input is not cut if the network needs earlier frames: to choose its input size, or whom to refine.

    Args:
        frames: The source.
        piece_s: Longest piece, s. 0 = never cut.
        config: Settings of all stages.
    """
    is_independent = config.preprocess.short_side != AUTO and config.preprocess.scale_order == "together"
    is_refined_alike = not config.refinement.model or (config.refinement.period, config.refinement.budget_ms) == (1, 0)
    start_ns, seconds = 0, 0.0
    if isinstance(frames, (Video, BagImages)):
        seconds = (frames.count or 0) / frames.rate_hz
    if piece_s <= 0 or seconds < _LEAST_PIECES * piece_s or not (is_independent and is_refined_alike):
        return ((0, END_NS),)
    if isinstance(frames, BagImages):
        start_ns = round(1e9 * frames.bag.first_times_s()[0])
    number = math.ceil(seconds / piece_s)
    inner = [start_ns + round(1e9 * seconds * n / number) for n in range(1, number)]
    return tuple(zip([0, *inner], [*inner, END_NS], strict=True))


def read_piece(frames: Source, bounds: Bounds, piece: Piece) -> Iterator[Frame]:
    """Iterate over the frames of a piece. Their indices count from the start of the piece.

    Args:
        frames: The source.
        bounds: Start and end, ns: of a bag by the clock of the recorder, of a video from its first frame.
        piece: Filled with what is needed to check the piece.
    """
    if isinstance(frames, BagImages):
        yield from _read_bag(frames, bounds, piece)
    elif isinstance(frames, Video):
        yield from _read_video(frames, bounds, piece)


def _read_video(frames: Video, bounds: Bounds, piece: Piece) -> Iterator[Frame]:
    for frame in frames.frames_from(bounds[0]):
        if frame.stamp_ns >= bounds[1]:
            piece.following = identify_frame(frame)
            return
        piece.first = piece.first or identify_frame(frame)
        piece.count += 1
        yield frame


def _read_bag(frames: BagImages, bounds: Bounds, piece: Piece) -> Iterator[Frame]:
    for recorded in frames.bag.messages([frames.bag.image_topic], frames.on_broken, since_ns=bounds[0]):
        if recorded.received_ns >= bounds[1]:
            return
        piece.count += 1
        try:
            yield frames.read_frame(recorded, piece.count - 1)
        except ValueError as error:
            piece.broken.append((piece.count - 1, str(error.__cause__)))


def identify_frame(frame: Frame) -> str:
    """Return a text that only an equal image with an equal stamp has."""
    return f"{frame.stamp_ns}-{hashlib.sha256(np.ascontiguousarray(frame.image_bgr).data).hexdigest()}"


class StoredPiece:
    """Piece that was read from a file.

    Attributes:
        count, first, following, broken, faults: As of ``Piece``.
    """

    def __init__(self, arrays: dict[str, AnyArray]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum(arrays["counts"])
        self.count = int(arrays["count"])
        self.first, self.following, *self.faults = (str(text) for text in arrays["texts"])
        self.broken = list(zip(arrays["broken"].tolist(), arrays["reasons"].tolist(), strict=True))

    def __len__(self) -> int:
        return len(self._ends)

    def place(self, n: int) -> int:
        """Return the index of a frame in the piece."""
        return int(self._arrays["places"][n])

    def stamp_ns(self, n: int) -> int:
        """Return the stamp of a frame, ns."""
        return int(self._arrays["stamps_ns"][n])

    def image(self, n: int) -> Image:
        """Return a black image of the size of a frame. It takes no memory."""
        width, height = self._arrays["sizes_wh"][n].tolist()
        return np.broadcast_to(np.uint8(0), (height, width, 3))

    def people(self, n: int) -> People:
        """Return the people of a frame."""
        part = slice(self._ends[n] - self._arrays["counts"][n], self._ends[n])
        return People(**{name: self._arrays[name][part] for name in _FIELDS if name in self._arrays})


class PieceFolder:
    """Files of the pieces of one input. Pieces of other settings, or of an earlier content, are not in it.

    Args:
        out: Folder of the outputs.
        entry: The input.
        settings: Fingerprint of the settings.
    """

    def __init__(self, out: Path, entry: Input, settings: str) -> None:
        self._of_input = hidden_folder(out) / "pieces" / sha256_of_json(entry.name)[:16]
        self._folder = self._of_input / sha256_of_json([settings, entry.size_bytes, entry.modified_ns])[:16]

    def has(self, bounds: Bounds) -> bool:
        """Return whether a piece is stored."""
        return self._file(bounds).exists()

    def write(self, bounds: Bounds, piece: Piece) -> None:
        """Store a piece as a whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, AnyArray] = {
            "places": np.array(piece.places, np.int64),
            "stamps_ns": np.array(piece.stamps_ns, np.int64),
            "sizes_wh": np.array(piece.sizes_wh, np.int64).reshape(-1, 2),
            "counts": np.array([len(people) for people in piece.people], np.int64),
            "count": np.array(piece.count),
            "texts": np.array([piece.first, piece.following, *piece.faults], np.str_),
            "broken": np.array([place for place, _ in piece.broken], np.int64),
            "reasons": np.array([reason for _, reason in piece.broken], np.str_),
        }
        for name in _FIELDS:
            values = [getattr(people, name) for people in piece.people]
            if values and values[0] is not None:
                arrays[name] = np.concatenate(values)
        with atomic_write(self._file(bounds)) as unfinished, unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read(self, bounds: Bounds) -> StoredPiece:
        """Read a stored piece.

        Raises:
            ValueError: If it is damaged.
        """
        file = self._file(bounds)
        try:
            with np.load(file) as stored:
                arrays = dict(stored)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"piece {file}: expected a stored piece, got {error!r}; remove it") from error
        return StoredPiece(arrays)

    def remove(self) -> None:
        """Remove the pieces of the input, also those of other settings."""
        shutil.rmtree(self._of_input, ignore_errors=True)

    def _file(self, bounds: Bounds) -> Path:
        return self._folder / f"{bounds[0]}-{bounds[1]}.npz"
