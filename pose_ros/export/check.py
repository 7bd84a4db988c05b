"""Compare an exported file with its network: both run on the same image of noise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, LongArray, SizeWH
from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import read_spec
from pose_ros.runtime.onnx import OnnxRunner

if TYPE_CHECKING:
    from pose_ros.network.deploy import DeployedNetwork

TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2**-8}
"""Largest difference between a field and the network in float32, relative to the range of the field, by precision.

The value of bfloat16 is one step of its 8 bits. How much many roundings add up to depends on the network: see
``LOW_PRECISION_ROUNDINGS``.
"""
MIN_RANGE = 1e-3
"""Smallest range that differences are divided by. A field with a smaller range is nearly constant."""
ROUNDINGS = 10
"""A field may also differ by this multiple of the difference between float32 and float64 in torch.

A network that divides by the spread of its input magnifies rounding, both in torch and in the file.
"""
LOW_PRECISION_ROUNDINGS = 2
"""In half precision and bfloat16, a field may also differ by this multiple of the error of torch in that precision.

Sums in a different order round to other values, but the error is not larger.
"""
FLIPPED_SHARE = 1e-3
"""Share of limb scores that may differ, because a sample near the threshold may be above or below it."""


def noise_image(deployed: DeployedNetwork, size_wh: SizeWH, batch: int) -> AnyArray:
    """Make an input of noise for a deployed network. It is always the same."""
    spec, shape = deployed.spec.input, (batch, size_wh[1], size_wh[0], 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if spec.dtype == "uint8":
        return pixels
    normalised = (pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


def compare(
    path: Path,
    deployed: DeployedNetwork,
    reference: DeployedNetwork,
    batch: int | None,
    precision: str,
    size_wh: SizeWH,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Run a file in ONNX Runtime and its network in torch, and compare the outputs.

    Args:
        path: ONNX file.
        deployed: Network that the file was exported from.
        reference: The same network in float32.
        batch: Number of images. None = 2.
        precision: Precision of the file, a key of ``TOLERANCES``.
        size_wh: Width and height of the image, px.
        note: Called with one sentence if the precision changes the fields of noise a lot.

    Returns:
        The shape of each output, and the largest difference of each output.

    Raises:
        ValueError: If an output differs by more than the tolerance, is not finite, or has a grid that does not match
            its stride. Also if the description in the file is not that of the network.
    """
    images = noise_image(deployed, size_wh, batch or 2)
    with OnnxRunner(path, RuntimeConfig()) as runner:
        outputs = runner.run({deployed.spec.input.tensor: images})
        if read_spec(path, runner.metadata) != deployed.spec:
            raise ValueError(
                f"export: expected the description of {deployed.spec.name} in the file, got a different one"
            )
    fields = [name for name in deployed.names if name not in FRONT_HEADS]
    for name in fields:
        _check_grid(name, outputs[name], deployed, size_wh)
    differences = _field_differences(fields, outputs, deployed, reference, images, precision, note)
    if deployed.front is not None:
        differences |= _front_differences(deployed, outputs)
    return {name: outputs[name].shape for name in deployed.names}, differences


def _check_grid(name: str, field: FloatArray, deployed: DeployedNetwork, size_wh: SizeWH) -> None:
    stride = deployed.spec.stride
    covered = (field.shape[3] * stride, field.shape[2] * stride)
    if covered != size_wh:
        raise ValueError(
            f"{name}: expected a grid of {size_wh[0] / stride:g} x {size_wh[1] / stride:g} cells of stride {stride:g} "
            f"for {size_wh[0]} x {size_wh[1]} px, got {field.shape[3]} x {field.shape[2]}; "
            "correct the multiple or the stride of the network"
        )


