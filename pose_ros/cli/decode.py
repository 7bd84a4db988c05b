"""``pose_ros decode``: run a decoder on stored arrays, for debugging and for comparison with other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose_ros.cli import options

if TYPE_CHECKING:
    from pose_ros.config import DecoderConfig
    from pose_ros.fields import Fields, ModelSpec
    from pose_ros.people import People

OUTPUT_NDIM, PEOPLE_NDIM = 4, 3
"""Dimensions of a network output, and of an output of people. A field has no batch axis, so one dimension less."""


def decode(
    arrays: Annotated[
        Path, typer.Argument(metavar="FIELDS.npz", help="Network outputs or fields of one image.", show_default=False)
    ],
    spec: Annotated[Path, typer.Option("--spec", help="YAML description of the model.", show_default=False)],
    grouping: options.Grouping = None,
    output: Annotated[
        Path | None, typer.Option("--json", help="JSON file to write.", show_default="standard output")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Image file to write: fields, peaks and people.", show_default=False),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Background image for --picture.", show_default=False)
    ] = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", help="File for the masks of the people (.npz).", show_default=False)
    ] = None,
    settings: options.SetOption = None,
) -> None:
    """Run a decoder on stored network outputs.

    The arrays are fields (heatmaps, pafs, tags, ...) of shape (C, H, W).
    They can also be network outputs with a batch axis, named as in the
    description. Coordinates are pixels of the network input.

    pose_ros decode fields.npz --spec model.yaml --picture decoded.png
    """
    import json

    from pose_ros.cli.check_paths import check_paths
    from pose_ros.decoder import make_decoder
    from pose_ros.files import atomic_write
    from pose_ros.media.output_file import check_suffix
    from pose_ros.media.results import WRITTEN_SUFFIXES
    from pose_ros.models.model_file import read_sidecar

    check_paths([arrays, spec, image], [("--json", output), ("--picture", picture), ("--masks", masks)])
    if picture is not None:
        check_suffix("--picture", picture, WRITTEN_SUFFIXES)
    model = read_sidecar(spec)
    config = options.make_configs(settings, None, None, False, False)[0].decoder
    fields = _read_fields(arrays, model)
    people = make_decoder(model, grouping, config)(fields)
    text = json.dumps(_people_dict(people, model), indent=1)
    if output is None:
        typer.echo(text)
    else:
        with atomic_write(output) as unfinished:
            unfinished.write_text(text + "\n", encoding="utf-8")
    if masks is not None:
        _write_masks(masks, people)
    if picture is not None:
        _draw_panels(picture, fields, people, model, config, image)


def _read_fields(path: Path, spec: ModelSpec) -> Fields:
    """Read the arrays of a file as fields.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not an .npz of plain arrays, or no array has the name of a field or of an output.
    """
    import dataclasses

    import numpy as np

    from pose_ros.fields import Fields

    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # NumPy, zipfile and zlib raise many types of errors for a damaged file
        raise ValueError(f"{path}: expected an .npz of plain arrays, got: {error}") from error
    known = [field.name for field in dataclasses.fields(Fields)]
    if spec.heads and all(_is_output(arrays.get(head.tensor), head.field) for head in spec.heads):
        return spec.fields(arrays)
    named = {name: array for name, array in arrays.items() if name in known}
    if not named:
        raise ValueError(f"{path}: expected arrays named {', '.join(known)}, got {', '.join(sorted(arrays)) or 'none'}")
    return Fields(**named)


def _is_output(array: Any, field: str) -> bool:
    """Whether an array can be the network output of a field, with a batch axis."""
    from pose_ros.fields import PERSON_FIELDS

    ndim = getattr(array, "ndim", 0)
    return ndim == OUTPUT_NDIM or (field in PERSON_FIELDS and ndim == PEOPLE_NDIM)


def _people_dict(people: People, spec: ModelSpec) -> dict[str, Any]:
    from pose_ros.media.results import person_entry

    return {"keypoint_names": spec.skeleton.keypoint_names, "people": [person_entry(person) for person in people]}


def _write_masks(path: Path, people: People) -> None:
    import numpy as np

    from pose_ros.files import atomic_write

    if people.masks is None:
        raise ValueError("--masks: expected the fields long_offsets and segmentation, got none")
    target = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    with atomic_write(target) as unfinished:
        np.savez_compressed(unfinished, masks=people.masks)


def _draw_panels(
    path: Path, fields: Fields, people: People, spec: ModelSpec, config: DecoderConfig, image: Path | None
) -> None:
    import numpy as np

    from pose_ros.config import PreprocessConfig
    from pose_ros.media.decoding import read_image
    from pose_ros.media.panels import draw_panels, network_input_wh
    from pose_ros.media.results import write_image
    from pose_ros.preprocess import fit

    background = None
    if image is not None:
        import cv2

        photo = read_image(image)
        width, height = network_input_wh(fields, people, spec)
        transform = fit((photo.shape[1], photo.shape[0]), spec.input, PreprocessConfig())
        background = np.zeros((height, width, 3), np.uint8)
        scaled = cv2.resize(photo, transform.scaled_wh, interpolation=cv2.INTER_AREA)
        scaled = scaled[: background.shape[0], : background.shape[1]]
        background[: scaled.shape[0], : scaled.shape[1]] = scaled
    write_image(path, draw_panels(fields, people, spec, config, background))
