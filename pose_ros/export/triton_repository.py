"""Write the model repository of a Triton Inference Server: one model, with its description.

References:
    NVIDIA, triton-inference-server/common, model_config.proto (names of the entries of config.pbtxt).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_ros.config import PreprocessConfig, RuntimeConfig
from pose_ros.fields import METADATA_KEY, ModelSpec
from pose_ros.files import atomic_folder
from pose_ros.models.model_file import CHECKSUM_KEY, read_spec
from pose_ros.preprocess import Preprocessor
from pose_ros.runtime import load_runner
from pose_ros.runtime.external_weights import locate
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.onnx_graph import read_external_names
from pose_ros.runtime.runner import Runner, TensorSpec
from pose_ros.runtime.triton_tensors import DATATYPES

VERSION = "1"


@dataclass(frozen=True)
class TritonOptions:
    """How a server runs a model.

    Attributes:
        max_batch: Most images that the server joins into one run.
        queue_us: Longest time that an image waits for others, microseconds.
        accelerator: ``"none"``, or ``"tensorrt"``: ONNX Runtime builds engines on the server, in half precision.
        plan: TensorRT engine to serve instead of the ONNX file. The server needs the TensorRT and the type of GPU
            that built it.
    """

    max_batch: int = 8
    queue_us: int = 1000
    accelerator: str = "none"
    plan: Path | None = None


def write_repository(
    model: Path, repository: Path, name: str = "", sidecar: Path | None = None, options: TritonOptions | None = None
) -> Path:
    """Write the folder of a model into a repository, completely or not at all.

    Args:
        model: ONNX file.
        repository: Folder of the repository. It is created if needed.
        name: Name of the model on the server. Empty = the name of the file.
        sidecar: YAML description of the model, if the file has none.
        options: How the server runs it.

    Returns:
        The folder of the model.

    Raises:
        FileExistsError: If the repository has a model of this name.
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is not an ONNX network with a description, or the name cannot be one of a model.
    """
    options, name = options or TritonOptions(), name or model.stem
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"name: expected letters, digits, '_', '.' and '-', got {name!r:.80}; give another with --name"
        )
    target = repository / name
    if target.exists():
        raise FileExistsError(
            f"{target}: expected a new folder, got one that exists; remove it, or give another --name"
        )
    if options.plan is not None and not options.plan.is_file():
        raise FileNotFoundError(f"--plan: expected a TensorRT engine, got {options.plan}, which does not exist")
    config = _make_config(model, name, sidecar, options)
    with atomic_folder(target) as draft:
        (draft / VERSION).mkdir(parents=True)
        _copy_network(model, draft / VERSION, options.plan)
        (draft / "config.pbtxt").write_text(config, encoding="ascii")
    return target


def _copy_network(model: Path, folder: Path, plan: Path | None) -> None:
    if plan is not None:
        shutil.copyfile(plan, folder / "model.plan")
        return
    shutil.copyfile(model, folder / "model.onnx")
    for name in read_external_names(model):
        if (weights := locate(model, name)) is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, folder / name)


def _make_config(model: Path, name: str, sidecar: Path | None, options: TritonOptions) -> str:
    """Return the text of ``config.pbtxt``."""
    with load_runner(model, RuntimeConfig(backend="onnx", provider="cpu", warm_up=False)) as runner:
        spec = read_spec(model, runner.metadata, sidecar, runner)
        has_free_batch = all(tensor.shape[:1] == (None,) for tensor in (*runner.inputs, *runner.outputs))
        most = options.max_batch if has_free_batch else 0
        lines = [
            f"name: {_quote(name)}",
            f"platform: {_quote('onnxruntime_onnx' if options.plan is None else 'tensorrt_plan')}",
            f"max_batch_size: {most}",
            *_list_tensors("input", runner.inputs, most),
            *_list_tensors("output", runner.outputs, most),
            *([f"dynamic_batching {{ max_queue_delay_microseconds: {options.queue_us} }}"] if most else []),
            *_accelerate(options),
            *_warm_up(spec, runner, most),
            *_describe(METADATA_KEY, json.dumps(spec.to_dict())),
            *_describe(CHECKSUM_KEY, model_sha256(model)),
        ]
    return "\n".join(lines) + "\n"


def _list_tensors(kind: str, tensors: Sequence[TensorSpec], most: int) -> Iterator[str]:
    for tensor in tensors:
        sizes = ", ".join(str(size or -1) for size in (tensor.shape[1:] if most else tensor.shape))
        yield f"{kind} {{ name: {_quote(tensor.name)} data_type: {_config_dtype(tensor)} dims: [ {sizes} ] }}"


def _accelerate(options: TritonOptions) -> Iterator[str]:
    if options.accelerator == "tensorrt":
        choice = 'name: "tensorrt" parameters { key: "precision_mode" value: "FP16" }'
        yield f"optimization {{ execution_accelerators {{ gpu_execution_accelerator {{ {choice} }} }} }}"


def _warm_up(spec: ModelSpec, runner: Runner, most: int) -> Iterator[str]:
    """Make the server run the network once before it is ready. A network that needs a known pose is not warmed up."""
    if spec.input.pose_channels:
        return
    (first,) = runner.inputs
    short = spec.input.short_side
    tensor, _ = Preprocessor(spec.input, PreprocessConfig())(np.zeros((short, round(short * 4 / 3), 3), np.uint8))
    shape = [fixed or usual for fixed, usual in zip(first.shape, tensor.shape, strict=True)]
    sizes = ", ".join(map(str, shape[1:] if most else shape))
    value = f"data_type: {_config_dtype(first)} dims: [ {sizes} ] zero_data: true"
    entry = f"inputs {{ key: {_quote(first.name)} value {{ {value} }} }}"
    yield f'model_warmup {{ name: "an empty image" batch_size: {1 if most else 0} {entry} }}'


def _describe(key: str, text: str) -> Iterator[str]:
    yield f"parameters {{ key: {_quote(key)} value {{ string_value: {_quote(text)} }} }}"


def _config_dtype(tensor: TensorSpec) -> str:
    return f"TYPE_{DATATYPES[tensor.dtype]}"


def _quote(text: str) -> str:
    """Return a text in quotes, as a text of protobuf: other bytes than plain ASCII are octal."""
    plain = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n"}
    return '"' + "".join(plain.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode()) + '"'