def _field_differences(
    names: Sequence[str],
    outputs: Mapping[str, FloatArray],
    deployed: DeployedNetwork,
    reference: DeployedNetwork,
    images: AnyArray,
    precision: str,
    note: Callable[[str], None],
) -> dict[str, float]:
    """Compute the largest difference of each field.

    Raises:
        ValueError: If a difference is above the tolerance and rounding does not explain it.
    """
    expected = reference.run_on_array(images)
    limits = {name: TOLERANCES[precision] * _value_range(expected[name]) for name in names}
    if any(_max_difference(outputs[name], expected[name]) > limits[name] for name in names):
        if precision == "fp32":
            times, other = ROUNDINGS, copy.deepcopy(reference).double().run_on_array(images.astype(np.float64))
        else:
            times, other = LOW_PRECISION_ROUNDINGS, deployed.run_on_array(images)
        limits = {name: max(limits[name], times * _max_difference(expected[name], other[name])) for name in names}
    differences = {name: _check_difference(name, outputs[name], expected[name], limits[name]) for name in names}
    if precision == "fp16" and (share := _largest_share(differences, expected)) > TOLERANCES[precision]:
        note(
            f"half precision changes the fields of noise by {share:.0%} of their range, in torch, too; measure it on "
            "pictures of people with --report IMAGES"
        )
    return differences


def _largest_share(differences: Mapping[str, float], expected: Mapping[str, FloatArray]) -> float:
    return max(difference / _value_range(expected[name]) for name, difference in differences.items())


def _check_difference(name: str, got: FloatArray, expected: FloatArray, limit: float) -> float:
    """Compute the largest difference of a field.

    Raises:
        ValueError: If it is above the limit.
    """
    if not np.isfinite(got).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity; half precision ends at 65504")
    largest, span = _max_difference(got, expected), _value_range(expected)
    if not largest <= limit:  # so that NaN fails
        raise ValueError(
            f"{name}: expected the result of torch within {limit / span:.2g} of the range {span:.3g}, got a "
            f"difference of {largest:.3g} ({largest / span:.1g} of it)"
        )
    return largest


def _max_difference(got: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(got - expected).max())


def _value_range(field: FloatArray) -> float:
    return max(float(np.ptp(field)), MIN_RANGE)


def _front_differences(deployed: DeployedNetwork, outputs: Mapping[str, FloatArray]) -> dict[str, float]:
    """Compute the largest differences of peaks and limb scores, from the fields that the file computed.

    Raises:
        ValueError: If they are above the tolerance.
    """
    expected_peaks, expected_values = deployed.run_front_on_arrays(outputs)
    limbs = np.array(deployed.spec.limbs)
    peaks, values = _sort_peaks(outputs["peaks"], outputs["limb_scores"].astype(np.float32), limbs)
    expected_peaks, expected_values = _sort_peaks(expected_peaks, expected_values.astype(np.float32), limbs)
    is_sure = expected_peaks[..., 2] > expected_peaks[..., -1:, 2]  # peaks as weak as the last one may differ
    both = is_sure[:, limbs[:, 0], :, None] & is_sure[:, limbs[:, 1], None, :]
    peaks, values = np.where(is_sure[..., None], peaks, expected_peaks), np.where(both, values, expected_values)
    gap, tolerance = np.abs(values - expected_values), TOLERANCES["fp32"]
    agreeing = np.where(gap > np.quantile(gap, 1 - FLIPPED_SHARE), 0, gap)
    return {
        "peaks": _check_difference("peaks", peaks, expected_peaks, tolerance * _value_range(expected_peaks)),
        "limb_scores": _check_difference(
            "limb_scores", expected_values + agreeing, expected_values, tolerance * _value_range(expected_values)
        ),
    }


def _sort_peaks(peaks: FloatArray, values: FloatArray, limbs: LongArray) -> tuple[FloatArray, FloatArray]:
    """Sort the peaks (B, K, M, 3) by score and position, and their limb scores alike: equal peaks come in any order."""
    order = np.lexsort((peaks[..., 0], peaks[..., 1], -peaks[..., 2]))
    values = np.take_along_axis(values, order[:, limbs[:, 0], :, None], axis=2)
    values = np.take_along_axis(values, order[:, limbs[:, 1], None, :], axis=3)
    return np.take_along_axis(peaks, order[..., None], axis=2), values
