"""Whether an exported file computes what its network does: both run on the same picture of noise."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, LongArray, SizeWH
from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import read_spec
from pose_ros.runtime.onnx import OnnxRunner

if TYPE_CHECKING:
    from pose_ros.network.deploy import Deployed

TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2**-8}
"""Largest difference of a field from the network in float32, relative to its range, by precision. That of bfloat16 is
one step of its 8 bits; what its many roundings add up to depends on the network: see ``BF16_ROUNDINGS``."""
LEAST_RANGE = 1e-3
"""A field of a smaller range than this is nearly constant; rounding is then measured against this."""
ROUNDINGS = 10
"""A field may also differ by so many times what torch's float32 differs from its float64: a network that divides by the
spread of what it sees magnifies rounding, in torch as in the file."""
BF16_ROUNDINGS = 2
"""In bfloat16 a field may also differ by so many times what torch loses in bfloat16: sums of another order round to
other numbers, but no farther away."""
FLIPPED = 1e-3
"""Share of limb scores that may differ: a sample that lies on the threshold falls on either side of it."""


def image(deployed: Deployed, size_wh: SizeWH, batch: int) -> AnyArray:
    """The input of a deployed network: a picture of noise, always the same."""
    taken, given = deployed.spec.input, (batch, size_wh[1], size_wh[0], 3)
    pixels = np.random.default_rng(0).integers(0, 256, given, np.uint8)
    if taken.dtype == "uint8":
        return pixels
    normalised = (pixels - np.array(taken.mean, np.float32)) / np.array(taken.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


def compare(
    path: Path, deployed: Deployed, reference: Deployed, batch: int | None, precision: str, size_wh: SizeWH
) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Run a file in ONNX Runtime and the network in torch.

    Args:
        path: The file.
        deployed: The network that it was made of.
        reference: The same in float32.
        batch: Number of images; None takes two.
        precision: What the file computes in: a key of ``TOLERANCES``.
        size_wh: Size of the image.

    Returns:
        Of each output, its shape and the largest difference.

    Raises:
        ValueError: If an output differs by more than the tolerance, is not finite, or lies on another grid than its
            stride says; or if the file does not describe itself.
    """
    images = image(deployed, size_wh, batch or 2)
    with OnnxRunner(path, RuntimeConfig()) as runner:
        outputs = runner.run({deployed.spec.input.tensor: images})
        if read_spec(path, runner.metadata) != deployed.spec:
            raise ValueError(f"export: expected the description of {deployed.spec.name} in the file, got another")
    fields = [name for name in deployed.names if name not in FRONT_HEADS]
    for name in fields:
        _check_grid(name, outputs[name], deployed, size_wh)
    differences = _field_differences(fields, outputs, deployed, reference, images, precision)
    if deployed.front is not None:
        differences |= _front_differences(deployed, outputs)
    return {name: outputs[name].shape for name in deployed.names}, differences


def _check_grid(name: str, field: FloatArray, deployed: Deployed, size_wh: SizeWH) -> None:
    stride = deployed.spec.stride
    covered = (field.shape[3] * stride, field.shape[2] * stride)
    if covered != size_wh:
        raise ValueError(
            f"{name}: expected a grid of {size_wh[0] / stride:g} x {size_wh[1] / stride:g} cells of stride {stride:g} "
            f"for {size_wh[0]} x {size_wh[1]} px, got {field.shape[3]} x {field.shape[2]}; "
            "the network's multiple or stride is wrong"
        )


def _field_differences(
    names: Sequence[str],
    outputs: Mapping[str, FloatArray],
    deployed: Deployed,
    reference: Deployed,
    images: AnyArray,
    precision: str,
) -> dict[str, float]:
    """The largest difference of each field.

    Raises:
        ValueError: If one is beyond the tolerance, and rounding does not explain it.
    """
    expected = reference.on_array(images)
    limits = {name: TOLERANCES[precision] * _span(expected[name]) for name in names}
    if any(_gap(outputs[name], expected[name]) > limits[name] for name in names):
        if precision == "bf16":
            times, other = BF16_ROUNDINGS, deployed.on_array(images)
        else:
            times, other = ROUNDINGS, copy.deepcopy(reference).double().on_array(images.astype(np.float64))
        limits = {name: max(limits[name], times * _gap(expected[name], other[name])) for name in names}
    return {name: _difference(name, outputs[name], expected[name], limits[name]) for name in names}


def _difference(name: str, got: FloatArray, expected: FloatArray, limit: float) -> float:
    """The largest difference of a field.

    Raises:
        ValueError: If it is beyond the limit.
    """
    if not np.isfinite(got).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinite ones; half precision ends at 65504")
    largest, span = _gap(got, expected), _span(expected)
    if not largest <= limit:  # so that NaN fails
        raise ValueError(
            f"{name}: expected what torch computes to {limit / span:.2g} of the range {span:.3g}, got a difference of "
            f"{largest:.3g} ({largest / span:.1g} of it)"
        )
    return largest


def _gap(got: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(got - expected).max())


def _span(field: FloatArray) -> float:
    return max(float(np.ptp(field)), LEAST_RANGE)


def _front_differences(deployed: Deployed, outputs: Mapping[str, FloatArray]) -> dict[str, float]:
    """The largest differences of peaks and limb scores, by the fields that the file itself has given.

    Raises:
        ValueError: If they are beyond the tolerance.
    """
    expected_peaks, expected_values = deployed.front_on_arrays(outputs["heatmaps"], outputs["pafs"])
    limbs = np.array(deployed.spec.limbs)
    peaks, values = _in_order(outputs["peaks"], outputs["limb_scores"].astype(np.float32), limbs)
    expected_peaks, expected_values = _in_order(expected_peaks, expected_values.astype(np.float32), limbs)
    is_sure = expected_peaks[..., 2] > expected_peaks[..., -1:, 2]  # of those as weak as the last, any may be kept
    both = is_sure[:, limbs[:, 0], :, None] & is_sure[:, limbs[:, 1], None, :]
    peaks, values = np.where(is_sure[..., None], peaks, expected_peaks), np.where(both, values, expected_values)
    gap, tolerance = np.abs(values - expected_values), TOLERANCES["fp32"]
    agreeing = np.where(gap > np.quantile(gap, 1 - FLIPPED), 0, gap)
    return {
        "peaks": _difference("peaks", peaks, expected_peaks, tolerance * _span(expected_peaks)),
        "limb_scores": _difference(
            "limb_scores", expected_values + agreeing, expected_values, tolerance * _span(expected_values)
        ),
    }


def _in_order(peaks: FloatArray, values: FloatArray, limbs: LongArray) -> tuple[FloatArray, FloatArray]:
    """The peaks (B, K, M, 3) sorted by score and place, as equal ones come in any order, and their limb scores."""
    order = np.lexsort((peaks[..., 0], peaks[..., 1], -peaks[..., 2]))
    values = np.take_along_axis(values, order[:, limbs[:, 0], :, None], axis=2)
    values = np.take_along_axis(values, order[:, limbs[:, 1], None, :], axis=3)
    return np.take_along_axis(peaks, order[..., None], axis=2), values
