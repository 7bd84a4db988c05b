"""Settings of the training targets."""

from __future__ import annotations

from dataclasses import dataclass

from pose_ros.config import check_settings, setting

HEATMAP_FORMS = ("gaussian", "rounded", "disk", "centernet")
LIMB_FORMS = ("hard", "soft")


@dataclass(frozen=True)
class TargetConfig:
    """What the fields of known people look like.

    Published forms: OpenPose is ``gaussian`` with sigma 7 px and ``hard`` limbs; trt_pose is ``gaussian`` with its
    sigma divided by the root of 2 and ``soft`` limbs; associative embedding and HigherHRNet are ``rounded`` with sigma
    2 cells; PersonLab is ``disk``; CenterNet is ``centernet``.
    """

    heatmap_form: str = setting(
        "gaussian",
        "Peaks of the heatmaps: gaussian at the keypoint, gaussian at its nearest cell (rounded), a disk, "
        "or gaussian at the cell before it with a radius by the person's size (centernet).",
        choices=HEATMAP_FORMS,
    )
    heatmap_sigma: float = setting(7.0, "Standard deviation of the Gaussians.", unit="px", low=0.1, high=200)
    background: bool = setting(False, "Whether a further heatmap teaches the background: 1 - the highest.")
    limb_form: str = setting(
        "hard",
        "Part affinity fields: hard-edged limbs, averaged where people cross, or soft ones, summed.",
        choices=LIMB_FORMS,
    )
    limb_half_width: float = setting(
        6.5, "Distance from a limb that still belongs to it; of soft limbs, where they fall to 1/e.", unit="px",
        low=0.1, high=200,
    )  # fmt: skip
    limb_overhang: float = setting(
        4.0,
        "How far hard limbs go on beyond their ends: short ones would be gaps on a coarse grid. The paper has 0.",
        unit="px",
        low=0,
        high=200,
    )
    uncertain_radius: float = setting(
        21.0, "Radius around an uncertain keypoint in which nothing is taught.", unit="px", low=0, high=1000
    )
    tag_reading: str = setting(
        "nearest",
        "Tags are taught at the cell nearest to a keypoint, or at the four around it.",
        choices=("nearest", "around"),
    )
    most_people: int = setting(30, "Most people whose tags are taught; those of most keypoints first.", low=1, high=255)
    disk_radius: float = setting(
        32.0, "Radius of PersonLab's disks, in which offsets are taught.", unit="px", low=0.1, high=1000
    )
    centre_overlap: float = setting(
        0.7, "CenterNet: boxes moved by the radius of a peak overlap so much.", low=0.01, high=0.99
    )

    def __post_init__(self) -> None:
        check_settings(self)
