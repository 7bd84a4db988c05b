"""Cover the heads in image messages of a bag. Encoding, size and header stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image
from pose_ros.config import OverlayConfig
from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.compressed_images import decode_stored
from pose_ros.media.headers import find_format
from pose_ros.media.image_messages import Converter, decode_message, stamp_ns
from pose_ros.media.image_planes import raw_planes, stored_planes
from pose_ros.people import People

FindPeople = Callable[[Image, str, int], People]
"""Returns the people of an image. Arguments: the image, its channel order, and its stamp in ns."""
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tiff"}
_QUALITY = 95


def cover_message(
    message: Any, anonymiser: Anonymiser, find_people: FindPeople, config: OverlayConfig, convert: Converter
) -> Any | None:
    """Return an image message with covered heads, or None if there is nothing to cover.

    Args:
        message: ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``, a dataclass with its fields. Not modified.
        anonymiser: Memory of the heads of the topic.
        find_people: Finds the people. Called once.
        config: Way of covering.
        convert: See ``decode_message``.

    Raises:
        ValueError: If the message is damaged, or its encoding cannot be covered.
    """
    image, colour = decode_message(message, convert)
    data, planes, finish = _open_compressed(message) if hasattr(message, "format") else _open_raw(message)
    people, stamp = find_people(image, colour, stamp_ns(message.header)), stamp_ns(message.header) / 1e9
    size_wh = image.shape[1], image.shape[0]
    is_covered = anonymiser.cover_planes(planes, size_wh, people, stamp, config)
    return replace(message, data=finish(data)) if is_covered else None


def check_message(message: Any, convert: Converter) -> None:
    """Check that the heads in an image message can be covered.

    Raises:
        ValueError: If not.
    """
    decode_message(message, convert)
    _open_compressed(message) if hasattr(message, "format") else _open_raw(message)


def _open_raw(message: Any) -> tuple[AnyArray, Any, Callable[[AnyArray], AnyArray]]:
    data = np.array(message.data, np.uint8)
    return data, raw_planes(message, data), lambda covered: covered


def _open_compressed(message: Any) -> tuple[AnyArray, Any, Callable[[AnyArray], AnyArray]]:
    raw = bytes(message.data)
    suffix = _SUFFIXES.get(str(find_format(raw)))
    if suffix is None:
        raise ValueError(f"data: expected jpeg, png or tiff, got {find_format(raw)}")
    stored = np.ascontiguousarray(decode_stored(raw))
    encoding, _, codec = message.format.partition(";")
    planes = stored_planes(stored, encoding, codec.rpartition("compressed")[2].strip())

    def encode(covered: AnyArray) -> AnyArray:
        is_done, data = cv2.imencode(suffix, covered, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if suffix == ".jpg" else [])
        if not is_done:
            raise ValueError(f"data: expected an image that can be written as {suffix}, got {covered.shape}")
        return np.asarray(data).reshape(-1)

    return stored, planes, encode
