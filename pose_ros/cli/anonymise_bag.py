"""``pose_ros bag BAG --anonymise blur -o FOLDER``: copy a bag with covered heads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import typer

from pose_ros.arrays import Image
from pose_ros.batch.one_source import make_ignore_stage
from pose_ros.cli.failures import Failures
from pose_ros.cli.options import load_refiner
from pose_ros.config import NOT_ANONYMISED, OverlayConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.addresses import is_address
from pose_ros.media.anonymise import Anonymiser
from pose_ros.media.anonymise_messages import check_message, cover_message
from pose_ros.media.bag_folder import is_bag
from pose_ros.media.bag_rewriting import BagRewriter, check_new_folder
from pose_ros.media.regions import IgnoredRegion, find_region, load_regions
from pose_ros.people import People
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.refinement import Refiner
from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge
from pose_ros.texts import format_count


class _CoveredTopics:
    """Pipeline and memory of heads of each image topic of a bag."""

    def __init__(
        self,
        estimator: PoseEstimator,
        refiner: Refiner | None,
        regions: dict[str, IgnoredRegion],
        overlay: OverlayConfig,
        topics: Collection[str],
    ) -> None:
        self.images = self.covered = 0
        self._overlay = overlay
        self._cameras: dict[str, tuple[Anonymiser, Callable[[Image, str, int], People]]] = {}
        for topic in topics:
            region = find_region(regions, topic)
            pipeline = PosePipeline(estimator, refiner=refiner, ignore=make_ignore_stage(region))
            self._cameras[topic] = Anonymiser(estimator.skeleton, region), partial(_find_people, pipeline)

    def cover(self, topic: str, message: Any) -> Any | None:
        """Return an image message with covered heads, None if it has none. See ``cover_message``."""
        anonymiser, find_people = self._cameras[topic]
        try:
            changed = cover_message(message, anonymiser, find_people, self._overlay, convert_with_cv_bridge)
        except Exception as error:  # whatever happens, the image is not copied
            raise ValueError(str(error) or repr(error)) from error
        self.images += 1
        self.covered += changed is not None
        return changed


def _find_people(pipeline: PosePipeline, image: Image, colour: str, stamp_ns: int) -> People:
    return pipeline.process(CameraImage(image, colour, stamp_ns)).people


def copies_bag(source: str, output: Path, overlay: OverlayConfig) -> bool:
    """Whether the options ask for a copy of a bag with covered heads: the output has no suffix of a video."""
    is_path = not (is_address(source) or output.suffix)
    return is_path and overlay.anonymise != NOT_ANONYMISED and is_bag(Path(source))


def copy_bag(
    source: Path,
    target: Path,
    load: Callable[[], PoseEstimator],
    overlay: OverlayConfig,
    keep: str,
    drop: str,
    strict: bool,
) -> None:
    """Copy a bag with covered heads in all images.

    Args:
        source: The bag.
        target: Folder of the copy.
        load: Loads the estimator. Its settings name the ignored regions.
        overlay: Way of covering.
        keep: Topics to copy as they are, separated by commas.
        drop: Topics to leave out, separated by commas.
        strict: Whether the first image that cannot be covered ends the command.

    Raises:
        FileExistsError: If the target exists.
        OSError: If the copy cannot be written completely.
        ValueError: If the bag cannot be read, or has a topic that may show people and cannot be covered.
    """
    failures = Failures(strict)
    with _open_bag(source, target, keep, drop) as bag:
        estimator = load()
        regions = load_regions(estimator.config.regions.ignore)
        topics = _CoveredTopics(estimator, load_refiner(estimator), regions, overlay, bag.edited_topics)
        _write_copy(bag, target, topics, failures)
    failures.finish()


def _open_bag(path: Path, target: Path, keep: str, drop: str) -> BagRewriter:
    """Open a bag, and check that all its images can be covered, before a network is loaded.

    Raises:
        FileExistsError: If the target exists.
        ValueError: If the bag has no images, or a topic that may show people and cannot be covered.
    """
    check_new_folder(target)
    if target.resolve().is_relative_to(path.resolve()):
        raise ValueError(f"--output: expected a folder outside the bag, got {target}")
    bag = BagRewriter(path, *([name.strip() for name in text.split(",") if name.strip()] for text in (keep, drop)))
    try:
        if not bag.edited_topics:
            raise ValueError(f"bag {path}: expected image topics, got none")
        for topic in bag.edited_topics:
            _check_topic(bag, path, topic)
    except BaseException:
        bag.close()
        raise
    return bag


def _check_topic(bag: BagRewriter, path: Path, topic: str) -> None:
    """Raise ValueError if none of the first images of a topic can be covered."""
    reasons = [_check_message(message) for message in bag.images(topic)]
    if reasons and all(reasons):
        raise ValueError(
            f"bag {path}: expected images whose heads can be covered, got {topic}: {reasons[0]}; leave it out with "
            "--drop-topics, or copy it as it is with --keep-topics"
        )


def _check_message(message: Any) -> str:
    """Return why the heads in an image cannot be covered. Empty = they can."""
    try:
        check_message(message, convert_with_cv_bridge)
    except ValueError as error:
        return str(error)
    return ""


def _write_copy(bag: BagRewriter, target: Path, topics: _CoveredTopics, failures: Failures) -> None:
    """Write the copy, with a progress bar, and report what was done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=bag.count)
        bag.write(target, topics.cover, failures.add, lambda: progress.advance(task))
    images = format_count(topics.images, "image")
    typer.echo(
        f"{target}: {images} of {format_count(len(bag.edited_topics), 'topic')}, heads covered in {topics.covered}; "
        "other messages are unchanged"
    )
    typer.echo("Heads that were not found are still visible: look at the result before you publish it.", err=True)
