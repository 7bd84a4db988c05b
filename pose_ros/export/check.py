"""Compare an exported file with its network: both run on the same image of noise, or on one like a photo."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, ByteArray, FloatArray, LongArray, SizeWH
from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS, PERSON_FIELDS
from pose_ros.models.model_file import read_spec
from pose_ros.runtime.onnx import OnnxRunner

if TYPE_CHECKING:
    from pose_ros.network.deploy import DeployedNetwork

TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2**-8}
"""Largest difference between a field and the network in float32, relative to the range of the field, by precision.

The value of bfloat16 is one step of its 8 bits. How much many roundings add up to depends on the network: see
``BF16_ROUNDINGS``.
"""
MIN_RANGE = 1e-3
"""Smallest range that differences are divided by. A field with a smaller range is nearly constant."""
ROUNDINGS = 10
"""A field may also differ by this multiple of the difference between float32 and float64 in torch.

A network that divides by the spread of its input magnifies rounding, both in torch and in the file.
"""
BF16_ROUNDINGS = 2
"""In bfloat16 a field may also differ by this multiple of the bfloat16 error of torch.

Sums in a different order round to other values, but the error is not larger.
"""
PICTURE_RANGE = 1.0
"""Smallest range of a field on images like photos. Scores and part affinity fields reach 1 where people are."""
FLIPPED_SHARE = 1e-3
"""Share of limb scores that may differ, because a sample near the threshold may be above or below it."""


def noise_image(deployed: DeployedNetwork, size_wh: SizeWH, batch: int) -> AnyArray:
    """Make an input of noise for a deployed network. It is always the same."""
    shape = batch, size_wh[1], size_wh[0], deployed.spec.input.channels
    return _to_input(np.random.default_rng(0).integers(0, 256, shape, np.uint8), deployed)


def picture(deployed: DeployedNetwork, size_wh: SizeWH, batch: int) -> AnyArray:
    """Make an input that is like photos: each octave of its details has the same contrast. It is always the same.

    References:
        Field, Relations between the statistics of natural images and the response properties of cortical cells,
        JOSA A 1987 (amplitudes of photos fall with 1 / frequency).
    """
    random, images, channels = np.random.default_rng(0), [], deployed.spec.input.channels
    for _ in range(batch):
        image, cell = np.zeros((size_wh[1], size_wh[0], channels)), max(size_wh)
        while cell >= 2:
            coarse = random.normal(size=(size_wh[1] // cell + 2, size_wh[0] // cell + 2, channels))
            image += cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
            cell //= 2
        images.append(np.clip(128 + 50 * image / image.std(), 0, 255).astype(np.uint8))
    return _to_input(np.stack(images), deployed)


def _to_input(pixels: ByteArray, deployed: DeployedNetwork) -> AnyArray:
    spec = deployed.spec.input
    if spec.dtype == "uint8":
        return pixels
    normalised = (pixels - np.array(spec.channel_mean, np.float32)) / np.array(spec.channel_std, np.float32)
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


def compare(
    path: Path,
    deployed: DeployedNetwork,
    reference: DeployedNetwork,
    batch: int | None,
    precision: str,
    size_wh: SizeWH,
) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Run a file in ONNX Runtime and its network in torch, and compare the outputs.

    On noise, a network may magnify the rounding of half precision without limit. A file in half precision that differs
    there is judged on an image like a photo.

    Args:
        path: ONNX file.
        deployed: Network that the file was exported from.
        reference: The same network in float32.
        batch: Number of images. None = 2.
        precision: Precision of the file, a key of ``TOLERANCES``.
        size_wh: Width and height of the image, px.

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
        for name in (name for name in fields if name not in PERSON_FIELDS):
            _check_grid(name, outputs[name], deployed, size_wh)
        try:
            differences = _field_differences(fields, outputs, deployed, reference, images, precision)
        except ValueError:
            if precision != "fp16":
                raise
            images = picture(deployed, size_wh, batch or 2)
            outputs = runner.run({deployed.spec.input.tensor: images})
            differences = _picture_differences(fields, outputs, reference.run_on_array(images))
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
) -> dict[str, float]:
    """Compute the largest difference of each field.

    Raises:
        ValueError: If a difference is above the tolerance and rounding does not explain it.
    """
    expected = reference.run_on_array(images)
    limits = {name: TOLERANCES[precision] * _value_range(expected[name]) for name in names}
    if any(_max_difference(outputs[name], expected[name]) > limits[name] for name in names):
        if precision == "bf16":
            times, other = BF16_ROUNDINGS, deployed.run_on_array(images)
        else:
            times, other = ROUNDINGS, copy.deepcopy(reference).double().run_on_array(images.astype(np.float64))
        limits = {name: max(limits[name], times * _max_difference(expected[name], other[name])) for name in names}
    return {name: _check_difference(name, outputs[name], expected[name], limits[name]) for name in names}


def _picture_differences(
    names: Sequence[str], outputs: Mapping[str, FloatArray], expected: Mapping[str, FloatArray]
) -> dict[str, float]:
    """Compute the largest difference of each field in half precision on an image like a photo.

    Raises:
        ValueError: If a difference is above the tolerance.
    """
    tolerance = TOLERANCES["fp16"]
    try:
        return {
            name: _check_difference(
                name, outputs[name], expected[name], tolerance * max(_value_range(expected[name]), PICTURE_RANGE)
            )
            for name in names
        }
    except ValueError as error:
        raise ValueError(f"{error}; half precision is too coarse for this network: export without --half") from error


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
