"""Describe networks that output people, from the shapes of their inputs and outputs.

Files of these publishers have no description of this package. Their shapes identify them:

    YOLO-pose            (N, 3, H, W) float32, RGB / 255. One output (N, 56, anchors): box by its centre, score, 17
                         keypoints. Or (N, rows, 57) without duplicates: box by its corners, score, class, 17 keypoints
    RTMO                 (N, 3, H, W) float32, BGR. Outputs dets (N, P, 5) and keypoints (N, P, 17, 3)
    MoveNet MultiPose    (N, H, W, 3) int32, RGB. One output (N, 6, 56): 17 keypoints with y before x, box, score
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pose_ros.fields import HeadSpec, InputSpec, ModelSpec, PeopleSpec
from pose_ros.skeleton import COCO_17

ENTRIES = "heads (fields people, person_scores, boxes) and people (units, box, nms)"
YOLO_SCORE_THRESHOLD = 0.25
RTMO_SCORE_THRESHOLD = 0.3
MOVENET_SCORE_THRESHOLD = 0.127
"""Publisher's lowest score of a keypoint."""
MOVENET_ORIGIN = -0.5
"""MoveNet counts from the edge of the image, this package from the centre of its first pixel."""


class NamedTensor(Protocol):
    """Input or output of a network."""

    @property
    def name(self) -> str:
        """Name in the file."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes. None = free."""

    @property
    def dtype(self) -> Any:
        """NumPy type."""


class Network(Protocol):
    """Loaded network, such as a ``Runner``."""

    @property
    def inputs(self) -> Sequence[NamedTensor]:
        """Inputs."""

    @property
    def outputs(self) -> Sequence[NamedTensor]:
        """Outputs."""


def identify_layout(network: Network, metadata: Mapping[str, str], name: str) -> ModelSpec:
    """Describe a network that has a known layout.

    Args:
        network: The loaded network.
        metadata: Metadata of its file. ``task``, ``kpt_shape`` and ``license`` of a YOLO export are read.
        name: Name of the model.

    Raises:
        ValueError: If the layout is unknown. The error names the entries that a description needs.
    """
    outputs = {output.name: output.shape for output in network.outputs}
    found = _identify(network.inputs, outputs, metadata, name)
    if found is None:
        got, given = (", ".join(map(_tensor_text, tensors)) for tensors in (network.outputs, network.inputs))
        raise ValueError(
            f"its outputs {got} for {given} have no known layout; write a description as in docs/models.md. If the "
            f"network outputs people, set grouping: direct, {ENTRIES}"
        )
    return found


def _identify(
    inputs: Sequence[NamedTensor],
    outputs: Mapping[str, tuple[int | None, ...]],
    metadata: Mapping[str, str],
    name: str,
) -> ModelSpec | None:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    image = inputs[0]
    is_nchw = image.shape[1] == 3 and image.dtype.name == "float32"
    shape = next(iter(outputs.values())) if len(outputs) == 1 else ()
    tensor = next(iter(outputs), "")
    if is_nchw and set(outputs) == {"dets", "keypoints"}:
        fits = _can_be(outputs["dets"], (5,)) and _can_be(outputs["keypoints"], (17, 3))
        return _rtmo(image.name, name) if fits else None
    if len(shape) != 3:
        return None
    if is_nchw and _can_be_coco_pose(metadata):
        licence = metadata.get("license", "unknown")
        if shape[1] == 56:
            return _yolo(image.name, tensor, name, licence)
        return _yolo_without_duplicates(image.name, tensor, name, licence) if shape[2] == 57 else None
    is_movenet = image.shape[3] == 3 and image.dtype.name == "int32" and shape[2] == 56
    return _movenet(image.name, tensor, name) if is_movenet else None


def _can_be(shape: Sequence[int | None], last: tuple[int, ...]) -> bool:
    """Whether a shape can be (images, people, *last). Any size may be free."""
    sizes = shape[2:]
    return len(sizes) == len(last) and all(size in (None, wanted) for size, wanted in zip(sizes, last, strict=True))


def _can_be_coco_pose(metadata: Mapping[str, str]) -> bool:
    """Whether the metadata of a YOLO export, if present, says 17 keypoints with scores."""
    keypoint_shape = re.findall(r"\d+", metadata.get("kpt_shape", "[17, 3]"))
    return metadata.get("task", "pose") == "pose" and keypoint_shape == ["17", "3"]


def _yolo(image: str, tensor: str, name: str, licence: str) -> ModelSpec:
    heads = _heads(tensor, "NCP", boxes=range(4), score=4, keypoints=range(5, 56))
    return _direct(name, _yolo_input(image), heads, PeopleSpec(box="centre"), YOLO_SCORE_THRESHOLD, licence)


def _yolo_without_duplicates(image: str, tensor: str, name: str, licence: str) -> ModelSpec:
    heads = _heads(tensor, "NPC", boxes=range(4), score=4, keypoints=range(6, 57))
    return _direct(name, _yolo_input(image), heads, PeopleSpec(nms=True), YOLO_SCORE_THRESHOLD, licence)


def _yolo_input(image: str) -> InputSpec:
    return InputSpec(image, "NCHW", "float32", std=(255.0, 255.0, 255.0), multiple=32, short_side=640)


def _rtmo(image: str, name: str) -> ModelSpec:
    pixels = InputSpec(image, "NCHW", "float32", "bgr", multiple=32, short_side=640)
    heads = (
        HeadSpec("boxes", "dets", "NPC", (0, 1, 2, 3)),
        HeadSpec("person_scores", "dets", "NPC", (4,)),
        HeadSpec("people", "keypoints", "NPC"),
    )
    return _direct(name, pixels, heads, PeopleSpec(), RTMO_SCORE_THRESHOLD, "unknown")


def _movenet(image: str, tensor: str, name: str) -> ModelSpec:
    pixels = InputSpec(image, "NHWC", "int32", multiple=32, short_side=256)
    x_y_score = [channel for k in range(17) for channel in (3 * k + 1, 3 * k, 3 * k + 2)]
    heads = _heads(tensor, "NPC", boxes=(52, 51, 54, 53), score=55, keypoints=x_y_score)
    form = PeopleSpec("fractions", nms=True)
    return _direct(name, pixels, heads, form, MOVENET_SCORE_THRESHOLD, "unknown", MOVENET_ORIGIN)


def _heads(
    tensor: str, layout: str, *, boxes: Sequence[int], score: int, keypoints: Sequence[int]
) -> tuple[HeadSpec, ...]:
    return (
        HeadSpec("boxes", tensor, layout, tuple(boxes)),
        HeadSpec("person_scores", tensor, layout, (score,)),
        HeadSpec("people", tensor, layout, tuple(keypoints)),
    )


def _direct(
    name: str,
    pixels: InputSpec,
    heads: tuple[HeadSpec, ...],
    people: PeopleSpec,
    score_threshold: float,
    licence: str,
    origin: float = 0.0,
) -> ModelSpec:
    return ModelSpec(
        name,
        COCO_17,
        stride=1,
        origin=origin,
        input=pixels,
        heads=heads,
        grouping="direct",
        score_threshold=score_threshold,
        licence=licence,
        people=people,
    )


def _tensor_text(tensor: NamedTensor) -> str:
    sizes = ", ".join("any" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name} ({sizes}) {tensor.dtype}"
