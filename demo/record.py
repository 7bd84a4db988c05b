"""The recorder: listens to camera and node, writes the bag, and keeps the figures of every image."""

from __future__ import annotations

import cv2
from bag import OVERLAY, POSES, BagWriter
from figures import Figures
from pose_ros.msg import PersonPoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pose_ros.media.bag import stamp_ns
from pose_ros.ros.messages.conversions import image_from_message

CAMERA = "/camera/image_raw"
DEEP = QoSProfile(depth=100)  # reliable, and patient while the disk is busy
JPEG_QUALITY = 90


class Recorder(Node):
    """Subscribes camera, people and overlay.

    Attributes:
        image_stamps_ns: Stamps of the images that the camera has sent.
        figures: One entry per array of people that the node has sent.
        overlay_stamps_ns: Stamps of the overlays that the node has sent.
    """

    def __init__(self, bag: BagWriter) -> None:
        super().__init__("demo_recorder")
        self.image_stamps_ns: list[int] = []
        self.figures: list[Figures] = []
        self.overlay_stamps_ns: list[int] = []
        self._bag = bag
        self.create_subscription(Image, CAMERA, self._on_image, DEEP, raw=True)
        self.create_subscription(PersonPoseArray, POSES, self._on_poses, DEEP, raw=True)
        self.create_subscription(Image, OVERLAY.removesuffix("/compressed"), self._on_overlay, DEEP)

    @property
    def is_answered(self) -> bool:
        """Whether people and overlay of the newest image, which the node never drops, have arrived."""
        newest = self.image_stamps_ns[-1:]
        return newest == [entry.stamp_ns for entry in self.figures[-1:]] == self.overlay_stamps_ns[-1:]

    def _on_image(self, data: bytes) -> None:
        self.image_stamps_ns.append(stamp_ns(deserialize_message(data, Header)))  # an image begins with its header

    def _on_poses(self, data: bytes) -> None:
        self._bag.write(POSES, data)  # the very bytes that the node has sent
        self.figures.append(Figures.of(deserialize_message(data, PersonPoseArray)))

    def _on_overlay(self, message: Image) -> None:
        image, _ = image_from_message(message)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        compressed = CompressedImage(header=message.header, format="bgr8; jpeg compressed bgr8", data=jpeg.tobytes())
        self._bag.write(OVERLAY, serialize_message(compressed))
        self.overlay_stamps_ns.append(stamp_ns(message.header))
