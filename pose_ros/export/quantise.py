"""Quantise an ONNX network to 8-bit integers, calibrated on images. Needs no torch.

The quantisation is stored in the file as QuantizeLinear and DequantizeLinear ("Q/DQ"). So every runtime computes the
same, and no runtime needs calibration images. The inputs and the weights of convolutions and matrix products are
quantised. Weights are quantised per channel, sums have full precision.

These stay in float32: the normalisation, the last layers before the fields, the decode front, and depthwise
convolutions. A depthwise convolution sums over few values, so rounding errors do not average out, and it is a small
part of the work. With signed integers, layers that read a Concat also stay, because OpenVINO computes them wrongly.

References:
    Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    arXiv:1712.05877.
    Wu et al., Integer Quantization for Deep Learning Inference, arXiv:2004.09602 (placement, calibration).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import Image
from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.export import tensorrt_operators
from pose_ros.export.calibration import Calibration
from pose_ros.export.compact import fold_normalisation, widen
from pose_ros.export.quantised_nodes import OPERATORS, choose_nodes, prepare
from pose_ros.fields import METADATA_KEY, InputSpec, ModelSpec
from pose_ros.files import atomic_write
from pose_ros.models.model_file import read_spec
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import BuildProgress
from pose_ros.runtime.telemetry import disable_telemetry

METHODS = ("percentile", "minmax", "entropy")
PERCENTILE = 99.99


@dataclass(frozen=True)
class QuantiseOptions:
    """Options of quantisation.

    Attributes:
        method: Range of a layer's values to cover. ``"percentile"``: all but the most extreme one in 10,000.
            ``"minmax"``: all. ``"entropy"``: the range that loses the least information.
        unsigned: Use values from 0 to 255 with a zero point instead of -127 to 127. This has half the error after a
            ReLU. TensorRT cannot read it.
        depthwise: Also quantise depthwise convolutions.
        keep: Names of more nodes that stay in float32. Wildcards allowed.
    """

    method: str = "percentile"
    unsigned: bool = False
    depthwise: bool = False
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"calibration: expected one of {', '.join(METHODS)}, got {self.method!r}")


@dataclass(frozen=True)
class QuantiseReport:
    """Result of a quantisation.

    Attributes:
        path: File that was written.
        spec: Description in the file, the same as that of the model.
        quantised: Names of the quantised nodes.
        kept: Names of the nodes with the same operators that stay in float32.
        images: Number of calibration images.
        bytes_before: Size of the model, bytes.
        bytes_after: Size of the file, bytes.
        remarks: Problems with TensorRT, one sentence each.
        seconds: Duration, seconds.
    """

    path: Path
    spec: ModelSpec
    quantised: tuple[str, ...]
    kept: tuple[str, ...]
    images: int
    bytes_before: int
    bytes_after: int
    remarks: tuple[str, ...]
    seconds: float


def quantise(
    model: str | Path,
    target: str | Path,
    images: Iterable[Image],
    options: QuantiseOptions | None = None,
    progress: BuildProgress | None = None,
) -> QuantiseReport:
    """Quantise a network to 8-bit integers and write it to a file.

    The file is written atomically, and only after ONNX Runtime ran it. The same images give the same file.

    Args:
        model: ONNX file in float32, with a description. Not modified.
        target: File to write. Its folder must exist.
        images: Some dozens of typical images, (H, W, 3) BGR or (H, W) grey. They are preprocessed like every image.
        options: Options of quantisation. None = the defaults.
        progress: Called with the current task and the share of it that is done.

    Raises:
        FileNotFoundError: If the model or the folder does not exist.
        ImportError: If the package onnx or onnxruntime is missing.
        ValueError: If the model has no description or no layer to quantise, or there are no images.
    """
    model, target, options, start = Path(model), Path(target), options or QuantiseOptions(), time.perf_counter()
    _check_target(model, target)
    import onnx

    input, network = _read_input(model), onnx.load(str(model))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    spec = read_spec(model, entries)
    widen(network)
    prepare(network)
    fold_normalisation(network)
    quantised, kept = choose_nodes(network, options.keep, options.depthwise, options.unsigned)
    calibration = Calibration(input, images, progress)
    with atomic_write(target) as unfinished:
        draft = unfinished.with_name("quantised.onnx")
        quantised_network = _quantise_nodes(network, quantised, calibration, options, draft)
        onnx.helper.set_model_props(quantised_network, {**entries, METADATA_KEY: json.dumps(spec.to_dict())})
        onnx.save(quantised_network, str(unfinished))
        _check_file(unfinished, calibration)
    return QuantiseReport(
        target,
        spec,
        quantised,
        kept,
        len(calibration),
        model.stat().st_size,
        target.stat().st_size,
        tuple(tensorrt_operators.list_remarks(quantised_network)),
        time.perf_counter() - start,
    )


def _quantise_nodes(
    network: Any, names: Iterable[str], calibration: Calibration, options: QuantiseOptions, draft: Path
) -> Any:
    """Return the network with Q/DQ before the named nodes. TensorRT and OpenVINO expect Q/DQ there.

    Args:
        network: Network in float32.
        names: Nodes to quantise.
        calibration: Images.
        options: Options of quantisation.
        draft: File for the quantiser, which writes only files.
    """
    import onnx

    disable_telemetry()
    from onnxruntime import quantization

    # The quantiser warns about networks without this mark. Our networks are folded by the export already.
    onnx.helper.set_model_props(network, {"onnx.quant.pre_process": "onnxruntime.quant"})
    methods = {"entropy": "Entropy", "percentile": "Percentile", "minmax": "MinMax"}
    activations = quantization.QuantType.QUInt8 if options.unsigned else quantization.QuantType.QInt8
    with contextlib.redirect_stdout(io.StringIO()):
        quantization.quantize_static(
            network,
            draft,
            calibration,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=activations,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=list(names),
            calibrate_method=quantization.CalibrationMethod[methods[options.method]],
            extra_options={
                "ActivationSymmetric": not options.unsigned,
                "CalibPercentile": PERCENTILE,
                "CalibStridedMinMax": 1,  # one image at a time, of any size: less memory
                "OpTypesToExcludeOutputQuantization": list(OPERATORS),
                "QuantizeBias": False,  # TensorRT has no DequantizeLinear of int32
            },
        )
        return onnx.load(str(draft))


def _read_input(model: Path) -> InputSpec:
    """Read the input specification of a model, including its fixed size.

    Raises:
        ValueError: If the model has a batch size above 1.
    """
    config = EstimatorConfig(runtime=RuntimeConfig(backend="onnx", provider="cpu", warm_up=False))
    estimator = PoseEstimator.load(model, config=config)
    batch = estimator.runner.inputs[0].shape[0]
    estimator.close()
    if batch not in (None, 1):
        raise ValueError(f"quantise: expected a model with batch size 1 or any, got {batch}")
    return estimator.spec.input


def _check_target(model: Path, target: Path) -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"quantise: expected the package {missing[0]}, got none; pip install {missing[0]}")
    if not target.parent.is_dir() or target.is_dir():
        raise FileNotFoundError(f"quantise: expected a file in an existing folder, got {target}")
    if target.exists() and model.exists() and target.samefile(model):
        raise ValueError(f"quantise: expected a file other than the model, got {target}")


def _check_file(path: Path, calibration: Calibration) -> None:
    """Run a file on the first image.

    Raises:
        ValueError: If ONNX Runtime cannot load the file, or an output is not finite.
    """
    with OnnxRunner(path) as runner:
        outputs = runner.run(calibration.feeds[0])
    wrong = [name for name, output in outputs.items() if not np.isfinite(output).all()]
    if wrong:
        raise ValueError(
            f"quantise: expected finite outputs, got NaN or infinity in {', '.join(wrong)}; use other images"
        )
