"""A torch network becomes one self-describing ONNX file, and is held against itself before the file appears.

The file takes a plain image (bytes, no normalisation) and gives float32 fields; its description stands in its metadata.
Opset 17 in IR version 8 is read by old and new ONNX Runtime, OpenVINO and TensorRT alike (bytes since TensorRT 8.6).
A file of bfloat16 needs a newer one: see ``bfloat16``.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import tempfile
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
from pose_ros.export import bfloat16, tensorrt_operators
from pose_ros.export import check as export_check
from pose_ros.fields import FRONT_HEADS, ModelSpec
from pose_ros.models.model_file import write_spec
from pose_ros.network.deploy import INPUT, Deployed, Narrowed, make_front
from pose_ros.network.front import MAX_PEAKS
from pose_ros.network.model import PoseNetwork

OPSET = 17
_NARROW = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ExportOptions:
    """What the file shall be.

    Attributes:
        size_wh: Width and height of its input, px; None takes the network's own, else 4:3 at its short side.
        batch: Images at a time; None leaves it free.
        dynamic: Leave width and height free, too; ``size_wh`` is then only what it is checked at.
        half: Compute in half precision.
        bf16: Compute in bfloat16.
        float_input: Take normalised float32 NCHW instead of bytes NHWC, for TensorRT before 8.6.
        front: Find peaks and limb scores in the graph.
        max_peaks: The peaks of each keypoint that the front finds.
        name: Name of the model; empty keeps the network's.
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

    def __post_init__(self) -> None:
        if self.half and self.bf16:
            raise ValueError("export: expected one precision, got half and bf16")

    @property
    def precision(self) -> str:
        """What the network computes in: ``"fp32"``, ``"fp16"`` or ``"bf16"``."""
        return "fp16" if self.half else "bf16" if self.bf16 else "fp32"


