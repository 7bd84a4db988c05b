"""Write a small network for crops of one person, and paint people that it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pose_ros.arrays import Image
from pose_ros.fields import METADATA_KEY, HeadSpec, InputSpec, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

SIDE = 128
BODY = Skeleton("body", ("nose", "right_hip", "right_ankle"), ((0, 1), (1, 2)))
"""Red is the nose, green the hip, blue the ankle."""
SHAPE = np.array([[0, 0], [25, 50], [0, 100]], np.float32)
"""Keypoints of a painted person, px from the nose."""


def write_crop_network(path: Path) -> Path:
    """Write a network that finds the brightest red, green and blue spot of a crop."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["heatmaps"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    output = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["n", 3, SIDE // 4, SIDE // 4])
    scale = numpy_helper.from_array(np.float32(1 / 255), "scale")
    graph = helper.make_graph(nodes, "crop", [image], [output], [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    heads = (HeadSpec("heatmaps", "heatmaps"),)
    spec = ModelSpec("crop", BODY, 4, origin=1.5, grouping="single", input=InputSpec(), heads=heads)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(spec.to_dict())})
    onnx.save(model, str(path))
    return path


def write_pose_network(path: Path, sigma: float = 10.0) -> Path:
    """Write a network that finds the brightest red, green and blue spot of a crop near a known pose.

    The heatmap of a keypoint is its colour times (0.5 + 0.5 times the heatmap of the known keypoint).
    """
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Split", ["planes"], ["colours", "pose"], axis=1),
        helper.make_node("Mul", ["pose", "half"], ["weaker"]),
        helper.make_node("Add", ["weaker", "half"], ["weights"]),
        helper.make_node("Mul", ["colours", "weights"], ["near"]),
        helper.make_node("AveragePool", ["near"], ["heatmaps"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 6])
    output = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["n", 3, SIDE // 4, SIDE // 4])
    constants = [numpy_helper.from_array(np.float32(v), name) for name, v in (("scale", 1 / 255), ("half", 0.5))]
    graph = helper.make_graph(nodes, "pose", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    spec = ModelSpec(
        "pose",
        BODY,
        4,
        origin=1.5,
        grouping="single",
        input=InputSpec(pose_channels=3, pose_sigma=sigma),
        heads=(HeadSpec("heatmaps", "heatmaps"),),
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(spec.to_dict())})
    onnx.save(model, str(path))
    return path


def paint(image: Image, nose_xy: tuple[float, float], value: int = 255, side: int = 9) -> Image:
    """Paint a person into a BGR image, in place."""
    for channel, (x, y) in zip((2, 1, 0), SHAPE + np.float32(nose_xy), strict=True):
        rows, columns = (slice(max(int(v) - side // 2, 0), max(int(v) + side // 2 + 1, 0)) for v in (y, x))
        image[rows, columns, channel] = value
    return image


def painted_person(
    nose_xy: tuple[float, float], shift: np.ndarray | tuple[float, float] = (0, 0), score: float = 0.5
) -> People:
    """Make the person of ``paint``, with keypoints that are shifted by (2,) or (3, 2) px."""
    keypoints = (SHAPE + np.float32(nose_xy) + np.float32(shift))[None]
    return People(keypoints, np.full((1, 3), score, np.float32), np.array([score], np.float32))
