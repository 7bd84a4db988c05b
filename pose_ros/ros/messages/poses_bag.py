"""Write results as MCAP, with the messages that the node would publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from std_msgs.msg import Header

from pose_ros.files import UnfinishedFile
from pose_ros.media.output_file import OutputFile, check_suffix, create_folder
from pose_ros.media.sources import Frame
from pose_ros.people import People
from pose_ros.ros.messages.conversions import people_to_message
from pose_ros.skeleton import Skeleton

TOPIC = "/pose_estimator/poses"
TYPE = "pose_ros/msg/PersonPoseArray"


class PosesBag(OutputFile):
    """MCAP file with one ``PersonPoseArray`` per frame on ``/pose_estimator/poses``.

    ``ros2 bag``, Foxglove and rosbags can read it. The times in the messages are 0, so the same input gives the same
    bytes. The stamps are those of the frames.

    Args:
        path: File to write, ``.mcap``.
        skeleton: Skeleton of the people.
        model_name: Name of the model.

    Raises:
        ValueError: If the name does not end in .mcap, or the message definitions of this package are not installed.
    """

    def __init__(self, path: Path, skeleton: Skeleton, model_name: str) -> None:
        check_suffix("--mcap", path, (".mcap",))
        self._types = types = _message_types()
        super().__init__(path, UnfinishedFile(create_folder(path)))
        self._skeleton, self._model_name = skeleton, model_name
        self._folder = self._target.path.with_name("bag")
        try:
            self._writer: Any = _open_writer(self._folder)
            self._poses = self._writer.add_connection(TOPIC, TYPE, typestore=types)
        except BaseException:
            self._target.discard()
            raise

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame.

        Raises:
            OSError: If the disk is full.
        """
        height, width = frame.image_bgr.shape[:2]
        header = Header()
        header.stamp.sec, header.stamp.nanosec = divmod(frame.stamp_ns, 10**9)
        message = people_to_message(people, self._skeleton.keypoint_names, header, (width, height), self._model_name)
        # The middleware leaves random bytes in the gaps between values, rosbags writes zeros
        data = self._types.serialize_cdr(self._types.deserialize_cdr(serialize_message(message), TYPE), TYPE)
        try:
            with self._target.explain_errors():
                self._writer.write(self._poses, frame.stamp_ns, data)
        except OSError:
            self._is_broken = True
            raise
        self._frames += 1

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        writer.close()
        (part,) = self._folder.glob("*.mcap")
        part.replace(self._target.path)

    def _release(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _open_writer(folder: Path) -> Writer:
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.open()
    return writer


def _message_types() -> Any:
    """Return the message types of ROS 2 and of this package."""
    try:
        folder = Path(get_package_share_directory("pose_ros")) / "msg"
    except PackageNotFoundError as error:
        raise ValueError("--mcap: expected the installed package pose_ros; source its workspace") from error
    types = get_typestore(Stores.LATEST)
    for name in ("Keypoint", "PersonPose", "PersonPoseArray"):
        text = (folder / f"{name}.msg").read_text(encoding="utf-8")
        types.register(get_types_from_msg(text, f"pose_ros/msg/{name}"))
    return types
