"""Report what a label file contains, how much of it is used, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pose_ros.arrays import BoolArray, LongArray
from pose_ros.texts import format_count


@dataclass
class LabelReport:
    """Counts of the labels that a reader uses, and of those that it leaves out.

    Attributes:
        name: Name of the label file.
        entries: Number of people in the file, before any is left out.
        images: Number of images.
        people: Number of people with keypoints.
        ignored: Number of ignored areas: crowds, people without keypoints.
        keypoints: Number of labelled keypoints, by name.
        left_out: Number of entries that are left out, by reason.
        notes: Number of entries that are used although they are unusual, by description.
    """

    name: str
    entries: int = 0
    images: int = 0
    people: int = 0
    ignored: int = 0
    keypoints: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def count(self, names: Sequence[str], labelled: Sequence[BoolArray], ignored: int) -> None:
        """Count the labels of all images.

        Args:
            names: K keypoint names.
            labelled: (N, K) of each image, whether a keypoint is labelled.
            ignored: Number of ignored areas in all images.

        Raises:
            ValueError: If the file has people, but none of them is used, or none of their keypoints.
        """
        counts: LongArray = sum((each.sum(axis=0) for each in labelled), np.zeros(len(names), np.int64))
        self.images, self.people, self.ignored = len(labelled), sum(map(len, labelled)), ignored
        self.keypoints = dict(zip(names, map(int, counts), strict=True))
        if self.entries and not counts.any():
            raise ValueError(
                f"labels {self.name}: expected people with keypoints, got none from {self.entries} entries: "
                f"{self.people} people, {self.ignored} ignored areas, left out: {_list_counts(self.left_out) or 'none'}"
                "; check the keypoints, or choose a category"
            )

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        total, used = sum(self.keypoints.values()), Counter({name: n for name, n in self.keypoints.items() if n})
        missing = [name for name, count in self.keypoints.items() if not count]
        counts = (
            format_count(self.images, "image"),
            format_count(self.people, "person", "people"),
            format_count(total, "keypoint"),
            format_count(self.ignored, "ignored area"),
        )
        lines = [", ".join(counts), "labelled keypoints: " + (_list_counts(used, after=True) or "none")]
        lines += [f"keypoints without labels: {', '.join(missing)}"] if missing and used else []
        lines += [f"note: {_list_counts(self.notes)}"] if self.notes else []
        lines += [f"left out: {_list_counts(self.left_out)}"] if self.left_out else []
        return [f"{self.name}: {line}" for line in lines]


def _list_counts(counts: Counter[str], after: bool = False) -> str:
    return ", ".join(f"{name} {count}" if after else f"{count} {name}" for name, count in counts.items())
