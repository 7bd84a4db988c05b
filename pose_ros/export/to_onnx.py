"""Export a torch network to one self-describing ONNX file, and compare both before the file appears.

The file takes a plain uint8 image without normalisation and returns float32 fields. Its description is in its metadata.
Old and new versions of ONNX Runtime, OpenVINO and TensorRT read opset 17 in IR version 8 (uint8 input since TensorRT
8.6). A bfloat16 file needs a newer opset: see ``bfloat16``.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from pose_ros.arrays import SizeWH
from pose_ros.checkpoint import load_checkpoint
from pose_ros.export import bfloat16, compact, tensorrt_operators
from pose_ros.export import check as export_check
from pose_ros.fields import FRONT_HEADS, PERSON_FIELDS, ModelSpec
from pose_ros.files import atomic_write
from pose_ros.models.model_file import write_spec
from pose_ros.network.deploy import INPUT, DeployedNetwork, LowPrecisionNetwork, make_front, round_weights
from pose_ros.network.front import MAX_PEAKS
from pose_ros.network.model import PoseNetwork

OPSET = 17
_LOW_PRECISION = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        size_wh: Width and height of the input, px. None = the size of the network, or 4:3 at its short side.
        batch: Batch size. None = any.
        dynamic: Allow any width and height. ``size_wh`` is then only used for the check.
        half: Compute in half precision (float16).
        bf16: Compute in bfloat16.
        float_input: Take normalised float32 NCHW instead of uint8 NHWC, for TensorRT before 8.6.
        front: Find peaks and limb scores in the graph.
        max_peaks: Maximum number of peaks per keypoint in the front.
        name: Name of the model. Empty = the name of the network.
        compact: Store the weights in half precision. The network still computes in float32, and can be read back.
    """

    size_wh: SizeWH | None = None
    batch: int | None = None
    dynamic: bool = False
    half: bool = False
    bf16: bool = False
    float_input: bool = False
    front: bool = False
    max_peaks: int = MAX_PEAKS
    name: str = ""
    compact: bool = False

    def __post_init__(self) -> None:
        if self.half and self.bf16:
            raise ValueError("export: expected one precision, got half and bf16")
        if self.compact and (self.half or self.bf16):
            raise ValueError("export: expected compact, half or bf16, got two of them: compact computes in float32")

    @property
    def precision(self) -> str:
        """Precision of the network: ``"fp32"``, ``"fp16"`` or ``"bf16"``."""
        return "fp16" if self.half else "bf16" if self.bf16 else "fp32"


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes:
        path: File that was written.
        spec: Description in the file.
        size_wh: Width and height of the check, px.
        shapes: Shape of each output at this size.
        differences: Largest difference of each output between ONNX Runtime and torch in float32.
        operators: Number of nodes of each operator.
        remarks: Problems with TensorRT, one sentence each.
        seconds: Duration, seconds.
    """

    path: Path
    spec: ModelSpec
    size_wh: SizeWH
    shapes: Mapping[str, tuple[int, ...]]
    differences: Mapping[str, float]
    operators: Mapping[str, int]
    remarks: tuple[str, ...]
    seconds: float


def export(network: PoseNetwork, target: str | Path, options: ExportOptions | None = None) -> ExportReport:
    """Export a network to an ONNX file.

    The file is written atomically, and only after its results in ONNX Runtime matched those of the network in torch.
    ONNX Runtime cannot run a bfloat16 file, so the stand-in of the file is checked instead.

    Args:
        network: Network to export. Not modified.
        target: File to write. Its folder must exist.
        options: Options of the export. None = the defaults.

    Raises:
        ImportError: If the package onnx or onnxruntime is missing, or too old for bfloat16.
        FileNotFoundError: If the folder does not exist.
        ValueError: If the options do not match the network, ONNX cannot express the network, or the results of the
            file differ from those of the network.
    """
    options, target, start = options or ExportOptions(), Path(target), time.perf_counter()
    _check_packages(options)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"export: expected a folder for {target.name}, got {target.parent}, which is not a folder"
        )
    if target.exists() and not target.is_file():
        kind = "folder" if target.is_dir() else "device"
        raise ValueError(f"export: expected a file to write, got the {kind} {target}")
    size_wh = input_size(network.spec, options)
    _check_front(network.spec, size_wh, options)
    if options.compact and not network.zoo_name:
        raise ValueError(f"compact: expected a network of this package, got {network.spec.name}; export it without")
    deployed = _deploy(network, options)
    float32_options = replace(options, half=False, bf16=False)
    reference = deployed if options == float32_options else _deploy(network, float32_options)
    with atomic_write(target) as described:
        traced = described.with_name("traced.onnx")
        _trace(deployed, traced, size_wh, options)
        write_spec(traced, deployed.spec, described)
        model = _check_file(described, deployed.spec, options)
        runs = bfloat16.write_stand_in(described, described.with_name("runs.onnx")) if options.bf16 else described
        check = partial(export_check.compare, runs, deployed, reference, options.batch, options.precision)
        shapes, differences = check(size_wh)
        if options.dynamic:
            check(_other_size(size_wh, network.spec))
        if options.compact:
            _check_weights(described, network)
    operators, remarks = tensorrt_operators.count_operators(model), tuple(tensorrt_operators.list_remarks(model))
    seconds = time.perf_counter() - start
    return ExportReport(target, deployed.spec, size_wh, shapes, differences, operators, remarks, seconds)


def input_size(spec: ModelSpec, options: ExportOptions) -> SizeWH:
    """Return the width and height for the export of a network.

    Raises:
        ValueError: If a side is not a multiple of the network's multiple, or ``dynamic`` is set for a fixed size.
    """
    network_input, multiple = spec.input, spec.input.multiple
    if options.dynamic and network_input.size_wh is not None:
        raise ValueError(
            f"dynamic: expected a network of any size, got {spec.name} with the fixed size {network_input.size_wh}"
        )
    short = -(-network_input.short_side // multiple) * multiple
    size_wh = options.size_wh or network_input.size_wh or (-(-4 * short // (3 * multiple)) * multiple, short)
    if any(side % multiple for side in size_wh) or min(size_wh) < multiple:
        raise ValueError(
            f"size: expected multiples of {multiple} for {spec.name}, got {size_wh[1]}x{size_wh[0]} (height x width); "
            f"the nearest are {' and '.join(_nearest_sizes(size_wh, multiple))}"
        )
    return size_wh


def _check_front(spec: ModelSpec, size_wh: SizeWH, options: ExportOptions) -> None:
    cells = int(size_wh[0] / spec.stride) * int(size_wh[1] / spec.stride)
    if options.front and not 1 <= options.max_peaks <= cells:
        raise ValueError(f"max_peaks: expected 1 to {cells} (cells of the field), got {options.max_peaks}")


def _nearest_sizes(size_wh: SizeWH, multiple: int) -> list[str]:
    smaller = [max(side // multiple, 1) * multiple for side in size_wh]
    larger = [-(-side // multiple) * multiple for side in size_wh]
    return list(dict.fromkeys(f"{height}x{width}" for width, height in (smaller, larger)))


def _deploy(network: PoseNetwork, options: ExportOptions) -> DeployedNetwork:
    """Return a copy of the network, wrapped for deployment."""
    front = make_front(network.spec, options.max_peaks) if options.front else None
    network = copy.deepcopy(network)
    if options.compact:
        round_weights(network)
    network.spec = replace(network.spec, name=options.name or network.spec.name)
    if options.precision in _LOW_PRECISION:
        network = LowPrecisionNetwork(network, _LOW_PRECISION[options.precision])
    return DeployedNetwork(network, float_input=options.float_input, front=front).cpu().eval()


def _trace(deployed: DeployedNetwork, path: Path, size_wh: SizeWH, options: ExportOptions) -> None:
    """Trace the network and write it in the opset that supports its precision.

    Raises:
        ValueError: If ONNX has no operator for a part of the network.
    """
    example = torch.from_numpy(export_check.noise_image(deployed, size_wh, options.batch or 1))
    # torch before 2.5 has only this exporter, and no option to select it.
    legacy_exporter = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    try:
        with _silence_warnings(), torch.inference_mode():
            torch.onnx.export(
                deployed,
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=list(deployed.names),
                dynamic_axes=_dynamic_axes(deployed, options),
                opset_version=OPSET,
                do_constant_folding=True,
                training=torch.onnx.TrainingMode.PRESERVE if options.compact else torch.onnx.TrainingMode.EVAL,
                **legacy_exporter,
            )
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _operator_error(deployed.spec, reason, options) from error
    if options.bf16:
        bfloat16.upgrade(path)
    if options.compact:
        compact.store_half(path, deployed.network.zoo_name)


@contextmanager
def _silence_warnings() -> Iterator[None]:
    """Silence warnings about constants in the trace. The check at a second size finds the ones that matter."""
    # If an export fails, torch (for example 2.13) prints its whole graph. No option prevents it.
    with warnings.catch_warnings(), mock.patch.object(torch._C, "_jit_onnx_log", lambda *_: None, create=True):
        warnings.simplefilter("ignore")
        yield


def _dynamic_axes(deployed: DeployedNetwork, options: ExportOptions) -> dict[str, dict[int, str]]:
    """Return the names of the dynamic axes of each tensor."""
    batch = {} if options.batch else {0: "batch"}
    first = 2 if deployed.spec.input.layout == "NCHW" else 1
    sides = {first: "height", first + 1: "width"} if options.dynamic else {}
    cells = {2: "rows", 3: "columns"} if options.dynamic else {}
    people = {2: "people"} if options.dynamic else {}
    others = {**{name: {} for name in FRONT_HEADS}, **dict.fromkeys(PERSON_FIELDS, people)}
    outputs = {name: {**batch, **others.get(name, cells)} for name in deployed.names}
    return {INPUT: {**batch, **sides}, **outputs}


def _check_file(path: Path, spec: ModelSpec, options: ExportOptions) -> Any:
    """Validate a file and load its model.

    Raises:
        ValueError: If it is not valid ONNX. torch also writes operators that ONNX does not support in a 16-bit type.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _operator_error(spec, str(error), options) from error
    return onnx.load(str(path))


