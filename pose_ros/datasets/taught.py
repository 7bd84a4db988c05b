"""Count what the labels of data sets teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture
from pose_ros.datasets.labels import DEFAULT_GATES, Gates
from pose_ros.datasets.sample import LABELLED
from pose_ros.people import People
from pose_ros.skeleton import Skeleton
from pose_ros.texts import format_count


@dataclass(frozen=True)
class Taught:
    """People and keypoints that data sets teach.

    Attributes:
        people: Number of people with labelled keypoints.
        keypoints: Number of labelled keypoints, by name.
        is_rendered: Whether rendered people are added.
        names: Data sets with a label file.
    """

    people: int
    keypoints: Counter[str]
    is_rendered: bool
    names: tuple[str, ...]

    def check(self) -> None:
        """Check that the labels teach something.

        Raises:
            ValueError: If no data set teaches a keypoint.
        """
        if not (self.is_rendered or self.people):
            raise ValueError(
                f"data {', '.join(self.names) or 'without labels'}: expected people whose keypoints are taught, got "
                "none; check the labels, gate_label, subset, people and weight"
            )

    def lines(self) -> list[str]:
        """Return the counts as lines of text."""
        rendered = " and rendered people" * self.is_rendered
        people = format_count(self.people, "person", "people")
        keypoints = format_count(sum(self.keypoints.values()), "keypoint")
        lines = [f"taught: {people} with {keypoints}{rendered}"]
        missing = [] if self.is_rendered else [name for name, count in self.keypoints.items() if not count]
        return lines + [f"not taught, because no label has them: {', '.join(missing)}"] * bool(missing)


def count_taught(mixture: Mixture, skeleton: Skeleton) -> Taught:
    """Count the people and keypoints that the data sets of a mixture teach. A weight of 0 teaches nothing."""
    used = [each for each, weight in zip(mixture.data_sets, mixture.weights, strict=True) if weight > 0]
    with_files = [each for each in used if isinstance(each, ImageSet)]
    people, keypoints = count_labels([image for each in with_files for image in each.images], skeleton)
    names = tuple(each.name for each in with_files if each.report is not None)
    return Taught(people, keypoints, len(with_files) < len(used), names)


def count_scored(people: People, gates: Gates = DEFAULT_GATES) -> dict[str, int]:
    """Count the ``people`` of a network whose scores teach, and their taught ``keypoints``."""
    states = gates.states_of(people.scores)
    counts = [int((person == LABELLED).sum()) for person in states if gates.is_person(person)]
    return {"people": len(counts), "keypoints": sum(counts)}


def count_labels(images: Sequence[AnnotatedImage], skeleton: Skeleton) -> tuple[int, Counter[str]]:
    """Count the people with labelled keypoints, and the labelled keypoints by name."""
    people, keypoints = 0, Counter(dict.fromkeys(skeleton.keypoint_names, 0))
    for image in images:
        labelled = image.states == LABELLED
        people += int(labelled.any(axis=1).sum())
        for name, count in zip(skeleton.keypoint_names, labelled.sum(axis=0).tolist(), strict=True):
            keypoints[name] += count
    return people, keypoints
