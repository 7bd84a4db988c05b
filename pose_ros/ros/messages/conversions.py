"""Convert image messages to arrays and back, and people to messages."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point32, Vector3
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pose_ros import arrays
from pose_ros.arrays import AnyArray
from pose_ros.media.decoding import MAX_IMAGE_MB
from pose_ros.media.image_messages import decode_message, stamp_ns
from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray
from pose_ros.people import People, find_bounds
from pose_ros.ros.messages.columns import make_messages
from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge

DEFAULT_QUALITY = 80


def image_from_message(
    message: Image | CompressedImage, max_image_mb: float = MAX_IMAGE_MB
) -> tuple[arrays.Image, str]:
    """Decode a raw or compressed image message. cv_bridge is used if it is installed.

    Args:
        message: The message.
        max_image_mb: Limit of the memory for a decoded compressed image, MB.

    Returns:
        The image, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``. See ``decode_message``.

    Raises:
        ValueError: If the message is damaged, has an unknown encoding, or is a depth image.
    """
    return decode_message(message, convert_with_cv_bridge, max_image_mb)


def image_to_message(image_bgr: arrays.Image, header: Header) -> Image:
    """Make a bgr8 or mono8 message from an image, (H, W, 3) or (H, W)."""
    height, width = image_bgr.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="bgr8" if image_bgr.ndim == 3 else "mono8")
    message.step = width * (3 if image_bgr.ndim == 3 else 1)
    message.data = _make_bytes(image_bgr)
    return message


def image_to_compressed(image_bgr: arrays.Image, header: Header, quality: int = DEFAULT_QUALITY) -> CompressedImage:
    """Make a JPEG message from an image, (H, W, 3) or (H, W), in the format of compressed_image_transport.

    Args:
        image_bgr: The image, (H, W, 3) BGR or (H, W) grey.
        header: Header of the message.
        quality: JPEG quality, 1 to 100.

    Raises:
        ValueError: If JPEG cannot store the image, because it is empty or has a side above 65 535 px.
    """
    try:
        is_done, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        is_done, data = False, None
    if not is_done:
        raise ValueError(f"image: expected sides of 1 to 65535 px for JPEG, got shape {image_bgr.shape}")
    encoding = "bgr8" if image_bgr.ndim == 3 else "mono8"
    message = CompressedImage(header=header, format=f"{encoding}; jpeg compressed {encoding}")
    message.data = _make_bytes(data)
    return message


def _make_bytes(values: AnyArray) -> array.array[int]:
    """Copy uint8 values into the only type that rclpy does not check byte by byte."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).data)
    return data


def people_to_message(
    people: People, keypoint_names: tuple[str, ...], header: Header, image_wh: tuple[int, int], model: str
) -> PersonPoseArray:
    """Make the message of the people in one image. Absent keypoints become NaN. The times are left at 0."""
    width, height = image_wh
    count = len(people)
    xy = np.where(people.visible[..., None], people.keypoints, np.float32(np.nan))
    points_xyz, deviations, refined = people.keypoints_3d, people.deviations_3d, people.refined
    columns = {
        "id": people.ids.tolist(),
        "state": people.states.tolist(),
        "score": people.person_scores.tolist(),
        "box": find_bounds(xy),
        "keypoints": _make_points(Keypoint, ("x", "y", "score"), np.dstack([xy, people.scores])),
        "velocity": _values(people, "velocities", (2,)),
        "refined": [False] * count if refined is None else refined.tolist(),
        "position_3d": _make_vectors(Point32, "xyz", people.positions_3d, count),
        "position_deviation_3d": _values(people, "position_deviations_3d", ()).tolist(),
        "velocity_3d": _make_vectors(Vector3, "xyz", people.velocities_3d, count),
        "keypoints_3d": [[] for _ in range(count)] if points_xyz is None else _make_points(Point32, "xyz", points_xyz),
        "deviations_3d": [
            array.array("f", b"" if deviations is None else deviations[n].tobytes()) for n in range(count)
        ],
    }
    return PersonPoseArray(
        header=header,
        image_width=width,
        image_height=height,
        model=model,
        keypoint_names=list(keypoint_names),
        people=make_messages(PersonPose, count, columns),
    )


def latency_ms(header: Header, now_ns: int) -> float:
    """Return the milliseconds since the stamp. NaN if the stamp is 0 or ahead of the clock."""
    image_ns = stamp_ns(header)
    return (now_ns - image_ns) / 1e6 if 0 < image_ns <= now_ns else math.nan


def _values(people: People, name: str, shape: tuple[int, ...]) -> Any:
    """Return an optional array of people, all NaN if it is missing."""
    value = getattr(people, name)
    return np.full((len(people), *shape), np.nan, np.float32) if value is None else value


def _make_vectors(kind: Any, names: Sequence[str], values: Any, count: int) -> list[Any]:
    """Make a message of each row of (N, C) numbers, or N messages of NaN without numbers."""
    columns = repeat(repeat(math.nan), len(names)) if values is None else values.T.tolist()
    return make_messages(kind, count, dict(zip(names, columns, strict=True)))


def _make_points(kind: Any, names: Sequence[str], values: Any) -> list[list[Any]]:
    """Make a list of messages for each person from (N, K, C) numbers."""
    count, points, channels = values.shape
    flat = _make_vectors(kind, names, values.reshape(-1, channels), count * points)
    return [flat[start : start + points] for start in range(0, count * points, points)]
