"""``pose_ros inspect``: what a training run would see. ``pose_ros synthetic``: made-up pictures with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pose_ros.datasets.augment import TrainingStream
    from pose_ros.datasets.sets import DataConfig
    from pose_ros.skeleton import Skeleton


def inspect(
    source: Annotated[
        Path,
        typer.Argument(
            help="Configuration of a run (.yaml); labels (COCO .json, LSP .npz or .mat, YOLO data.yaml); a folder of "
            "pictures without people; or the word synthetic.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="AnnotatedImage to write.")] = Path("samples.png"),
    count: Annotated[int, typer.Option("--count", "-n", help="How many samples.", min=1, max=400)] = 24,
    columns: Annotated[int, typer.Option("--columns", help="How many in a row.", min=1, max=50)] = 6,
    size: Annotated[int, typer.Option("--size", help="Width and height, where no configuration says.", min=16)] = 256,
    images: Annotated[Path | None, typer.Option("--images", help="Folder of the images of a label file.")] = None,
    skeleton: Annotated[str, typer.Option("--skeleton", help="Skeleton, where no configuration says.")] = "openpose_18",
    plain: Annotated[bool, typer.Option("--plain", help="Whole pictures, without augmentation.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Which samples.", min=0)] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the configuration; repeatable, as for train."),
    ] = None,
) -> None:
    """Draw samples as a network would get them in training: skeletons, boxes, what is uncertain, ignored areas hatched.

    pose_ros inspect training.yaml -o samples.png
    """
    import numpy as np

    from pose_ros.datasets.augment import fitted
    from pose_ros.datasets.preview import counted, drawn
    from pose_ros.media.results import write_image
    from pose_ros.media.sheet import arrange

    stream = _stream(source, images, skeleton, size, seed, settings or ())
    figure = stream.augmentation.skeleton
    if plain:
        draws = (stream.data.draw(np.random.default_rng([seed, index])) for index in range(count))
        samples = [fitted(sample, stream.size_wh, figure) for sample in draws]
    else:
        samples = [stream.sample(0, index) for index in range(count)]
    write_image(output, arrange([drawn(sample, figure) for sample in samples], columns))
    means = ", ".join(f"{value:.2f} {name}" for name, value in counted(samples).items())
    typer.echo(f"{output}: {count} samples of {len(stream.data)} pictures; in the mean {means}")


def synthetic(
    folder: Annotated[
        Path, typer.Argument(help="Folder for images/ and labels.json; made if missing.", show_default=False)
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="How many pictures.", min=1)] = 100,
    people: Annotated[int, typer.Option("--people", help="Most people of a picture.", min=1, max=255)] = 5,
    width: Annotated[int, typer.Option("--width", help="Of the pictures, px.", min=16, max=4096)] = 480,
    height: Annotated[int, typer.Option("--height", help="Of the pictures, px.", min=16, max=4096)] = 360,
    skeleton: Annotated[str, typer.Option("--skeleton", help="Keypoints to write.")] = "openpose_18",
    seed: Annotated[int, typer.Option("--seed", help="Other people in other rooms.", min=0)] = 0,
) -> None:
    """Write made-up scenes as pictures, and all that is known of them as COCO JSON with outlines.

    pose_ros synthetic data/made_up -n 500
    """
    from rich.console import Console
    from rich.progress import track

    from pose_ros.datasets.synthetic.file import write_scenes
    from pose_ros.datasets.synthetic.scene import SyntheticImages

    figure = _skeleton(skeleton)
    pictures = SyntheticImages(figure, count, (width, height), people, seed)
    shown = track(range(count), "drawing", console=Console(stderr=True))
    scenes = (pictures.scene(index) for index in shown)
    found = write_scenes(folder, scenes, figure)
    typer.echo(f"{folder / 'labels.json'}: {found} people in {count} pictures")


def _stream(
    source: Path, images: Path | None, skeleton: str, size: int, seed: int, settings: Sequence[str]
) -> TrainingStream:
    from pose_ros.datasets.augment import Augmentation, AugmentConfig, TrainingStream
    from pose_ros.datasets.sets import open_mixture

    if source.suffix in (".yaml", ".yml") and _is_run(source):
        return _of_run(source, seed, settings)
    if settings:
        raise ValueError(f"--set: expected the configuration of a run to change, got {source}")
    figure = _skeleton(skeleton)
    mixture = open_mixture([_data(source, images)], figure)
    return TrainingStream(mixture, Augmentation(AugmentConfig(), figure), (size, size), seed)


def _is_run(file: Path) -> bool:
    """Whether it is the configuration of a run, and not that of a YOLO set."""
    import yaml

    from pose_ros.config_file import read_yaml_text

    text = read_yaml_text(file, "configuration")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: expected YAML, got: {error}") from error
    return not isinstance(content, dict) or "kpt_shape" not in content


def _of_run(file: Path, seed: int, settings: Sequence[str]) -> TrainingStream:
    from pose_ros.datasets.augment import Augmentation, TrainingStream
    from pose_ros.datasets.sets import open_mixture
    from pose_ros.network import zoo
    from pose_ros.training.config import load_config

    config = load_config(file, settings)
    figure = config.skeleton or zoo.build(config.network).spec.skeleton
    augmentation = Augmentation(config.augmentation, figure)
    return TrainingStream(open_mixture(config.data, figure), augmentation, config.size_wh, config.seed + seed)


def _skeleton(name: str) -> Skeleton:
    from pose_ros.skeleton import SKELETONS

    if name not in SKELETONS:
        raise ValueError(f"--skeleton: expected one of {', '.join(SKELETONS)}, got {name!r}")
    return SKELETONS[name]


def _data(source: Path, images: Path | None) -> DataConfig:
    from pose_ros.datasets.sets import DataConfig

    if str(source) == "synthetic":
        return DataConfig("synthetic")
    if source.is_dir():
        return DataConfig("negatives", images=str(source))
    formats = {".json": "coco", ".npz": "lsp", ".mat": "lsp", ".yaml": "yolo", ".yml": "yolo"}
    if source.suffix not in formats:
        raise ValueError(f"data: expected a file ending in {', '.join(formats)}, or a folder, got {source}")
    return DataConfig(formats[source.suffix], labels=str(source), images=str(images or ""))
