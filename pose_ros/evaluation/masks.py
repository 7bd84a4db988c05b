"""Compare the masks of people with the outlines of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.evaluation.data import LabelledImage
from pose_ros.evaluation.errors import ImageErrors
from pose_ros.people import People


@dataclass(frozen=True)
class MaskScores:
    """Overlap of masks with the outlines of labelled people.

    Attributes:
        people: Number of labelled people with an outline.
        matched: Number of those that a detection matches by its keypoints.
        mean_iou: Mean intersection over union of the matched people. None if no person is matched.
    """

    people: int
    matched: int
    mean_iou: float | None

    @property
    def mean_iou_of_all(self) -> float | None:
        """Mean intersection over union of all people, 0 for those that are missed."""
        return None if self.mean_iou is None else self.mean_iou * self.matched / self.people


def mask_ious(people: People, image: LabelledImage) -> DoubleArray | None:
    """Compute the intersection over union of all pairs of a mask and an outline.

    Args:
        people: D people, in pixels of the image.
        image: Labels of the image, N people.

    Returns:
        (D, N), the best detection first. NaN for labelled people without an outline. None if the detections have no
        masks, or no labelled person has an outline.
    """
    if people.masks is None or not any(region.has_outline for region in image.outlines):
        return None
    masks = people.masks[np.argsort(-people.person_scores, kind="stable")]
    ious = np.full((len(masks), len(image)), np.nan)
    for n, region in enumerate(image.outlines):
        if region.has_outline:
            outline = np.zeros(masks.shape[1:], np.uint8)
            region.paint(outline, 1)
            inside = outline.view(np.bool_)
            shared, either = ((op(masks, inside)).sum(axis=(1, 2)) for op in (np.logical_and, np.logical_or))
            ious[:, n] = shared / np.maximum(either, 1)
    return ious


def score_masks(
    images: Sequence[LabelledImage], errors: Sequence[ImageErrors], ious: Sequence[DoubleArray | None]
) -> MaskScores | None:
    """Score the masks of the detections that match a labelled person by their keypoints.

    Args:
        images: Labels.
        errors: Which person each detection matches, for each image.
        ious: Results of ``mask_ious`` for each image.

    Returns:
        The scores over all images. None if no image has both masks and outlines.
    """
    people, matched = 0, []
    for image, found, pairs in zip(images, errors, ious, strict=True):
        if pairs is None:
            continue
        judged = np.array([region.has_outline for region in image.outlines]) & ~image.ignored
        people += int(judged.sum())
        matched += [pairs[d, n] for d, n in enumerate(found.partners) if n >= 0 and judged[n]]
    return MaskScores(people, len(matched), float(np.mean(matched)) if matched else None) if people else None
