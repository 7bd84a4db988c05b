"""Build engines of the fake TensorRT. A plan is JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import onnx
from fake_tensorrt_objects import IHostMemory, ILogger, Missing, Object

ONNX_TYPES = {1: "FLOAT", 2: "UINT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}
INTEGERS = {"Shape": (0,), "TopK": (1,)}
"""Operators with integer outputs, and the indices of these outputs."""


@dataclass
class Build:
    """Record of one build. ``pinned`` holds the layers whose precision was set, and the indices of their outputs."""

    creation_flags: int
    flags: set[str]
    profile: dict[str, list[tuple[int, ...]]]
    level: int | None
    workspace: int | None
    timings: bytes
    pinned: dict[str, list[int]]


class ITimingCache(Object):
    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def serialize(self) -> IHostMemory:
        return self.trt.IHostMemory(self._data + b"+")


class ITensor(Object):
    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype: Any) -> None:
        super().__init__()
        self.name, self.dtype = name, dtype


class ILayer(Object):
    __slots__ = ("_inputs", "_outputs", "_pinned", "name", "precision")

    def __init__(self, node: onnx.NodeProto, tensors: dict[str, ITensor]) -> None:
        super().__init__()
        self.name, self._pinned = node.name, []
        self._inputs = [tensors.get(name) for name in node.input]
        cast = next((ONNX_TYPES[attribute.i] for attribute in node.attribute if attribute.name == "to"), "FLOAT")
        types = [("INT32" if i in INTEGERS.get(node.op_type, ()) else cast) for i in range(len(node.output))]
        outputs = zip(node.output, types, strict=True)
        self._outputs = [self.trt.ITensor(name, self.trt.DataType[dtype]) for name, dtype in outputs]

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))

    def get_input(self, index: int) -> ITensor | None:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]

    def set_output_type(self, index: int, dtype: Any) -> None:
        if dtype is not self.trt.DataType.FLOAT or self._outputs[index].dtype is self.trt.DataType.INT32:
            raise ValueError(f"{self.name}: output {index} cannot be {dtype}")
        self._pinned.append(index)


class INetworkDefinition(Object):
    __slots__ = ("_flags", "_layers", "_model")

    def __init__(self, flags: int) -> None:
        super().__init__()
        self._flags, self._layers, self._model = flags, [], None

    num_layers = property(lambda self: len(self._layers))

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]

    def _read(self, model: onnx.ModelProto) -> None:
        self._model = model
        tensors = {value.name: self.trt.ITensor(value.name, _type(self.trt, value)) for value in model.graph.input}
        for node in model.graph.node:
            layer = self.trt.ILayer(node, tensors)
            self._layers.append(layer)
            tensors |= {tensor.name: tensor for tensor in layer._outputs}


class ParserError(Object):
    __slots__ = ("_index", "_node", "_text")

    def __init__(self, text: str, index: int, nodes: Any) -> None:
        super().__init__()
        self._text, self._index = text, index
        self._node = nodes[index] if index >= 0 else onnx.NodeProto()

    def desc(self) -> str:
        return self._text

    def node(self) -> int:
        return self._index

    def node_name(self) -> str:
        return self._node.name

    def node_operator(self) -> str:
        return self._node.op_type


class OnnxParser(Object):
    __slots__ = ("_errors", "_network")

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        super().__init__()
        self._network, self._errors = network, []

    num_errors = property(lambda self: len(self._errors))

    def parse_from_file(self, model: str) -> bool:
        proto = onnx.load(model)
        self._network._read(proto)
        errors = self.trt.faults.parser_errors
        self._errors = [self.trt.ParserError(text, index, proto.graph.node) for text, index in errors]
        return not errors

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class IOptimizationProfile(Object):
    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        super().__init__()
        self._shapes = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class IBuilderConfig(Object):
    __slots__ = ("_flags", "_pool", "_shapes", "_timings", "builder_optimization_level", "progress_monitor")

    def __init__(self) -> None:
        super().__init__()
        self._flags, self._shapes, self._pool, self._timings = set(), {}, None, None
        for name, default in (("builder_optimization_level", 3), ("progress_monitor", None)):
            if not isinstance(vars(type(self)).get(name), Missing):
                setattr(self, name, default)

    def set_flag(self, flag: Any) -> None:
        self._flags.add(self.trt.BuilderFlag(flag).name)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pool = pool_size if pool is self.trt.MemoryPoolType.WORKSPACE else None

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._shapes = profile._shapes
        return 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        return None if serialized_timing_cache == b"broken" else self.trt.ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._timings = cache
        return ignore_mismatch or not cache._data.startswith(b"foreign")


class Builder(Object):
    __slots__ = ("_logger",)

    def __init__(self, logger: ILogger) -> None:
        super().__init__()
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return self.trt.INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return self.trt.IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return self.trt.IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        faults = self.trt.faults
        self.trt.builds.append(_build(network, config))
        self._logger.log(ILogger.Severity.INFO, "an info message that nothing forwards")
        if faults.warning:
            self._logger.log(ILogger.Severity.WARNING, faults.warning)
        faults.during_build()
        if faults.build_fails or not _report_phases(getattr(config, "progress_monitor", None)):
            self._logger.log(ILogger.Severity.ERROR, "no implementation found")
            return None
        return self.trt.IHostMemory(_plan(self.trt, network._model, config._shapes))


def _type(trt: Any, value: onnx.ValueInfoProto) -> Any:
    return trt.DataType[ONNX_TYPES[value.type.tensor_type.elem_type]]


def _build(network: INetworkDefinition, config: IBuilderConfig) -> Build:
    level, timings = getattr(config, "builder_optimization_level", None), config._timings._data
    pinned = {layer.name: layer._pinned for layer in network._layers if hasattr(layer, "precision")}
    return Build(network._flags, config._flags, config._shapes, level, config._pool, timings, pinned)


def _report_phases(monitor: Any) -> bool:
    """Report two phases to the monitor. Return whether the build continues."""
    if monitor is None:
        return True
    monitor.phase_start("Building", None, 2)
    monitor.phase_start("Tactics", "Building", 4)
    continues = all(monitor.step_complete("Tactics", step) for step in range(4))
    monitor.phase_finish("Tactics")
    continues = continues and all(monitor.step_complete("Building", step) for step in range(2))
    monitor.phase_finish("Building")
    return continues


def _plan(trt: Any, model: onnx.ModelProto, profile: dict[str, Any]) -> bytes:
    def describe(value: onnx.ValueInfoProto) -> dict[str, Any]:
        shape = [dimension.dim_value or -1 for dimension in value.type.tensor_type.shape.dim]
        return {"dtype": _type(trt, value).name, "shape": shape}

    inputs = {value.name: describe(value) for value in model.graph.input}
    if any(-1 in tensor["shape"] and name not in profile for name, tensor in inputs.items()):
        raise ValueError("a network of free size needs a profile")
    outputs = {value.name: describe(value) for value in model.graph.output}
    plan = {"version": trt.__version__, "inputs": inputs, "outputs": outputs, "profile": profile}
    return json.dumps(plan).encode()
