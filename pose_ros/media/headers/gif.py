"""Read the blocks of a gif. Source: CompuServe, Graphics Interchange Format, version 89a."""

from __future__ import annotations

import struct

from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

SIGNATURES = (b"GIF87a", b"GIF89a")
_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B
_MAX_BLOCKS = 2**16


def read_gif(data: bytes) -> ImageHeader:
    """Go through the blocks of a gif. Its canvas must hold every frame."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frames = 0
    for _ in range(_MAX_BLOCKS):
        kind = data[at]
        if kind == _END:
            break
        if kind == _FRAME:
            x, y, frame_width, frame_height, frame_flags = struct.unpack_from("<HHHHB", data, at + 1)
            if x + frame_width > width or y + frame_height > height:
                raise BrokenHeaderError(f"a frame larger than its canvas of {width} x {height}")
            frames += 1
            at += 11 + (3 << (frame_flags & 7) + 1 if frame_flags & 0x80 else 0)
        elif kind == _EXTENSION:
            at += 2
        else:
            raise BrokenHeaderError(f"a block of kind {kind}")
        while data[at]:
            at += 1 + data[at]
        at += 1
    else:
        raise BrokenHeaderError(f"more than {_MAX_BLOCKS} blocks")
    if not frames:
        raise BrokenHeaderError("no frames")
    return ImageHeader("gif", (width, height), 4, codec_bytes=10 * width * height)
