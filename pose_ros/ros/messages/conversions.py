"""Convert image messages to arrays and back, and people to messages."""

from __future__ import annotations

import array
import math
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point32, Vector3
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pose_ros import arrays
from pose_ros.media.decoding import MAX_IMAGE_MB
from pose_ros.media.image_messages import decode_message, stamp_ns
from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray
from pose_ros.people import People
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
    message.data = array.array("B", image_bgr.tobytes())  # the only type that rclpy does not check byte by byte
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
    message.data = array.array("B", data.tobytes())  # the only type that rclpy does not check byte by byte
    return message


def people_to_message(
    people: People, keypoint_names: tuple[str, ...], header: Header, image_wh: tuple[int, int], model: str
) -> PersonPoseArray:
    """Make the message of the people in one image. Absent keypoints become NaN. The times are left at 0."""
    width, height = image_wh
    xy = np.where(people.visible[..., None], people.keypoints, np.float32(np.nan)).tolist()
    boxes = np.where(people.visible.any(axis=1, keepdims=True), people.boxes(), np.float32(np.nan))
    columns = zip(
        *(people.ids.tolist(), people.states.tolist(), people.person_scores.tolist(), boxes, xy),
        *(people.scores.tolist(), _values(people, "velocities", (2,)), _values(people, "positions_3d", (3,))),
        *(_values(people, "position_deviations_3d", ()).tolist(), _values(people, "velocities_3d", (3,))),
        *(_points_3d(people), _deviations_3d(people), _refined(people)),
        strict=True,
    )
    return PersonPoseArray(
        header=header,
        image_width=width,
        image_height=height,
        model=model,
        keypoint_names=list(keypoint_names),
        people=[_make_person(*column) for column in columns],
    )


def latency_ms(header: Header, now_ns: int) -> float:
    """Return the milliseconds since the stamp. NaN if the stamp is 0 or ahead of the clock."""
    image_ns = stamp_ns(header)
    return (now_ns - image_ns) / 1e6 if 0 < image_ns <= now_ns else math.nan


def _make_person(
    person_id: int,
    state: int,
    score: float,
    box: Any,
    keypoints: list[list[float]],
    scores: list[float],
    velocity: Any,
    position: Any,
    position_deviation: float,
    velocity_3d: Any,
    keypoints_3d: list[Point32],
    deviations_3d: Any,
    refined: bool,
) -> PersonPose:
    points = [Keypoint(x=x, y=y, score=s) for (x, y), s in zip(keypoints, scores, strict=True)]
    return PersonPose(
        id=person_id,
        state=state,
        score=score,
        box=box,
        keypoints=points,
        velocity=velocity,
        position_3d=_point(position),
        position_deviation_3d=position_deviation,
        velocity_3d=_vector(velocity_3d),
        keypoints_3d=keypoints_3d,
        deviations_3d=deviations_3d,
        refined=refined,
    )


def _values(people: People, name: str, shape: tuple[int, ...]) -> Any:
    """Return an optional array of people, all NaN if it is missing."""
    value = getattr(people, name)
    return np.full((len(people), *shape), np.nan, np.float32) if value is None else value


def _refined(people: People) -> list[bool]:
    return [False] * len(people) if people.refined is None else people.refined.tolist()


def _points_3d(people: People) -> list[list[Point32]]:
    if people.keypoints_3d is None:
        return [[] for _ in range(len(people))]
    return [[_point(xyz) for xyz in person] for person in people.keypoints_3d.tolist()]


def _deviations_3d(people: People) -> Any:
    return [[]] * len(people) if people.deviations_3d is None else people.deviations_3d.tolist()


def _point(xyz: Any) -> Point32:
    x, y, z = xyz
    return Point32(x=float(x), y=float(y), z=float(z))


def _vector(xyz: Any) -> Vector3:
    x, y, z = xyz
    return Vector3(x=float(x), y=float(y), z=float(z))
