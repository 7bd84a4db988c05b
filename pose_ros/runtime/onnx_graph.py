"""Read names, shapes and types of an ONNX network without any library. Weight values are not read.

References:
    ONNX, onnx/onnx.proto of release 1.16 (numbers of the fields and of the element types).
"""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose_ros.arrays import count_elements
from pose_ros.fields import FRONT_HEADS
from pose_ros.files import LARGEST_BYTES, read_limited
from pose_ros.protobuf import parse
from pose_ros.runtime.external_weights import check_external_files, find_names
from pose_ros.runtime.onnx_schema import MODEL
from pose_ros.runtime.runner import require_model_file

UINT8 = 2
PRECISIONS = {1: "fp32", 10: "fp16", 16: "bf16"}
"""Element types that a network computes in."""


@dataclass(frozen=True)
class GraphInput:
    """Input of an ONNX network.

    Attributes:
        name: Name of the input.
        shape: Size of each dimension. A free dimension is None.
        is_bytes: Whether the input is uint8.
    """

    name: str
    shape: tuple[int | None, ...]
    is_bytes: bool


@dataclass(frozen=True)
class OnnxGraph:
    """Description of an ONNX network, read from its file.

    Attributes:
        inputs: Inputs of the network.
        output_names: Names of the outputs.
        nodes: Name and operator of each node, in the order of the file.
        precision: Type of most weights: ``"fp32"``, ``"fp16"`` or ``"bf16"``. Weights that a Cast widens are fp32.
        metadata: Text entries stored in the file.
        external_files: Names of the files that keep weights, relative to the folder of the ONNX file.
    """

    inputs: tuple[GraphInput, ...]
    output_names: tuple[str, ...]
    nodes: tuple[tuple[str, str], ...]
    precision: str
    metadata: dict[str, str]
    external_files: frozenset[str] = frozenset()

    @property
    def is_quantised(self) -> bool:
        """Whether the network has QuantizeLinear nodes."""
        return any(operator == "QuantizeLinear" for _, operator in self.nodes)

    @property
    def has_front(self) -> bool:
        """Whether the network outputs peaks and limb scores itself."""
        return set(FRONT_HEADS) <= set(self.output_names)


def read_graph(path: Path) -> OnnxGraph:
    """Read an ONNX file, and check every name in it. Some libraries end the process at a name that is not text.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an ONNX network, is larger than any network, or has weights in files that are not in
            its folder.
    """
    require_model_file(path)
    try:
        model = parse(read_limited(path, LARGEST_BYTES), MODEL)
        if len(model["graph"]) != 1:
            raise ValueError(f"{len(model['graph'])} networks in the file, expected 1")
        (graph,) = model["graph"]
        names = frozenset(find_names(model))
        check_external_files(path, names)
        return _make_graph(graph, {_text(entry, "key"): _text(entry, "value") for entry in model["metadata"]}, names)
    except (ValueError, IndexError) as error:
        raise ValueError(f"model {path}: expected a readable ONNX network, got: {error}") from error


def read_external_names(path: Path) -> frozenset[str]:
    """Return the names of the files that keep weights of an ONNX file, as they stand in the file.

    Raises:
        ValueError: If it is not an ONNX file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"location") < 0:  # most files have all weights inside
            return frozenset()
    return frozenset(find_names(parse(read_limited(path, LARGEST_BYTES), MODEL)))


def _make_graph(graph: dict[str, list[Any]], metadata: dict[str, str], external_files: frozenset[str]) -> OnnxGraph:
    weights = {_text(weight, "name") for weight in graph["weights"]}  # old files list them among the inputs too
    inputs = tuple(_make_input(value) for value in graph["inputs"] if _text(value, "name") not in weights)
    outputs = tuple(_text(value, "name") for value in graph["outputs"])
    if not inputs or not outputs:
        raise ValueError(f"a graph with {len(inputs)} inputs and {len(outputs)} outputs")
    nodes = tuple((_text(node, "name"), _text(node, "operator")) for node in graph["nodes"])
    widened = {name for node in graph["nodes"] if node["operator"] == ["Cast"] for name in node["inputs"]}
    narrow = [weight for weight in graph["weights"] if _text(weight, "name") not in widened]
    return OnnxGraph(inputs, outputs, nodes, _weight_precision(narrow), metadata, external_files)


def _make_input(value: dict[str, list[Any]]) -> GraphInput:
    tensor = value["type"][0]["tensor"][0]
    dimensions = tensor["shape"][0]["dimensions"] if tensor["shape"] else []
    sizes = (next(iter(dimension["size"]), 0) for dimension in dimensions)
    shape = tuple(size if size > 0 else None for size in sizes)
    return GraphInput(_text(value, "name"), shape, tensor["element"] == [UINT8])


def _weight_precision(weights: list[dict[str, list[Any]]]) -> str:
    counts: Counter[str] = Counter({"fp32": 0})
    for weight in weights:
        element = weight["element"][0] if weight["element"] else 0
        if element in PRECISIONS:
            counts[PRECISIONS[element]] += count_elements(_text(weight, "name"), weight["sizes"], LARGEST_BYTES)
    return counts.most_common(1)[0][0]


def _text(message: dict[str, list[Any]], name: str) -> str:
    return str(message[name][-1]) if message[name] else ""
