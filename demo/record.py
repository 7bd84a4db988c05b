"""Record the messages of camera and node in a bag, with counts and times of every image."""

from __future__ import annotations

import cv2
from bag import OVERLAY_TOPIC, POSES_TOPIC, BagWriter
from figures import Figures
from pose_ros.msg import PersonPoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pose_ros.media.image_messages import stamp_ns
from pose_ros.ros.messages.conversions import image_from_message

CAMERA = "/camera/image_raw"
DEEP_QUEUE = QoSProfile(depth=100)  # reliable, with a queue for messages while the disk is busy
JPEG_QUALITY = 90


class Recorder(Node):
    """ROS node that subscribes to images, people and overlays.

    Attributes:
        image_stamps_ns: Stamps of the received camera images, nanoseconds.
        figures: One entry per received PersonPoseArray.
        overlay_stamps_ns: Stamps of the received overlays, nanoseconds.
    """

    def __init__(self, bag: BagWriter) -> None:
        super().__init__("demo_recorder")
        self.image_stamps_ns: list[int] = []
        self.figures: list[Figures] = []
        self.overlay_stamps_ns: list[int] = []
        self._bag = bag
        self.create_subscription(Image, CAMERA, self._on_image, DEEP_QUEUE, raw=True)
        self.create_subscription(PersonPoseArray, POSES_TOPIC, self._on_poses, DEEP_QUEUE, raw=True)
        self.create_subscription(Image, OVERLAY_TOPIC.removesuffix("/compressed"), self._on_overlay, DEEP_QUEUE)

    @property
    def is_complete(self) -> bool:
        """Whether people and overlay of the newest image have arrived. The node never drops the newest image."""
        newest = self.image_stamps_ns[-1:]
        return newest == [entry.stamp_ns for entry in self.figures[-1:]] == self.overlay_stamps_ns[-1:]

    def _on_image(self, data: bytes) -> None:
        self.image_stamps_ns.append(stamp_ns(deserialize_message(data, Header)))  # an image begins with its header

    def _on_poses(self, data: bytes) -> None:
        self._bag.write(POSES_TOPIC, data)  # the bytes of the node, unchanged
        self.figures.append(Figures.from_message(deserialize_message(data, PersonPoseArray)))

    def _on_overlay(self, message: Image) -> None:
        image, _ = image_from_message(message)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        compressed = CompressedImage(header=message.header, format="bgr8; jpeg compressed bgr8", data=jpeg.tobytes())
        self._bag.write(OVERLAY_TOPIC, serialize_message(compressed))
        self.overlay_stamps_ns.append(stamp_ns(message.header))
