"""Images on which a network is calibrated or compared: some of a source, spread evenly over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pose_ros.arrays import AnyArray, Image
from pose_ros.config import PreprocessConfig
from pose_ros.fields import InputSpec
from pose_ros.media.sources import Frame, ImageFiles, Source, open_source
from pose_ros.preprocess import Preprocessor
from pose_ros.runtime.runner import BuildProgress


def images_of(path: str | Path, most: int) -> Iterator[Image]:
    """At most so many images of a file, folder, video or bag, from its beginning to its end, read one by one.

    Raises:
        FileNotFoundError: If there is nothing of that name.
        ValueError: If it holds no images, or one that cannot be read.
    """
    if most < 1:
        raise ValueError(f"images: expected 1 or more, got {most}")
    return (frame.image_bgr for frame in _some(open_source(path), most))


def _some(source: Source, most: int) -> Iterable[Frame]:
    if source.count is None or source.count <= most:
        return islice(source, most)
    places = {place * source.count // most for place in range(most)}
    if isinstance(source, ImageFiles):  # the others need not even be read
        return ImageFiles([source.files[place] for place in sorted(places)], source.path)
    return (frame for frame in source if frame.index in places)


class Calibration:
    """What ONNX Runtime's quantiser reads its inputs from: images, prepared as they always are.

    Args:
        input: The image tensor of the network.
        images: (H, W, 3) BGR or (H, W) grey.
        progress: Told the share of the images that the network has seen.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, input: InputSpec, images: Iterable[Image], progress: BuildProgress | None = None) -> None:
        prepare = Preprocessor(input, PreprocessConfig())
        self.feeds = [{input.tensor: prepare(image)[0]} for image in images]
        if not self.feeds:
            raise ValueError("calibration: expected images such as the network will see, got none")
        self._next, self._end, self._progress = 0, len(self), progress

    def __len__(self) -> int:
        return len(self.feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Choose the images that ``get_next`` goes through."""
        self._next, self._end = start_index, end_index

    def get_next(self) -> dict[str, AnyArray] | None:
        """The next input; None at the end."""
        if self._next >= self._end:
            return None
        self._next += 1
        if self._progress:
            self._progress("calibrating", self._next / len(self))
        return self.feeds[self._next - 1]
