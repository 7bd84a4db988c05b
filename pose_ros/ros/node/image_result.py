"""One processed image, ready to publish."""

from __future__ import annotations

from dataclasses import dataclass

from std_msgs.msg import Header

from pose_ros.estimator import Estimate
from pose_ros.pipeline import CameraImage
from pose_ros.skeleton import Skeleton


@dataclass(frozen=True)
class ImageResult:
    """One processed image, ready to publish.

    Attributes:
        header: Header of the image message.
        image: The image.
        estimate: The people in the image, and the time of each step.
        skeleton: Skeleton of the people.
        model_name: Name of the model that found them.
        frame_3d: Frame of the results in metres. Empty = frame of the header.
    """

    header: Header
    image: CameraImage
    estimate: Estimate
    skeleton: Skeleton
    model_name: str
    frame_3d: str = ""

    @property
    def header_3d(self) -> Header:
        """Header of the results in metres."""
        return Header(stamp=self.header.stamp, frame_id=self.frame_3d) if self.frame_3d else self.header
