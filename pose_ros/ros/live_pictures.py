"""Image messages as pictures that a browser shows."""

from __future__ import annotations

import cv2
from sensor_msgs.msg import CompressedImage, Image

from pose_ros.ros.compressed import image_from_compressed
from pose_ros.ros.conversions import Picture, image_from_message, to_bgr

LONGEST_SIDE_PX = 1280
"""What is encoded here is made no larger than this."""
MOST_PIXELS = 1920 * 1200
"""The largest JPEG that is passed on as it is."""
_QUALITY = 80
_START = b"\xff\xd8"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def browser_picture(message: Image | CompressedImage) -> bytes:
    """The picture in a message as JPEG; that of a compressed message of moderate size is passed on untouched.

    Raises:
        ValueError: If there is no picture in it.
    """
    if isinstance(message, Image):
        return _jpeg(*image_from_message(message))
    data = bytes(message.data)
    size_wh = jpeg_size_wh(data)
    if size_wh and 0 < size_wh[0] * size_wh[1] <= MOST_PIXELS:
        return data
    return _jpeg(*image_from_compressed(message))


def jpeg_size_wh(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header of a JPEG tells them; None where there is no such header.

    References:
        ITU-T T.81, B.1.1.2 and B.2.2: markers, and the frame header.
    """
    position = len(_START)
    while data.startswith(_START) and position + 9 <= len(data) and data[position] == 0xFF:
        marker, body = data[position + 1], data[position + 2 : position + 9]
        if marker in _FRAMES:
            return int.from_bytes(body[5:7], "big"), int.from_bytes(body[3:5], "big")
        position += 2 + int.from_bytes(body[:2], "big")
    return None


def _jpeg(picture: Picture, colour: str) -> bytes:
    height, width = picture.shape[:2]
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale < 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", to_bgr(picture, colour), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()
