"""Image messages as pictures that a browser shows."""

from __future__ import annotations

import cv2
from sensor_msgs.msg import CompressedImage, Image

from pose_ros import arrays
from pose_ros.media.compressed_images import JPEG_START, image_size_wh
from pose_ros.media.image_messages import to_bgr
from pose_ros.ros.messages.conversions import image_from_message

LONGEST_SIDE_PX = 1280
"""What is encoded here is made no larger than this."""
MOST_PIXELS = 1920 * 1200
"""The largest JPEG that is passed on as it is."""
_QUALITY = 80


def browser_picture(message: Image | CompressedImage) -> bytes:
    """The picture in a message as JPEG; that of a compressed message of moderate size is passed on untouched.

    Raises:
        ValueError: If there is no picture in it.
    """
    if isinstance(message, CompressedImage):
        data = bytes(message.data)
        if data.startswith(JPEG_START):
            width, height = image_size_wh(data)
            if 0 < width * height <= MOST_PIXELS:
                return data
    return _jpeg(*image_from_message(message))


def _jpeg(picture: arrays.Image, colour: str) -> bytes:
    height, width = picture.shape[:2]
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale < 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", to_bgr(picture, colour), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()
