"""Select images for calibration and comparison, spread evenly over a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pose_ros.arrays import AnyArray, Image
from pose_ros.config import PreprocessConfig
from pose_ros.fields import InputSpec
from pose_ros.media.sources import Frame, ImageFiles, OnBroken, Source, open_source, raise_error
from pose_ros.preprocess import Preprocessor
from pose_ros.runtime.runner import BuildProgress


def images_of(path: str | Path, most: int, on_broken: OnBroken = raise_error) -> Iterator[Image]:
    """Iterate over images of a file, folder, video or bag, spread evenly from its beginning to its end.

    The images are read one by one.

    Args:
        path: File, folder, video or bag.
        most: Maximum number of images.
        on_broken: Called with the error of each image that cannot be read.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If there are no images.
    """
    if most < 1:
        raise ValueError(f"images: expected 1 or more, got {most}")
    return (frame.image_bgr for frame in _select_frames(open_source(path, on_broken=on_broken), most))


def _select_frames(source: Source, most: int) -> Iterable[Frame]:
    if source.count is None or source.count <= most:
        return islice(source, most)
    places = {place * source.count // most for place in range(most)}
    if isinstance(source, ImageFiles):  # skip reading the other files
        files = [source.files[place] for place in sorted(places)]
        return ImageFiles(files, source.path or files[0], on_broken=source.on_broken)
    return (frame for frame in source if frame.index in places)


class Calibration:
    """Calibration data reader for the quantiser of ONNX Runtime. It prepares images as for estimation.

    Args:
        input: Image tensor of the network.
        images: Images, (H, W, 3) BGR or (H, W) grey.
        progress: Called with the share of the images that the network has processed.

    Raises:
        ValueError: If there are no images.
    """

    def __init__(self, input: InputSpec, images: Iterable[Image], progress: BuildProgress | None = None) -> None:
        prepare = Preprocessor(input, PreprocessConfig())
        self.feeds = [{input.tensor: prepare(image)[0]} for image in images]
        if not self.feeds:
            raise ValueError("calibration: expected one image or more, got none")
        self._next, self._end, self._progress = 0, len(self), progress

    def __len__(self) -> int:
        return len(self.feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Select the images that ``get_next`` returns."""
        self._next, self._end = start_index, end_index

    def get_next(self) -> dict[str, AnyArray] | None:
        """Return the next network input, or None at the end."""
        if self._next >= self._end:
            return None
        self._next += 1
        if self._progress:
            self._progress("calibrating", self._next / len(self))
        return self.feeds[self._next - 1]
