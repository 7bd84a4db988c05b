"""Define the settings of the training targets."""

from __future__ import annotations

from dataclasses import dataclass

from pose_ros.settings import CheckedSettings, setting

HEATMAP_FORMS = ("gaussian", "rounded", "disk", "centernet", "bilinear")
LIMB_FORMS = ("hard", "soft")
OFFSET_FORMS = ("shared", "each")


@dataclass(frozen=True)
class TargetConfig(CheckedSettings):
    """Forms of the target fields.

    Published forms:
        OpenPose: ``gaussian`` with sigma 7 px, and ``hard`` limbs.
        trt_pose: ``gaussian`` with its sigma divided by the square root of 2, and ``soft`` limbs.
        Associative embedding and HigherHRNet: ``rounded`` with sigma 2 cells.
        PersonLab: ``disk``.
        CenterNet: ``centernet``.
        DirectPose: ``rounded`` with sigma 0.1 px, which is one cell for each keypoint.
        PoseFix: ``bilinear``, for one person in each image.
    """

    heatmap_form: str = setting(
        "gaussian",
        "Peaks of the heatmaps: Gaussian at the keypoint (gaussian) or at its nearest cell (rounded), disk (disk), "
        "Gaussian at the rounded-down cell, with a radius from the size of the person (centernet), or a sum of 1 over "
        "the four cells around the keypoint (bilinear).",
        choices=HEATMAP_FORMS,
    )
    heatmap_sigma: float = setting(7.0, "Standard deviation of the Gaussians.", unit="px", low=0.1, high=200)
    background: bool = setting(False, "Whether to add a background heatmap: 1 - the maximum of the others.")
    limb_form: str = setting(
        "hard",
        "Limbs of part affinity fields: hard edges, averaged where people cross; or soft edges, summed.",
        choices=LIMB_FORMS,
    )
    limb_half_width: float = setting(
        6.5, "Half the width of a limb; soft limbs fall to 1/e there.", unit="px",
        low=0.1, high=200,
    )  # fmt: skip
    limb_overhang: float = setting(
        4.0,
        "Length of hard limbs beyond their keypoints; avoids gaps in short limbs on coarse grids; 0 in the paper.",
        unit="px",
        low=0,
        high=200,
    )
    uncertain_radius: float = setting(
        21.0, "Radius around an uncertain keypoint in which the loss is 0.", unit="px", low=0, high=1000
    )
    tag_reading: str = setting(
        "nearest",
        "Cells where tags are trained: the one nearest to a keypoint, or the four around it.",
        choices=("nearest", "around"),
    )
    most_people: int = setting(
        30, "Maximum number of people whose tags are trained; those with the most keypoints first.", low=1, high=255
    )
    disk_radius: float = setting(
        32.0, "Radius of PersonLab's disks, in which offsets are trained.", unit="px", low=0.1, high=1000
    )
    centre_overlap: float = setting(
        0.7, "CenterNet: overlap of boxes that are moved by the radius of a peak.", low=0.01, high=0.99
    )
    level_px: float = setting(
        64.0,
        "DirectPose: largest distance from a cell of the finest level to the sides of its person; it doubles at each "
        "level.",
        unit="px", low=1, high=10_000,
    )  # fmt: skip
    centre_cells: float = setting(
        1.5, "DirectPose: distance from the centre of a person to its cells, along x and y, in cells of the level.",
        low=0.5, high=100,
    )  # fmt: skip
    offset_form: str = setting(
        "shared",
        "Offsets of heatmap peaks: one pair of channels for all keypoints (CenterNet), or one for each (MoveNet).",
        choices=OFFSET_FORMS,
    )