def _operator_error(spec: ModelSpec, reason: str, options: ExportOptions) -> ValueError:
    opset, is_low_precision = bfloat16.OPSET if options.bf16 else OPSET, options.precision in _LOW_PRECISION
    return ValueError(
        f"network {spec.name}: expected operators that ONNX opset {opset} supports in {options.precision}, "
        f"got: {reason}" + "; export it in float32" * is_low_precision
    )


def _other_size(size_wh: SizeWH, spec: ModelSpec) -> SizeWH:
    """Return a different size with a different aspect ratio."""
    return size_wh[1], size_wh[0] + 2 * spec.input.multiple


def _check_weights(path: Path, network: PoseNetwork) -> None:
    """Check that the weights of a network can be read back from a compact file.

    Raises:
        ValueError: If some are missing. They are not part of the graph, or the exporter has changed them.
    """
    try:
        load_checkpoint(path)
    except ValueError as error:
        raise ValueError(
            f"compact: expected a network whose weights are all in the graph, got {network.spec.name}: {error}; "
            "export it without compact"
        ) from error


def _check_packages(options: ExportOptions) -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"export: expected the packages onnx and onnxruntime, got no {' and no '.join(missing)}; "
            f"pip install {' '.join(missing)}"
        )
    if options.bf16:
        bfloat16.check_onnx()
