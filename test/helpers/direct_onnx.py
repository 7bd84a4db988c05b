"""Write ONNX files of networks that output people, in the layouts of their publishers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13


def write_direct(
    path: Path,
    outputs: dict[str, np.ndarray],
    moves: dict[str, np.ndarray] | None = None,
    *,
    size_wh: tuple[int | str, int | str] = ("width", "height"),
    nhwc_int: bool = False,
    batch: int | str = "batch",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a network whose outputs are constants plus ``moves`` times the first number of the image tensor.

    Args:
        path: File to write.
        outputs: (1, …) value of each output.
        moves: Factor of the first number of each image, broadcast against the output.
        size_wh: Width and height of the input. A name makes it a free size.
        nhwc_int: Whether the input is (N, H, W, 3) int32, as MoveNet's, instead of (N, 3, H, W) float32.
        batch: Size of the batch. A name makes it free.
        metadata: Metadata of the file.
    """
    width, height = size_wh
    shape = (batch, height, width, 3) if nhwc_int else (batch, 3, height, width)
    image = helper.make_tensor_value_info("images", TensorProto.INT32 if nhwc_int else TensorProto.FLOAT, shape)
    constants = {"start": np.zeros(3, np.int64), "end": np.ones(3, np.int64), "axes": np.array([1, 2, 3])}
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["numbers", "start", "end", "axes"], ["first"]),
    ]
    infos = []
    for name, value in outputs.items():
        factor = np.zeros(1) if moves is None else moves.get(name, np.zeros(1))
        constants |= {
            f"{name}_value": value.astype(np.float32),
            f"{name}_factor": np.broadcast_to(factor, value.shape).astype(np.float32),
            f"{name}_shape": np.array([-1, *[1] * (value.ndim - 1)]),
        }
        nodes += [
            helper.make_node("Reshape", ["first", f"{name}_shape"], [f"{name}_first"]),
            helper.make_node("Mul", [f"{name}_first", f"{name}_factor"], [f"{name}_move"]),
            helper.make_node("Add", [f"{name}_value", f"{name}_move"], [name]),
        ]
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, *value.shape[1:])))
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "direct", [image], infos, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path
