"""Messages to arrays and back."""

from __future__ import annotations

import array
import math
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pose_ros.media.encodings import ENCODINGS, Encoding
from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray
from pose_ros.people import People
from pose_ros.ros.messages.cv_bridge import CONVERTED, bridged

DEPTH = ("16UC1", "32FC1")


def image_from_message(message: Image) -> tuple[Image, str]:
    """The picture in an image message.

    Args:
        message: A ``sensor_msgs/Image``, or anything with its fields.

    Returns:
        The picture, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``. For rgb8, bgr8, 8UC3,
        mono8 and 8UC1 it is a view of the message, also where rows are padded.

    Raises:
        ValueError: If the encoding is unknown, or the sizes contradict each other.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _foreign(message), "bgr"
    _check_sizes(message, encoding)
    is_padded = message.step > encoding.row_bytes(message.width)
    if message.encoding in CONVERTED and not is_padded and (picture := bridged(message)) is not None:
        return picture, "bgr"
    size_wh = (message.width, message.height)
    return encoding.picture(message.data, size_wh, message.step, bool(message.is_bigendian)), encoding.colour


def to_bgr(picture: Image, colour: str) -> Image:
    """The picture with its channels in the order B, G, R; grey stays grey. Copies only if it must."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if colour == "rgb" and picture.ndim == 3 else picture


def image_to_message(image_bgr: Image, header: Header) -> Image:
    """A bgr8 or mono8 message of an image, (H, W, 3) or (H, W)."""
    height, width = image_bgr.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="bgr8" if image_bgr.ndim == 3 else "mono8")
    message.step = width * (3 if image_bgr.ndim == 3 else 1)
    message.data = array.array("B", image_bgr.tobytes())  # the only type that is not checked byte by byte
    return message


def people_to_message(
    people: People, keypoint_names: tuple[str, ...], header: Header, image_wh: tuple[int, int], model: str
) -> PersonPoseArray:
    """The message of the people of one image; an absent keypoint becomes NaN. Its times are still zero."""
    width, height = image_wh
    xy = np.where(people.visible[..., None], people.keypoints, np.float32(np.nan)).tolist()
    boxes = np.where(people.visible.any(axis=1, keepdims=True), people.boxes(), np.float32(np.nan))
    columns = zip(people.ids.tolist(), people.person_scores.tolist(), boxes, xy, people.scores.tolist(), strict=True)
    return PersonPoseArray(
        header=header,
        image_width=width,
        image_height=height,
        model=model,
        keypoint_names=list(keypoint_names),
        people=[_person(*column) for column in columns],
    )


def latency_ms(header: Header, now_ns: int) -> float:
    """Milliseconds since the stamp; NaN where that says nothing: the stamp is 0, or ahead of the clock."""
    stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    return (now_ns - stamp_ns) / 1e6 if 0 < stamp_ns <= now_ns else math.nan


def _person(person_id: int, score: float, box: Any, keypoints: list[list[float]], scores: list[float]) -> PersonPose:
    points = [Keypoint(x=x, y=y, score=s) for (x, y), s in zip(keypoints, scores, strict=True)]
    return PersonPose(id=person_id, score=score, box=box, keypoints=points)


def _foreign(message: Image) -> Image:
    """A picture in an encoding that only cv_bridge may know."""
    picture = None if message.encoding in DEPTH else bridged(message)
    if picture is not None:
        return picture
    advice = (
        "a depth image is no picture: remap 'image' to the colour image"
        if message.encoding in DEPTH
        else ("convert it with image_proc, or set the driver to one of these")
    )
    raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {message.encoding!r}; {advice}")


def _check_sizes(message: Image, encoding: Encoding) -> None:
    width, height, step, length = message.width, message.height, message.step, len(message.data)
    got = f"{message.encoding} of {width} x {height}, step {step}, {length} bytes; the driver's message is broken"
    block_wh = encoding.block_wh
    if width == 0 or height == 0 or width % block_wh[0] or height % block_wh[1]:
        raise ValueError(f"size: expected width and height above 0, in multiples of {block_wh}, got {got}")
    if step < encoding.row_bytes(width):
        raise ValueError(f"step: expected at least {encoding.row_bytes(width)}, got {got}")
    if length < encoding.rows(height) * step:
        raise ValueError(f"data: expected {encoding.rows(height) * step} bytes, got {got}")
