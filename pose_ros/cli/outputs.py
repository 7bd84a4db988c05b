"""Result files of the commands, which a signal leaves complete."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pose_ros.batch import result_files
from pose_ros.cli.delay_signals import delay_signals
from pose_ros.cli.ros_needed import require_ros
from pose_ros.skeleton import Skeleton

if TYPE_CHECKING:
    from pose_ros.ros.messages.poses_bag import PosesBag


class CommandFiles(result_files.ResultFiles):
    """Result files of a command. The first signal does not interrupt their completion."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with delay_signals():
            return bool(super().__exit__(kind, error, trace))


def make_mcap(path: Path, skeleton: Skeleton, model_name: str) -> PosesBag:
    """Open an MCAP file with the messages that the node would publish.

    Raises:
        ImportError: If ROS 2 is missing.
    """
    with require_ros("--mcap"):
        from pose_ros.ros.messages.poses_bag import PosesBag
    return PosesBag(path, skeleton, model_name)
