"""Result files of the commands ``image`` and ``video``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pose_ros.config import OverlayConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.overlay import draw
from pose_ros.media.results import CocoResults, JsonLines, VideoFile
from pose_ros.media.sources import Frame
from pose_ros.people import People


class ResultFiles(ExitStack):
    """Annotated video, JSON Lines and COCO results. A file without a path is skipped. Use it in a ``with``."""

    def __init__(
        self,
        estimator: PoseEstimator,
        json: Path | None,
        coco: Path | None,
        video: Path | None = None,
        rate_hz: float = 0.0,
        overlay: OverlayConfig | None = None,
    ) -> None:
        super().__init__()
        self._skeleton = estimator.skeleton
        self._overlay = overlay
        self._tables: list[JsonLines | CocoResults] = []
        if json is not None:
            self._tables.append(self.enter_context(JsonLines(json, self._skeleton, estimator.model_name)))
        if coco is not None:
            self._tables.append(self.enter_context(CocoResults(coco, self._skeleton)))
        self._video = None if video is None else self.enter_context(VideoFile(video, rate_hz))

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame to each file."""
        for table in self._tables:
            table.write(frame, people)
        if self._video is not None:
            self._video.write(draw(frame.image_bgr, people, self._skeleton, self._overlay))
