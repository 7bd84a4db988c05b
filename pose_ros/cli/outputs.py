"""Result files of the commands ``image`` and ``video``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pose_ros.cli.delay_signals import delay_signals
from pose_ros.cli.ros_needed import require_ros
from pose_ros.config import OverlayConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.csv_results import CsvResults
from pose_ros.media.overlay import draw
from pose_ros.media.regions import IgnoredRegion
from pose_ros.media.results import CocoResults, JsonLines
from pose_ros.media.sources import Frame
from pose_ros.media.trails import Trails
from pose_ros.media.video_file import VideoFile
from pose_ros.people import People

if TYPE_CHECKING:
    from pose_ros.ros.messages.poses_bag import PosesBag


class ResultFiles(ExitStack):
    """Annotated video, JSON Lines, COCO results, CSV and MCAP. A file without a path is skipped. Use it in a ``with``.

    The files appear at the end of the ``with``, and each is complete. An interrupted run has written the frames so far.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        json: Path | None,
        coco: Path | None,
        video: Path | None = None,
        rate_hz: float = 0.0,
        overlay: OverlayConfig | None = None,
        append: bool = False,
        csv: Path | None = None,
        mcap: Path | None = None,
        region: IgnoredRegion | None = None,
    ) -> None:
        super().__init__()
        self._anonymiser = Anonymiser(estimator.skeleton, region)
        self._skeleton = estimator.skeleton
        self._overlay, self._trails = overlay or OverlayConfig(), Trails()
        self._tables: list[JsonLines | CocoResults | CsvResults | PosesBag] = []
        self._video: VideoFile | None = None
        try:
            if json is not None:
                self._add(JsonLines(json, self._skeleton, estimator.model_name, append))
            if coco is not None:
                self._add(CocoResults(coco, self._skeleton))
            if csv is not None:
                self._add(CsvResults(csv, self._skeleton))
            if mcap is not None:
                with require_ros("--mcap"):
                    from pose_ros.ros.messages.poses_bag import PosesBag
                self._add(PosesBag(mcap, self._skeleton, estimator.model_name))
            if video is not None:
                self._video = self.enter_context(VideoFile(video, rate_hz))
        except BaseException:
            self.__exit__(*sys.exc_info())  # earlier files stay
            raise

    def _add(self, table: JsonLines | CocoResults | CsvResults | PosesBag) -> None:
        self._tables.append(self.enter_context(table))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with delay_signals():
            return bool(super().__exit__(kind, error, trace))

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame to each file."""
        for table in self._tables:
            table.write(frame, people)
        if self._video is not None:
            self._trails.update(people, self._skeleton, frame.stamp_ns / 1e9, self._overlay.trails_s)
            image = self._anonymiser.cover(frame.image_bgr, people, frame.stamp_ns / 1e9, self._overlay)
            drawn = draw(image, people, self._skeleton, self._overlay, self._trails, is_anonymous=True)
            self._video.write(drawn, frame.stamp_ns)
