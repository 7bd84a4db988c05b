"""Open data sets from their configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.extra import add_extra_labels, read_extra
from pose_ros.datasets.file_errors import name_file
from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture, read_negatives
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import Gates
from pose_ros.datasets.lsp import read_lsp
from pose_ros.datasets.mpii import read_mpii
from pose_ros.datasets.sample import Sample
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.datasets.yolo import read_yolo
from pose_ros.files import is_file
from pose_ros.settings import CheckedSettings, setting
from pose_ros.skeleton import Skeleton

FORMATS = ("coco", "lsp", "mpii", "yolo", "negatives", "synthetic")
_WITH_CATEGORIES = ("coco", "yolo")
_SYNTHETIC_IMAGES = 10_000


@dataclass(frozen=True)
class DataConfig(CheckedSettings):
    """Configuration of one data set. Relative paths start at the folder of the configuration file."""

    PATHS: ClassVar[tuple[str, ...]] = ("labels", "images", "subset", "extra")
    format: str = setting(
        "coco",
        "Format of the labels; negatives: folder of images without people, synthetic: rendered scenes.",
        choices=FORMATS,
    )
    labels: str = setting("", "Label file; for YOLO, the data.yaml.")
    images: str = setting("", "Folder of the images; default: folder of the labels. YOLO: see data.yaml.")
    split: str = setting("train", "Split of a YOLO data set: train, val or test.")
    keypoint_names: tuple[str, ...] = setting((), "Keypoint names, if the label file does not contain them.")
    category: tuple[str, ...] = setting(
        (), "Names or ids of the categories of people (coco, yolo); default: those with keypoints, by name."
    )
    weight: float = setting(1.0, "How often this data set is sampled, relative to the others.", low=0.0, high=1e9)
    first: int = setting(0, "Use only the first N images; 0 = all, or 10000 for synthetic.", low=0, high=1_000_000_000)
    subset: str = setting("", "Text file with the names of the images to use, one per line.")
    people: str = setting(
        "any", "Images to use; some: only with people, none: only without people.", choices=("any", "some", "none")
    )
    others: str = setting(
        "auto",
        "People without labels; ignore: ignore all areas outside labelled people, none: no such people, auto: ignore "
        "for lsp, otherwise none.",
        choices=("auto", "ignore", "none"),
    )
    extra: str = setting("", "COCO file with the keypoints and scores of a teacher network.")
    gate_label: float = setting(0.5, "Lowest score of a teacher keypoint used as a label.", low=0.0, high=1.0)
    gate_ignore: float = setting(
        0.1, "Lowest score of an uncertain teacher keypoint; below it, the keypoint is absent.", low=0.0, high=1.0
    )
    strict: bool = setting(True, "Stop at a bad entry or image; false: skip it with a warning.")
    cache: bool = setting(False, "Keep the encoded images in memory, in each process.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "keypoint_names", tuple(self.keypoint_names))  # YAML gives a list
        object.__setattr__(self, "category", tuple(self.category))
        super().__post_init__()
        if self.category and self.format not in _WITH_CATEGORIES:
            raise ValueError(f"category: expected a data set in the format coco or yolo, got format {self.format!r}")


def open_mixture(configs: Sequence[DataConfig], skeleton: Skeleton, root: Path = Path()) -> Mixture:
    """Open several data sets on one skeleton.

    Args:
        configs: Data sets to open.
        skeleton: Skeleton of the samples.
        root: Folder that relative paths start from.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a data set is invalid or empty.
    """
    return Mixture([open_data_set(config, skeleton, root) for config in configs], [config.weight for config in configs])


def open_data_set(config: DataConfig, skeleton: Skeleton, root: Path = Path()) -> Sequence[Sample]:
    """Open one data set. Images are decoded on access.

    Args:
        config: Data set to open.
        skeleton: Skeleton of the samples.
        root: Folder that relative paths start from.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the data set is invalid, or ``first``, ``subset`` and ``people`` select no image.
    """
    if config.format == "synthetic":
        return SyntheticImages(skeleton, config.first or _SYNTHETIC_IMAGES)
    name = config.labels or config.images
    report = LabelReport(name)
    with name_file(name):
        images = _select_images(_read_images(config, skeleton, root, report), config, root)
    if not images:
        raise ValueError(f"data {name}: expected images, got none; check 'first', 'subset' and 'people'")
    if config.extra:
        extras = read_extra(root / config.extra, skeleton, _gates(config))
        images = add_extra_labels(images, extras, skeleton, _gates(config))
    return ImageSet(name, skeleton, images, config.strict, config.cache, report if config.labels else None)


def describe_labels(data_sets: Sequence[Sequence[Sample]]) -> list[str]:
    """Describe the label files of data sets in lines of text: what is read, and what is left out."""
    reports = [data_set.report for data_set in data_sets if isinstance(data_set, ImageSet)]
    return [line for report in reports if report is not None for line in report.lines()]


def read_image_list(file: Path, name: str) -> frozenset[str]:
    """Read the file names of a text file with one image per line, without folders.

    Args:
        file: Text file.
        name: Name of the setting, for errors.

    Raises:
        FileNotFoundError: If the file does not exist.
    """
    if not is_file(file):
        raise FileNotFoundError(f"{name}: expected a text file with image names, got {file}, which does not exist")
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return frozenset(Path(line.strip()).name for line in lines if line.strip())


def _read_images(config: DataConfig, skeleton: Skeleton, root: Path, report: LabelReport) -> list[AnnotatedImage]:
    labels, images = root / config.labels, root / (config.images or Path(config.labels).parent)
    names, categories = config.keypoint_names, config.category
    others = config.others == "ignore" or (config.others == "auto" and config.format == "lsp")
    common: dict[str, Any] = {"ignore_others": others, "strict": config.strict, "report": report}
    if config.format == "negatives":
        return read_negatives(images, skeleton)
    if config.format == "lsp":
        return read_lsp(labels, images, skeleton, **common)
    if config.format == "mpii":
        return read_mpii(labels, images, skeleton, **common)
    if config.format == "yolo":
        return read_yolo(labels, skeleton, split=config.split, names=names, categories=categories, **common)
    return read_coco(labels, images, skeleton, names=names, gates=_gates(config), categories=categories, **common)


def _gates(config: DataConfig) -> Gates:
    return Gates(config.gate_label, config.gate_ignore)


def _select_images(images: list[AnnotatedImage], config: DataConfig, root: Path) -> list[AnnotatedImage]:
    if config.subset:
        names = read_image_list(root / config.subset, "subset")
        images = [image for image in images if image.file.name in names]
    if config.people != "any":
        images = [image for image in images if (len(image.boxes) > 0) == (config.people == "some")]
        if config.people == "none":  # an image with an area of unlabelled people is not an image without people
            images = [replace(image, ignore_others=False) for image in images if not image.ignored]
    return images[: config.first or None]
