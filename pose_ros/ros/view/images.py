"""Convert image messages to JPEG for a browser."""

from __future__ import annotations

import cv2
from sensor_msgs.msg import CompressedImage, Image

from pose_ros import arrays
from pose_ros.media.headers import find_format, read_header
from pose_ros.media.image_messages import to_bgr
from pose_ros.ros.messages.conversions import image_from_message

MAX_SIDE_PX = 1280
"""Larger images are reduced to this size before they are encoded."""
MAX_PIXELS_UNCHANGED = 1920 * 1200
"""Largest JPEG that is passed on unchanged."""
_QUALITY = 80


def encode_for_browser(message: Image | CompressedImage) -> bytes:
    """Convert an image message to JPEG. The JPEG of a compressed message of moderate size is passed on unchanged.

    Raises:
        ValueError: If the message has no valid image.
    """
    if isinstance(message, CompressedImage):
        data = bytes(message.data)
        if find_format(data) == "jpeg" and read_header(data).pixels <= MAX_PIXELS_UNCHANGED:
            return data
    return _encode_jpeg(*image_from_message(message))


def _encode_jpeg(image: arrays.Image, colour: str) -> bytes:
    height, width = image.shape[:2]
    scale = MAX_SIDE_PX / max(height, width)
    if scale < 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", to_bgr(image, colour), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()