@dataclass(frozen=True)
class ExportReport:
    """What has been written, and how near it is to the network.

    Attributes:
        path: The file.
        spec: The description in it.
        size_wh: Width and height that it was checked at, px.
        shapes: Shape of each output there.
        differences: Of each output, the largest difference between ONNX Runtime and torch in float32.
        operators: How often it has each operator.
        remarks: What stands between it and TensorRT.
        seconds: How long it took.
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
    """Write a network as ONNX.

    The file appears whole, and only after it has given in ONNX Runtime what the network gives in torch. For a file of
    bfloat16, which ONNX Runtime cannot run, its stand-in has.

    Args:
        network: Not modified.
        target: The file; its folder exists.
        options: What it shall be.

    Raises:
        ImportError: If the package onnx or onnxruntime is missing, or too old for bfloat16.
        FileNotFoundError: If there is no such folder.
        ValueError: If the options do not fit the network, it cannot be written in ONNX, or its file computes
            something else.
    """
    options, target, start = options or ExportOptions(), Path(target), time.perf_counter()
    _check_packages(options)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"export: expected a folder for {target.name}, got {target.parent}, which is none")
    if target.is_dir():
        raise ValueError(f"export: expected a file to write, got the folder {target}")
    size_wh = input_size(network.spec, options)
    _check_front(network.spec, size_wh, options)
    deployed = _deployed(network, options)
    in_float32 = replace(options, half=False, bf16=False)
    reference = deployed if options == in_float32 else _deployed(network, in_float32)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        traced, described = Path(folder) / "traced.onnx", Path(folder) / target.name
        _trace(deployed, traced, size_wh, options)
        write_spec(traced, deployed.spec, described)
        model = _checked(described, deployed.spec, options)
        runs = bfloat16.write_stand_in(described, Path(folder) / "runs.onnx") if options.bf16 else described
        check = partial(export_check.compare, runs, deployed, reference, options.batch, options.precision)
        shapes, differences = check(size_wh)
        if options.dynamic:
            check(_other(size_wh, network.spec))
        described.replace(target)
    operators, remarks = tensorrt_operators.operators(model), tuple(tensorrt_operators.remarks(model))
    seconds = time.perf_counter() - start
    return ExportReport(target, deployed.spec, size_wh, shapes, differences, operators, remarks, seconds)


def input_size(spec: ModelSpec, options: ExportOptions) -> SizeWH:
    """Width and height to export a network at.

    Raises:
        ValueError: If its multiple does not divide them, or they are to be free and the network's are fixed.
    """
    given, multiple = spec.input, spec.input.multiple
    if options.dynamic and given.size_wh is not None:
        raise ValueError(f"dynamic: expected a network of any size, got {spec.name}, whose size is {given.size_wh}")
    short = -(-given.short_side // multiple) * multiple
    size_wh = options.size_wh or given.size_wh or (-(-4 * short // (3 * multiple)) * multiple, short)
    if any(side % multiple for side in size_wh) or min(size_wh) < multiple:
        raise ValueError(
            f"size: expected multiples of {multiple} for {spec.name}, got {size_wh[1]}x{size_wh[0]} (height x width); "
            f"the nearest are {' and '.join(_nearest(size_wh, multiple))}"
        )
    return size_wh


def _check_front(spec: ModelSpec, size_wh: SizeWH, options: ExportOptions) -> None:
    cells = int(size_wh[0] / spec.stride) * int(size_wh[1] / spec.stride)
    if options.front and not 1 <= options.max_peaks <= cells:
        raise ValueError(f"max_peaks: expected 1 to the {cells} cells of the field, got {options.max_peaks}")


def _nearest(size_wh: SizeWH, multiple: int) -> list[str]:
    smaller = [max(side // multiple, 1) * multiple for side in size_wh]
    larger = [-(-side // multiple) * multiple for side in size_wh]
    return list(dict.fromkeys(f"{height}x{width}" for width, height in (smaller, larger)))


def _deployed(network: PoseNetwork, options: ExportOptions) -> Deployed:
    """A copy of the network, wrapped."""
    front = make_front(network.spec, options.max_peaks) if options.front else None
    network = copy.deepcopy(network)
    network.spec = replace(network.spec, name=options.name or network.spec.name)
    if options.precision in _NARROW:
        network = Narrowed(network, _NARROW[options.precision])
    return Deployed(network, float_input=options.float_input, front=front).cpu().eval()


def _trace(deployed: Deployed, path: Path, size_wh: SizeWH, options: ExportOptions) -> None:
    """Run the network once and write down what it does, in the opset that has its precision.

    Raises:
        ValueError: If it does something that ONNX has no operator for.
    """
    example = torch.from_numpy(export_check.image(deployed, size_wh, options.batch or 1))
    # torch before 2.5 has but this exporter, and no name for it.
    older = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    try:
        with _quiet(), torch.inference_mode():
            torch.onnx.export(
                deployed,
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=list(deployed.names),
                dynamic_axes=_free_axes(deployed, options),
                opset_version=OPSET,
                do_constant_folding=True,
                **older,
            )
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _inexpressible(deployed.spec, reason, options) from error
    if options.bf16:
        bfloat16.upgrade(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of constants in the trace: the checks at other sizes find those that matter."""
    # Where an export fails, torch (2.13, for one) prints its whole graph, whatever it is told.
    with warnings.catch_warnings(), mock.patch.object(torch._C, "_jit_onnx_log", lambda *_: None, create=True):
        warnings.simplefilter("ignore")
        yield


def _free_axes(deployed: Deployed, options: ExportOptions) -> dict[str, dict[int, str]]:
    """The axes of each tensor that are not of one size, by name."""
    batch = {} if options.batch else {0: "batch"}
    first = 2 if deployed.spec.input.layout == "NCHW" else 1
    sides = {first: "height", first + 1: "width"} if options.dynamic else {}
    cells = {2: "rows", 3: "columns"} if options.dynamic else {}
    outputs = {name: batch if name in FRONT_HEADS else {**batch, **cells} for name in deployed.names}
    return {INPUT: {**batch, **sides}, **outputs}


def _checked(path: Path, spec: ModelSpec, options: ExportOptions) -> Any:
    """The model in a file.

    Raises:
        ValueError: If it is not valid ONNX: torch also writes operators that ONNX does not have in a narrow type.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _inexpressible(spec, str(error), options) from error
    return onnx.load(str(path))


def _inexpressible(spec: ModelSpec, reason: str, options: ExportOptions) -> ValueError:
    opset, is_narrow = bfloat16.OPSET if options.bf16 else OPSET, options.precision in _NARROW
    return ValueError(
        f"network {spec.name}: expected operators that ONNX opset {opset} has in {options.precision}, got: {reason}"
        + "; export it in float32" * is_narrow
    )


def _other(size_wh: SizeWH, spec: ModelSpec) -> SizeWH:
    """Another size of another shape."""
    return size_wh[1], size_wh[0] + 2 * spec.input.multiple


def _check_packages(options: ExportOptions) -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"export: expected the packages onnx and onnxruntime, got no {' and no '.join(missing)}; "
            f"pip install {' '.join(missing)}"
        )
    if options.bf16:
        bfloat16.check_onnx()
