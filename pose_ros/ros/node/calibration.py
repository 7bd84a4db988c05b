"""Make the model of a camera from its camera_info."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from pose_ros.depth.camera_model import CameraModel
from pose_ros.media.depth_topics import is_rectified
from pose_ros.ros.node.throttled_warning import ThrottledWarning


class Calibration:
    """Model of a camera, made again only if its calibration or the size of its images changes."""

    def __init__(self, node: Node, image_topic: str, info_topic: str) -> None:
        self._topic, self._is_rectified = info_topic, is_rectified(image_topic)
        self._warn = ThrottledWarning(node)
        self._key: object = None
        self._model: CameraModel | None = None
        self._fault = ""

    def model(self, info: CameraInfo | None, size_wh: tuple[int, int]) -> CameraModel | None:
        """Return the camera of an image. Without a usable calibration, return None and log why.

        Args:
            info: Its calibration. None = none received yet.
            size_wh: Width and height of the image, px.
        """
        key = None if info is None else (_contents(info), size_wh)
        if key is None:
            self._model, self._fault = None, f"{self._topic}: expected a camera_info, got none"
        elif key != self._key:
            self._model, self._fault = None, ""
            try:
                self._model = CameraModel.from_info(
                    info, size_wh, rectified=self._is_rectified, name=self._topic
                )
            except (ValueError, OverflowError) as error:
                self._fault = str(error)
        self._key = key
        if self._fault:
            self._warn(f"{self._fault}; points in metres stay unknown")
        return self._model


def _contents(info: CameraInfo) -> tuple[object, ...]:
    roi = info.roi
    return (
        *(info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
        *(bytes(memoryview(values)) for values in (info.d, info.k, info.r, info.p)),
    )
