"""``pose_ros models triton-repository``: write a model for a Triton Inference Server."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Accelerator(str, Enum):
    """Library that runs the network on the server's GPU, inside ONNX Runtime."""

    NONE = "none"
    TENSORRT = "tensorrt"


def triton_repository(
    model: Annotated[Path | None, typer.Argument(help="ONNX file.", show_default="the model of this package")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the repository.")] = Path("triton_models"),
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model on the server.", show_default="name of the file")
    ] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="YAML description, if the file has none.")] = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, max=1024, help="Most images per run.")] = 8,
    queue_us: Annotated[
        int, typer.Option("--queue-us", min=0, max=1_000_000, help="Longest wait of an image for others, µs.")
    ] = 1000,
    accelerator: Annotated[
        Accelerator, typer.Option("--accelerator", help="tensorrt: build engines on the server, in half precision.")
    ] = Accelerator.NONE,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="TensorRT engine to serve instead of the ONNX file.")
    ] = None,
) -> None:
    """Write a model into the repository of a Triton server.

    Robots then use it as triton://HOST/NAME, without a file of their own.

    pose_ros models triton-repository model.onnx -o triton_models
    """
    from pose_ros.export.triton_repository import TritonOptions, write_repository
    from pose_ros.models.model_file import find_model

    options = TritonOptions(max_batch, queue_us, accelerator.value, plan)
    folder = write_repository(find_model(model), output, name or "", spec, options)
    typer.echo(f"{folder}: config.pbtxt and version 1")
    typer.echo(f"next: tritonserver --model-repository={output.resolve()}, then --model triton://HOST/{folder.name}")
