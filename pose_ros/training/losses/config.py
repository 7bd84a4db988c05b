"""Settings of the losses."""

from __future__ import annotations

from dataclasses import dataclass

from pose_ros.config import check_settings, setting

PUSH_FORMS = ("gaussian", "exp", "max")
HEATMAP_LOSSES = ("l2", "logistic", "focal")
NORMALISATIONS = ("channels", "openpose", "mean")


def _weight(default: float, what: str) -> float:
    weight: float = setting(default, f"Weight of {what}.", low=0, high=1e6)
    return weight


@dataclass(frozen=True)
class LossConfig:
    """What counts how much. The weight of a field that the network has not is of no matter."""

    heatmap_loss: str = setting(
        "l2", "Loss of heatmaps: l2 of their values; logistic or CenterNet's focal loss of logits.",
        choices=HEATMAP_LOSSES,
    )  # fmt: skip
    centre_loss: str = setting("focal", "Loss of CenterNet's centres: likewise.", choices=HEATMAP_LOSSES)
    normalisation: str = setting(
        "channels",
        "Sums over the cells of heatmaps, part affinity fields, centres and segmentation are divided by images and "
        "channels, or by two per image (openpose), or by all cells (mean).",
        choices=NORMALISATIONS,
    )
    peak_weight: float = setting(
        2.0, "Cells of heatmaps count 1 + so much times their target, against the many empty ones.", low=0, high=1e4
    )
    hardest: int = setting(0, "Only so many heatmaps of each image count, those of greatest loss; 0 is all.", low=0,
                           high=1000)  # fmt: skip
    push_form: str = setting(
        "gaussian",
        "How tags of two people repel: exp(-d^2/2), or as published exp(-d^2)/2 (exp) or hinge(1-d)/2 (max).",
        choices=PUSH_FORMS,
    )
    tag_unit: float = setting(
        1.0, "Difference of tags that counts 1; less leaves the tags of one person nearer together.", low=0.01, high=100
    )
    offset_unit: float = setting(
        32.0, "PersonLab: length of an offset's error that counts 1, the radius of the disks.", unit="px", low=0.1,
        high=1000,
    )  # fmt: skip
    heatmaps: float = _weight(1.0, "heatmaps")
    pafs: float = _weight(1.0, "part affinity fields")
    pull: float = _weight(3.0, "tags of one person that differ")
    push: float = _weight(3.0, "tags of two people that are alike")
    short_offsets: float = _weight(1.0, "PersonLab's short-range offsets")
    mid_offsets: float = _weight(0.25, "PersonLab's mid-range offsets")
    long_offsets: float = _weight(0.125, "PersonLab's long-range offsets")
    segmentation: float = _weight(2.0, "the segmentation")
    centres: float = _weight(1.0, "centres")
    centre_offsets: float = _weight(1.0, "offsets of centres")
    sizes: float = _weight(0.1, "sizes")
    keypoint_offsets: float = _weight(1.0, "offsets from centres to keypoints")
    heatmap_offsets: float = _weight(1.0, "offsets of heatmap peaks")

    def __post_init__(self) -> None:
        check_settings(self)
