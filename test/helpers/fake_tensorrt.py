"""Fake TensorRT for tests without a GPU. Each version has exactly the names of its Python binding that are used here.

A name that a version lacks raises AttributeError. Networks are read with the package onnx. A plan is JSON. An engine
computes noise from the bytes of its input, in the memory of a fake GPU, when its stream is synchronised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType
from typing import Any

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt_builder import Build, IBuilderConfig
from fake_tensorrt_engine import compute_output
from fake_tensorrt_objects import ILogger, Missing, Object

from pose_ros.runtime.tensorrt import probe

__all__ = [
    "OLDER",
    "VERSIONS",
    "Build",
    "Faults",
    "Install",
    "compute_output",
    "install",
    "is_correct",
    "make",
    "make_image",
]

Install = Callable[..., Any]
"""Installs a version of TensorRT on the machine of a test, and returns the module."""

VERSIONS = ("8.6.1", "10.3.0", "10.16.1.11", "11.4.0.106")
OLDER = "8.5.3.1"

WEAK = "FP16 INT8 OBEY_PRECISION_CONSTRAINTS"
BUILDER_FLAGS = {8: f"{WEAK} STRICT_TYPES TF32", 10: f"{WEAK} BF16 TF32", 11: "TF32"}
CREATION_FLAGS = {8: {"EXPLICIT_BATCH": 0}, 10: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, 11: {"STRONGLY_TYPED": 0}}
TYPES = {"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "UINT8": 5}
NEWER_TYPES = {"BF16": 7, "INT64": 8}
LACKS = {
    8: {
        "IBuilderConfig": "progress_monitor",
        "ICudaEngine": "device_memory_size_v2",
        "IExecutionContext": "set_device_memory",
        "ParserError": "node_name node_operator",
    },
    10: {},
    11: {
        "ICudaEngine": "device_memory_size create_execution_context_without_device_memory",
        "ILayer": "precision set_output_type",
    },
}
"""Members that the classes of a generation lack."""


@dataclass
class Faults:
    """Faults to simulate, and a callback during the build."""

    parser_errors: list[tuple[str, int]] = field(default_factory=list)
    build_fails: bool = False
    refusals: int = 0
    refusal: str = "the plan is not for this TensorRT"
    no_context: bool = False
    enqueue_fails: bool = False
    refuses_recording: bool = False
    unspecified: list[str] = field(default_factory=list)
    during_build: Callable[[], object] = lambda: None
    warning: str = ""


def make(version: str, machine: fake_cuda.Machine) -> Any:
    """Make the module tensorrt of a version, on a machine. Set its ``faults``, and read its ``builds``."""
    number = tuple(map(int, version.split(".")[:2]))
    generation = 11 if number[0] >= 11 else 10 if number[0] >= 9 else 8
    trt: Any = ModuleType("tensorrt")
    trt.__version__, trt.machine, trt.faults, trt.builds = version, machine, Faults(), []
    trt.ILogger, trt.TensorIOMode = ILogger, IntEnum("TensorIOMode", "INPUT OUTPUT")
    trt.MemoryPoolType = IntEnum("MemoryPoolType", "WORKSPACE")
    trt.DataType = IntEnum("DataType", TYPES if generation == 8 else {**TYPES, **NEWER_TYPES})
    trt.BuilderFlag = IntEnum("BuilderFlag", BUILDER_FLAGS[generation])
    trt.NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", CREATION_FLAGS[generation])
    if generation > 8:
        trt.ExecutionContextAllocationStrategy = IntEnum("ExecutionContextAllocationStrategy", "STATIC USER_MANAGED")
        trt.IProgressMonitor = type("IProgressMonitor", (), {})
    for base in Object.__subclasses__():
        lacking = LACKS[generation].get(base.__name__, "").split()
        lacking += ["builder_optimization_level"] * (base is IBuilderConfig and number < (8, 6))
        members = {name: Missing(name) for name in lacking}
        setattr(trt, base.__name__, type(base.__name__, (base,), {"__slots__": (), "trt": trt, **members}))
    return trt


def install(monkeypatch: pytest.MonkeyPatch, version: str = "10.3.0", machine: fake_cuda.Machine | None = None) -> Any:
    """Install a version of TensorRT and a GPU on this machine. Return the module."""
    trt = make(version, machine or fake_cuda.Machine())
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr(probe, "find_gpu", lambda index: fake_cuda.GPU)
    monkeypatch.setattr(probe, "open_cuda", lambda gpu: fake_cuda.FakeCuda(trt.machine))
    return trt


def make_image(seed: int = 0, shape: tuple[int, ...] = (1, 64, 96)) -> np.ndarray:
    """Make a noise image, as input of an engine."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def is_correct(outputs: dict[str, np.ndarray], image: np.ndarray) -> bool:
    """Whether these are the outputs of the engine for an image."""
    return all(
        np.array_equal(got, compute_output(name, got.shape, image).astype(got.dtype)) for name, got in outputs.items()
    )
