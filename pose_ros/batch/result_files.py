"""Write the results of one source to several files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pose_ros.config import OverlayConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.csv_results import CsvResults
from pose_ros.media.output_file import OutputFile
from pose_ros.media.overlay import draw_covered
from pose_ros.media.regions import IgnoredRegion
from pose_ros.media.results import CocoResults, JsonLines
from pose_ros.media.sources import Frame
from pose_ros.media.trails import Trails
from pose_ros.media.video_file import VideoFile
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

MakeMcap = Callable[[Path, Skeleton, str], Any]
"""Opens an MCAP file for the people of a skeleton and the name of a model. It needs ROS, so the caller brings it."""


class ResultFiles(ExitStack):
    """Annotated video, JSON Lines, COCO results, CSV and MCAP. A file without a path is skipped. Use it in a ``with``.

    The files appear at the end of the ``with``, and each is complete. An interrupted run has written the frames so far.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        json: Path | None = None,
        coco: Path | None = None,
        video: Path | None = None,
        rate_hz: float = 0.0,
        overlay: OverlayConfig | None = None,
        append: bool = False,
        csv: Path | None = None,
        mcap: Path | None = None,
        make_mcap: MakeMcap | None = None,
        region: IgnoredRegion | None = None,
    ) -> None:
        super().__init__()
        self._anonymiser = Anonymiser(estimator.skeleton, region)
        self._skeleton = estimator.skeleton
        self._overlay, self._trails = overlay or OverlayConfig(), Trails()
        self._tables: list[Any] = []
        self._video: VideoFile | None = None
        try:
            if json is not None:
                self._add(JsonLines(json, self._skeleton, estimator.model_name, append))
            if coco is not None:
                self._add(CocoResults(coco, self._skeleton))
            if csv is not None:
                self._add(CsvResults(csv, self._skeleton))
            if mcap is not None and make_mcap is not None:
                self._add(make_mcap(mcap, self._skeleton, estimator.model_name))
            if video is not None:
                self._video = self.enter_context(VideoFile(video, rate_hz))
        except BaseException:
            self.__exit__(*sys.exc_info())  # earlier files stay
            raise

    def _add(self, table: OutputFile) -> None:
        self._tables.append(self.enter_context(table))

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame to each file."""
        for table in self._tables:
            table.write(frame, people)
        if self._video is not None:
            self._trails.update(people, self._skeleton, frame.stamp_ns / 1e9, self._overlay.trails_s)
            image, stamp_s = frame.image_bgr, frame.stamp_ns / 1e9
            drawn = draw_covered(self._anonymiser, image, people, self._overlay, stamp_s, self._trails)
            self._video.write(drawn, frame.stamp_ns)

    def discard(self) -> None:
        """Remove the unfinished files. Earlier files stay."""
        for file in (*self._tables, *([self._video] if self._video is not None else [])):
            file.discard()
