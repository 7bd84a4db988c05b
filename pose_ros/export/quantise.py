"""An ONNX network becomes one of 8-bit integers, by what its layers see on given images. No torch is needed.

What is quantised is written down in the file (QuantizeLinear and DequantizeLinear, "Q/DQ"), so that every runtime
computes the same, and none needs images of its own. It is the inputs and the weights of convolutions and matrix
products: weights channel by channel, sums in full precision. In float32 stay the normalisation, the layers that give
the fields, the decode front, and depthwise convolutions: they sum over few values, so that rounding does not average
out, and are a small part of the work; with signed integers also what reads a Concat, where OpenVINO would be wrong.

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
import tempfile
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
from pose_ros.export.quantised_nodes import OPERATORS, choose, prepare
from pose_ros.fields import METADATA_KEY, InputSpec, ModelSpec
from pose_ros.files import appears_whole
from pose_ros.models.model_file import read_spec
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import BuildProgress

METHODS = ("percentile", "minmax", "entropy")
PERCENTILE = 99.99


@dataclass(frozen=True)
class QuantiseOptions:
    """How a network is quantised.

    Attributes:
        method: What of a layer's values is covered: ``"percentile"`` all but the most extreme one in 10,000,
            ``"minmax"`` all, ``"entropy"`` what keeps most of what they tell.
        unsigned: Values from 0 to 255 with a zero of their own instead of -127 to 127: half the error behind a ReLU,
            and what ONNX Runtime is fast at; but TensorRT cannot read it.
        depthwise: Quantise depthwise convolutions, too.
        keep: Names of further nodes that stay in float32, with wildcards.
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
    """What has been written.

    Attributes:
        path: The file.
        spec: The description in it, that of the model it was made of.
        quantised: Names of the quantised nodes.
        kept: Names of those of the same operators that stay in float32.
        images: How many images it was calibrated on.
        bytes_before: Size of the model it was made of.
        bytes_after: Its size.
        remarks: What stands between it and TensorRT.
        seconds: How long it took.
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
    """Write a network in 8-bit integers.

    The file appears whole, and only after ONNX Runtime has run it. The same images give the same file.

    Args:
        model: An ONNX file in float32, with a description. Not modified.
        target: The file to write; its folder exists.
        images: (H, W, 3) BGR or (H, W) grey, such as the network will see; some dozens. They go the way of every image.
        options: How.
        progress: Told what is under way, and the share of it that is done.

    Raises:
        FileNotFoundError: If there is no such model or folder.
        ImportError: If the package onnx or onnxruntime is missing.
        ValueError: If the model has no description or nothing to quantise, or there are no images.
    """
    model, target, options, start = Path(model), Path(target), options or QuantiseOptions(), time.perf_counter()
    _check_target(model, target)
    import onnx

    input, network = _input(model), onnx.load(str(model))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    spec = read_spec(model, entries)
    prepare(network)
    quantised, kept = choose(network, options.keep, options.depthwise, options.unsigned)
    calibration = Calibration(input, images, progress)
    with appears_whole(target) as unfinished:
        written = _quantised(network, quantised, calibration, options)
        onnx.helper.set_model_props(written, {**entries, METADATA_KEY: json.dumps(spec.to_dict())})
        onnx.save(written, str(unfinished))
        _check(unfinished, calibration)
    return QuantiseReport(
        target,
        spec,
        quantised,
        kept,
        len(calibration),
        model.stat().st_size,
        target.stat().st_size,
        tuple(tensorrt_operators.remarks(written)),
        time.perf_counter() - start,
    )


def _quantised(network: Any, names: Iterable[str], calibration: Calibration, options: QuantiseOptions) -> Any:
    """The network with Q/DQ before the nodes of these names, which is where TensorRT and OpenVINO want them."""
    import onnx
    from onnxruntime import quantization

    # The quantiser warns of networks without this mark; ours were folded when they were exported.
    onnx.helper.set_model_props(network, {"onnx.quant.pre_process": "onnxruntime.quant"})
    methods = {"entropy": "Entropy", "percentile": "Percentile", "minmax": "MinMax"}
    activations = quantization.QuantType.QUInt8 if options.unsigned else quantization.QuantType.QInt8
    with tempfile.TemporaryDirectory(prefix="quantise-") as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "quantised.onnx"
        quantization.quantize_static(
            network,
            path,
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
                "CalibStridedMinMax": 1,  # one image at a time, of any size; else all their values are held at once
                "OpTypesToExcludeOutputQuantization": list(OPERATORS),
                "QuantizeBias": False,  # TensorRT has no DequantizeLinear of int32
            },
        )
        return onnx.load(str(path))


def _input(model: Path) -> InputSpec:
    """What a model takes, its fixed size included.

    Raises:
        ValueError: If it takes several images at a time.
    """
    config = EstimatorConfig(runtime=RuntimeConfig(backend="onnx", provider="cpu", warm_up=False))
    estimator = PoseEstimator.load(model, config=config)
    batch = estimator.runner.inputs[0].shape[0]
    estimator.close()
    if batch not in (None, 1):
        raise ValueError(f"quantise: expected a model of one image at a time, or any number, got {batch}")
    return estimator.spec.input


def _check_target(model: Path, target: Path) -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"quantise: expected the package {missing[0]}, got none; pip install {missing[0]}")
    if not target.parent.is_dir() or target.is_dir():
        raise FileNotFoundError(f"quantise: expected a file to write in a folder that exists, got {target}")
    if target.exists() and model.exists() and target.samefile(model):
        raise ValueError(f"quantise: expected another file than the model, got {target}")


def _check(path: Path, calibration: Calibration) -> None:
    """Run a file on the first image.

    Raises:
        ValueError: If ONNX Runtime cannot load it, or it gives something that is not a number.
    """
    with OnnxRunner(path) as runner:
        outputs = runner.run(calibration.feeds[0])
    wrong = [name for name, output in outputs.items() if not np.isfinite(output).all()]
    if wrong:
        raise ValueError(f"quantise: expected finite numbers, got others in {', '.join(wrong)}; take other images")
