"""Define the settings of the losses."""

from __future__ import annotations

from dataclasses import dataclass

from pose_ros.settings import CheckedSettings, setting

PULL_FORMS = ("square", "huber")
PUSH_FORMS = ("gaussian", "exp", "max")
CENTRE_LOSSES = ("l2", "logistic", "focal")
HEATMAP_LOSSES = (*CENTRE_LOSSES, "balanced", "softmax")
NORMALISATIONS = ("channels", "openpose", "mean")


def _weight(default: float, what: str) -> float:
    weight: float = setting(default, f"Weight of {what}.", low=0, high=1e6)
    return weight


@dataclass(frozen=True)
class LossConfig(CheckedSettings):
    """Forms and weights of the losses. Weights of fields that the network lacks are ignored. Weight 0 = no loss."""

    heatmap_loss: str = setting(
        "l2",
        "Loss of heatmaps: l2 on values; on logits: logistic, CenterNet's focal loss (focal), RetinaNet's (balanced), "
        "or PoseFix's softmax over the cells.",
        choices=HEATMAP_LOSSES,
    )  # fmt: skip
    centre_loss: str = setting("focal", "Loss of CenterNet's centres: l2, logistic or focal.", choices=CENTRE_LOSSES)
    normalisation: str = setting(
        "channels",
        "Divisor of the summed losses of heatmaps, part affinity fields, centres and segmentation: images x channels "
        "(channels), 2 x images (openpose), or the number of cells (mean).",
        choices=NORMALISATIONS,
    )
    peak_weight: float = setting(
        2.0, "Extra weight of heatmap peaks: a cell has weight 1 + this x target. Not for focal.", low=0, high=1e4
    )
    coordinates: float = _weight(1.0, "the distance of mean positions in cells, beside the cross entropy (softmax)")
    hardest: int = setting(0, "Number of heatmaps per image with the highest loss that count; 0 = all.", low=0,
                           high=1000)  # fmt: skip
    pull_form: str = setting(
        "square",
        "Pull loss of a tag at distance d from its person: d^2 (square); linear beyond 1 (huber), for tags that are "
        "places.",
        choices=PULL_FORMS,
    )
    push_form: str = setting(
        "gaussian",
        "Push loss of two people at tag distance d: exp(-d^2/2) (gaussian), exp(-d^2)/2 (exp), hinge(1-d)/2 (max).",
        choices=PUSH_FORMS,
    )
    tag_unit: float = setting(
        1.0, "Unit of tag differences; a smaller unit pulls the tags of one person closer together.", low=0.01, high=100
    )
    offset_unit: float = setting(
        32.0, "PersonLab: unit of offset errors; the default is the radius of the disks.", unit="px", low=0.1,
        high=1000,
    )  # fmt: skip
    heatmaps: float = _weight(1.0, "heatmaps")
    pafs: float = _weight(1.0, "part affinity fields")
    pull: float = _weight(3.0, "the pull loss: different tags within a person")
    push: float = _weight(3.0, "the push loss: similar tags of two people")
    short_offsets: float = _weight(1.0, "PersonLab's short-range offsets")
    mid_offsets: float = _weight(0.25, "PersonLab's mid-range offsets")
    long_offsets: float = _weight(0.125, "PersonLab's long-range offsets")
    segmentation: float = _weight(2.0, "the segmentation")
    centres: float = _weight(1.0, "centres")
    centre_offsets: float = _weight(1.0, "offsets of centres")
    sizes: float = _weight(0.1, "sizes")
    keypoint_offsets: float = _weight(1.0, "offsets from centres to keypoints")
    heatmap_offsets: float = _weight(1.0, "offsets of heatmap peaks")
    person_scores: float = _weight(1.0, "DirectPose's scores of cells")
    centreness: float = _weight(1.0, "DirectPose's centre-ness")
    person_offsets: float = _weight(1.0, "DirectPose's offsets from cells to keypoints")
    keypoint_scores: float = _weight(1.0, "DirectPose's visibility of keypoints")
