"""Data sets as a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pose_ros.config import check_settings, setting
from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.extra import read_extra, with_extra
from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture, negatives
from pose_ros.datasets.labels import Gates
from pose_ros.datasets.lsp import read_lsp
from pose_ros.datasets.mpii import read_mpii
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.datasets.yolo import read_yolo
from pose_ros.skeleton import Skeleton

FORMATS = ("coco", "lsp", "mpii", "yolo", "negatives", "synthetic")
_SYNTHETIC = 10_000


@dataclass(frozen=True)
class DataConfig:
    """One data set. Paths start from the folder of the file that they are written in."""

    PATHS: ClassVar[tuple[str, ...]] = ("labels", "images", "subset", "extra")
    format: str = setting(
        "coco",
        "How its labels are written; negatives is a folder without people, synthetic is made up.",
        choices=FORMATS,
    )
    labels: str = setting("", "File of labels; of YOLO, the data.yaml.")
    images: str = setting("", "Folder of the images; by default that of the labels. YOLO's data.yaml tells it itself.")
    split: str = setting("train", "Part of a YOLO set.")
    keypoint_names: tuple[str, ...] = setting((), "Names of its keypoints, where the labels do not tell them.")
    weight: float = setting(1.0, "How often it is drawn from, beside the others.", low=0.0, high=1e9)
    first: int = setting(
        0, "Only so many pictures, from the first; 0 is all, or 10000 if they are made up.", low=0, high=1_000_000_000
    )
    subset: str = setting("", "File with the names of the images to use, one a line.")
    people: str = setting("any", "Only pictures with people, or without.", choices=("any", "some", "none"))
    others: str = setting(
        "auto", "People without labels: there may be some, to be ignored, or none.", choices=("auto", "ignore", "none")
    )
    extra: str = setting("", "COCO file of a teacher's keypoints with their scores.")
    gate_label: float = setting(0.5, "A teacher's keypoint of this score is a label.", low=0.0, high=1.0)
    gate_ignore: float = setting(0.1, "A teacher's keypoint of this score is in doubt.", low=0.0, high=1.0)
    strict: bool = setting(True, "Stop at a bad entry or image; otherwise leave it out and warn.")
    cache: bool = setting(False, "Keep the encoded images in memory, in every process.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "keypoint_names", tuple(self.keypoint_names))  # YAML has lists
        check_settings(self)


def open_mixture(configs: Sequence[DataConfig], skeleton: Skeleton, root: Path = Path()) -> Mixture:
    """Open several data sets on one skeleton.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a set is bad or empty.
    """
    return Mixture([open_pictures(config, skeleton, root) for config in configs], [config.weight for config in configs])


def open_pictures(config: DataConfig, skeleton: Skeleton, root: Path = Path()) -> Sequence[Sample]:
    """Open one data set; images are decoded later.

    Args:
        config: Which.
        skeleton: Of the samples.
        root: Where relative paths start.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it is bad, or nothing of it is chosen.
    """
    if config.format == "synthetic":
        return SyntheticImages(skeleton, config.first or _SYNTHETIC)
    pictures = _chosen(_read(config, skeleton, root), config, root)
    name = config.labels or config.images
    if not pictures:
        raise ValueError(f"data {name}: expected pictures, got none (first, subset and people choose among them)")
    if config.extra:
        extras = read_extra(root / config.extra, skeleton, _gates(config))
        pictures = with_extra(pictures, extras, skeleton, _gates(config))
    return ImageSet(name, skeleton, pictures, config.strict, config.cache)


def _read(config: DataConfig, skeleton: Skeleton, root: Path) -> list[AnnotatedImage]:
    labels, images = root / config.labels, root / (config.images or Path(config.labels).parent)
    names, strict = config.keypoint_names, config.strict
    alone = config.others == "ignore" or (config.others == "auto" and config.format == "lsp")
    if config.format == "negatives":
        return negatives(images, skeleton)
    if config.format == "lsp":
        return read_lsp(labels, images, skeleton, alone=alone, strict=strict)
    if config.format == "mpii":
        return read_mpii(labels, images, skeleton, alone=alone, strict=strict)
    if config.format == "yolo":
        return read_yolo(labels, skeleton, split=config.split, names=names, alone=alone, strict=strict)
    return read_coco(labels, images, skeleton, names=names, alone=alone, strict=strict, gates=_gates(config))


def _gates(config: DataConfig) -> Gates:
    return Gates(config.gate_label, config.gate_ignore)


def _chosen(pictures: list[AnnotatedImage], config: DataConfig, root: Path) -> list[AnnotatedImage]:
    if config.subset:
        names = {Path(line).name for line in (root / config.subset).read_text(encoding="utf-8").split("\n")}
        pictures = [picture for picture in pictures if picture.file.name in names]
    if config.people != "any":
        pictures = [picture for picture in pictures if (len(picture.boxes) > 0) == (config.people == "some")]
        if config.people == "none":  # an area of unlabelled people is no example of nobody
            pictures = [replace(picture, alone=False) for picture in pictures if not picture.ignored]
    return pictures[: config.first or None]
