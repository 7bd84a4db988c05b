"""Write minimal ONNX files of pose networks, with everything that a runtime reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pose_ros.fields import METADATA_KEY, HeadSpec, InputSpec, ModelSpec
from pose_ros.skeleton import OPENPOSE_18

STRIDE = 8
WEIGHTS = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def write_model(
    path: Path,
    *,
    precision: str = "fp32",
    front: int = 0,
    quantised: bool = False,
    size: tuple[int | str, int | str] = ("height", "width"),
    batch: int | str = "batch",
    float_input: bool = False,
    multiple: int = 32,
    described: bool = True,
) -> Path:
    """Write a network of 18 keypoints and 19 limbs.

    Args:
        path: File to write.
        precision: Type of the weights.
        front: Peaks per keypoint of the decode front. 0 = no decode front.
        quantised: Whether to add a QuantizeLinear node.
        size: Height and width. A name makes it a free size.
        batch: Size of the batch. A name makes it free.
        float_input: Whether the input is (B, 3, H, W) float32 instead of (B, H, W, 3) uint8.
        multiple: Multiple of height and width, in the description.
        described: Whether to store the description.
    """
    nodes = [node("Cast", ["image"], "pixels", to=WEIGHTS[precision]), node("Conv", ["pixels", "w"], "features")]
    nodes += [node("QuantizeLinear", ["features", "scale"], "quantised")] * quantised
    nodes += [node("Cast", ["features"], name, to=TensorProto.FLOAT) for name in ("heatmaps", "pafs")]
    nodes += front_nodes() if front else []
    shape = (batch, 3, *size) if float_input else (batch, *size, 3)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT if float_input else TensorProto.UINT8, shape)
    cells = [side // STRIDE if isinstance(side, int) else f"{side} / {STRIDE}" for side in size]
    shapes = {"heatmaps": (batch, 19, *cells), "pafs": (batch, 38, *cells)}
    shapes |= {"peaks": (batch, 18, front, 3), "limb_scores": (batch, 19, front, front)} if front else {}
    types = {"limb_scores": TensorProto.FLOAT16}
    outputs = [
        helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), shape) for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, weights(precision))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if described:
        layout = InputSpec("image", "NCHW" if float_input else "NHWC", "float32" if float_input else "uint8")
        described_input = InputSpec(layout.tensor, layout.layout, layout.dtype, multiple=multiple)
        heads = tuple(HeadSpec(name, name) for name in shapes)
        spec = ModelSpec("tiny", OPENPOSE_18, STRIDE, input=described_input, heads=heads)
        helper.set_model_props(model, {METADATA_KEY: json.dumps(spec.to_dict())})
    onnx.save(model, str(path))
    return path


def weights(precision: str) -> list[onnx.TensorProto]:
    """Make the weights of a convolution, and one number that is always float32."""
    convolution = helper.make_tensor("w", WEIGHTS[precision], (2, 3, 1, 1), [1.0] * 6)
    return [convolution, numpy_helper.from_array(np.float32(1), "scale")]


def front_nodes() -> list[onnx.NodeProto]:
    """Make nodes that stand for a decode front. As in a real one, some outputs are integers."""
    return [
        helper.make_node("TopK", ["heatmaps", "scale"], ["values", "cells"], "/front/TopK"),
        node("GatherElements", ["heatmaps", "cells"], "peaks"),
        node("Shape", ["pafs"], "size"),
        node("Mul", ["pafs", "peaks"], "limb_values"),
        node("Cast", ["limb_values"], "limb_scores", to=TensorProto.FLOAT16),
    ]


def node(operator: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    """Make a node with one output. Its name contains output and operator."""
    return helper.make_node(operator, inputs, [output], f"/{output}/{operator}", **attributes)
