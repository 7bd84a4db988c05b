"""Size of an encoded image, and the memory that its decoder needs."""

from __future__ import annotations

from dataclasses import dataclass

MAX_SIDE_PX = 2**20
"""Longest side of an image that OpenCV decodes."""


@dataclass(frozen=True)
class ImageHeader:
    """Size of an image as stored in its data.

    Attributes:
        format: Name of the format, e.g. ``"png"``.
        size_wh: Width and height, px.
        pixel_bytes: Bytes of a decoded pixel, with transparency and all stored bits.
        codec_bytes: Memory of the decoder in addition to the decoded pixels, bytes.
        data_bytes: Fewest bytes of data that such an image needs. 0 = unknown.
    """

    format: str
    size_wh: tuple[int, int]
    pixel_bytes: int
    codec_bytes: int = 0
    data_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.size_wh[0] * self.size_wh[1]

    @property
    def memory_bytes(self) -> int:
        """Memory that decoding needs, bytes. A grey image becomes a colour image in most programs."""
        return self.pixels * max(3, self.pixel_bytes) + self.codec_bytes


class BrokenHeaderError(ValueError):
    """The data of an image are not as their format prescribes."""
