"""Write a network of the size of the ResNet-18 of trt_pose (stride 4, 18 heatmaps, 42 PAFs), with random weights.

The outputs of the network are close to zero. The ideal fields of a known crowd are added to them, so that a benchmark
decodes people and not noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import scene
from onnx import TensorProto, helper, numpy_helper

from pose_ros.fields import HeadSpec, InputSpec, ModelSpec
from pose_ros.skeleton import OPENPOSE_18, TRT_POSE_18, map_keypoints
from pose_ros.training.targets.make import confidence_maps, part_affinity_fields


class _Graph:
    """Nodes and weights of a plain convolutional network in ONNX."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def weight(self, *shape: int, scale: float | None = None) -> str:
        scale = np.sqrt(2 / np.prod(shape[1:])) if scale is None else scale
        return self.constant(self._random.normal(0, scale, shape))

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def conv(self, x: str, cin: int, cout: int, size: int, stride: int = 1, scale: float | None = None) -> str:
        weight = self.weight(cout, cin, size, size, scale=scale)
        return self.node("Conv", x, weight, pads=[size // 2] * 4, strides=[stride] * 2)

    def up(self, x: str, cin: int, cout: int) -> str:
        y = self.node("ConvTranspose", x, self.weight(cin, cout, 4, 4), pads=[1] * 4, strides=[2, 2])
        return self.node("Relu", y)

    def block(self, x: str, cin: int, cout: int, stride: int) -> str:
        y = self.node("Relu", self.conv(x, cin, cout, 3, stride))
        y = self.conv(y, cout, cout, 3)
        skip = x if cin == cout and stride == 1 else self.conv(x, cin, cout, 1, stride)
        return self.node("Relu", self.node("Add", y, skip))


def write(path: Path, size_wh: tuple[int, int], people: int = 5) -> ModelSpec:
    """Write the network for one input size. Returns its spec."""
    width, height = size_wh
    graph = _Graph()
    x = graph.node("Cast", "image", to=TensorProto.FLOAT)
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("Mul", x, graph.constant(np.array(1 / 255)))
    x = graph.node("Relu", graph.conv(x, 3, 64, 7, 2))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for cout, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        x, channels = graph.block(x, channels, cout, stride), cout
    for cin in (512, 256, 256):
        x = graph.up(x, cin, 256)
    for name, field in zip(("heatmaps", "pafs"), _ideal_fields(size_wh, people), strict=True):
        head = graph.conv(x, 256, len(field), 1, scale=1e-9)
        graph.node("Add", head, graph.constant(field[None]), output=name)
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("heatmaps", "pafs")]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "resnet", inputs, outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, str(path))
    heads = (HeadSpec("heatmaps", "heatmaps"), HeadSpec("pafs", "pafs"))
    return ModelSpec("resnet18", TRT_POSE_18, 4, input=InputSpec("image", multiple=32), heads=heads)


def _ideal_fields(size_wh: tuple[int, int], people: int) -> tuple[np.ndarray, np.ndarray]:
    shape_hw = (size_wh[1] // 4, size_wh[0] // 4)
    crowd = scene.crowd(people, shape_hw)
    xy, scores = map_keypoints(crowd, np.ones(crowd.shape[:2], np.float32), OPENPOSE_18, TRT_POSE_18)
    pafs = part_affinity_fields(xy, scores > 0, TRT_POSE_18.limbs, shape_hw, 1.0)
    return confidence_maps(xy, scores > 0, shape_hw, 1.5), pafs
