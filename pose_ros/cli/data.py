"""``pose_ros inspect``: draw training samples. ``pose_ros synthetic``: render synthetic images with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options
from pose_ros.cli.options import first_given_option
from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.datasets.augment import TrainingStream
    from pose_ros.datasets.sets import DataConfig
    from pose_ros.skeleton import Skeleton


def inspect(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="Training configuration (.yaml), labels (COCO .json, LSP .npz or .mat, YOLO data.yaml), folder of "
            "images without people, or the word synthetic.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image file to write.")] = Path("samples.png"),
    count: Annotated[int, typer.Option("--count", "-n", help="Number of samples.", min=1, max=400)] = 24,
    columns: Annotated[int, typer.Option("--columns", help="Samples per row.", min=1, max=50)] = 6,
    size: Annotated[
        int, typer.Option("--size", help="Width and height of a sample if the source is no configuration, px.", min=16)
    ] = 256,
    images: Annotated[Path | None, typer.Option("--images", help="Folder of the images of a label file.")] = None,
    category: options.Categories = None,
    skeleton: Annotated[
        str, typer.Option("--skeleton", help="Skeleton if the source is no configuration.")
    ] = "openpose_18",
    plain: Annotated[
        bool, typer.Option("--plain", help="Show whole images, without augmentation, each at most once.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed that selects the samples.", min=0)] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting of the configuration, as for train. Repeatable."),
    ] = None,
) -> None:
    """Draw training samples with their labels on one sheet.

    Shows skeletons, boxes and uncertain keypoints. Ignored areas are hatched.

    pose_ros inspect configs/finetune.yaml -o samples.png
    """
    import numpy as np

    from pose_ros.cli.check_paths import check_paths
    from pose_ros.datasets.augment import fit_sample
    from pose_ros.datasets.preview import count_labels, draw_sample
    from pose_ros.datasets.sets import describe_labels
    from pose_ros.datasets.taught import count_taught
    from pose_ros.media.output_file import check_suffix
    from pose_ros.media.results import WRITTEN_SUFFIXES, write_image
    from pose_ros.media.sheet import arrange

    _check_options(context, source)
    check_suffix("--output", output, WRITTEN_SUFFIXES)
    check_paths([source, images], [("--output", output)])
    stream = _open_stream(source, images, category or (), skeleton, size, seed, settings or ())
    for line in describe_labels(stream.data.data_sets):
        typer.echo(line)
    chosen = stream.augmentation.skeleton
    taught = count_taught(stream.data, chosen)
    for line in taught.lines():
        typer.echo(line)
    if taught.names:
        taught.check()
    if plain:
        draws = stream.data.draw_different(np.random.default_rng(seed), count)
        samples = [fit_sample(sample, stream.size_wh, chosen) for sample in draws]
    else:
        samples = [stream.sample(0, index) for index in range(count)]
    write_image(output, arrange([draw_sample(sample, chosen) for sample in samples], columns))
    drawn = format_count(len(samples), "sample")
    means = ", ".join(f"{value:.2f} {name}" for name, value in count_labels(samples).items())
    typer.echo(f"{output}: {drawn} of {format_count(len(stream.data), 'image')}; per sample: {means}")


def _check_options(context: typer.Context, source: Path) -> None:
    """Raise ValueError for options that have no effect on a training configuration."""
    unused = first_given_option(context, ("images", "size", "skeleton"))
    if unused and source.suffix in (".yaml", ".yml") and _is_run_config(source):
        raise ValueError(f"{unused}: expected labels or images as source, got {source}, which sets it; use --set")


def synthetic(
    folder: Annotated[
        Path, typer.Argument(help="Folder for new images/ and labels.json, created if missing.", show_default=False)
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of images.", min=1)] = 100,
    people: Annotated[int, typer.Option("--people", help="Maximum number of people per image.", min=1, max=255)] = 5,
    width: Annotated[int, typer.Option("--width", help="Width of the images, px.", min=16, max=4096)] = 480,
    height: Annotated[int, typer.Option("--height", help="Height of the images, px.", min=16, max=4096)] = 360,
    skeleton: Annotated[str, typer.Option("--skeleton", help="Skeleton of the labels.")] = "openpose_18",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the people and rooms.", min=0)] = 0,
) -> None:
    """Render synthetic images of people with COCO labels.

    The labels hold the keypoints and the outline of each person.

    pose_ros synthetic data/synthetic -n 500
    """
    from rich.console import Console
    from rich.progress import track

    from pose_ros.datasets.synthetic.file import write_scenes
    from pose_ros.datasets.synthetic.scene import SyntheticImages

    chosen = _find_skeleton(skeleton)
    images = SyntheticImages(chosen, count, (width, height), people, seed)
    indices = track(range(count), "drawing", console=Console(stderr=True))
    scenes = (images.scene(index) for index in indices)
    people_count = write_scenes(folder, scenes, chosen)
    drawn = f"{format_count(people_count, 'person', 'people')} in {format_count(count, 'image')}"
    typer.echo(f"{folder / 'labels.json'}: {drawn}")


def _open_stream(
    source: Path,
    images: Path | None,
    categories: Sequence[str],
    skeleton: str,
    size: int,
    seed: int,
    settings: Sequence[str],
) -> TrainingStream:
    from pose_ros.datasets.augment import Augmentation, AugmentConfig, TrainingStream
    from pose_ros.datasets.sets import open_mixture

    if source.suffix in (".yaml", ".yml") and _is_run_config(source):
        if categories:
            raise ValueError(f"--category: expected a label file as source, got {source}; set data.category in it")
        return _open_run_stream(source, seed, settings)
    if settings:
        raise ValueError(f"--set: expected a training configuration as source, got {source}")
    chosen = _find_skeleton(skeleton)
    mixture = open_mixture([_data_config(source, images, categories)], chosen)
    return TrainingStream(mixture, Augmentation(AugmentConfig(), chosen), (size, size), seed)


def _is_run_config(file: Path) -> bool:
    """Whether the file is a training configuration, not the data.yaml of a YOLO data set."""
    from pose_ros.yaml_text import read_yaml

    content = read_yaml(file, "configuration")
    return not isinstance(content, dict) or "kpt_shape" not in content


def _open_run_stream(file: Path, seed: int, settings: Sequence[str]) -> TrainingStream:
    from pose_ros.datasets.augment import Augmentation, TrainingStream
    from pose_ros.datasets.sets import open_mixture
    from pose_ros.network import zoo
    from pose_ros.training.config import load_config

    config = load_config(file, settings)
    chosen = config.skeleton or zoo.build(config.network).spec.skeleton
    augmentation = Augmentation(config.augmentation, chosen)
    return TrainingStream(open_mixture(config.data, chosen), augmentation, config.size_wh, config.seed + seed)


def _find_skeleton(name: str) -> Skeleton:
    from pose_ros.skeleton import SKELETONS

    if name not in SKELETONS:
        raise ValueError(f"--skeleton: expected one of {', '.join(SKELETONS)}, got {name!r}")
    return SKELETONS[name]


def _data_config(source: Path, images: Path | None, categories: Sequence[str]) -> DataConfig:
    from pose_ros.datasets.sets import DataConfig

    if str(source) == "synthetic":
        return DataConfig("synthetic")
    if source.is_dir():
        return DataConfig("negatives", images=str(source))
    formats = {".json": "coco", ".npz": "lsp", ".mat": "lsp", ".yaml": "yolo", ".yml": "yolo"}
    if source.suffix not in formats:
        raise ValueError(f"data: expected a file ending in {', '.join(formats)}, or a folder, got {source}")
    return DataConfig(formats[source.suffix], labels=str(source), images=str(images or ""), category=tuple(categories))
