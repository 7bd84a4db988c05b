"""Test that a new model file runs in a separate process first, and that its crash is an error."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from tiny_onnx import write_model  # noqa: E402

from pose_ros.config import RuntimeConfig  # noqa: E402
from pose_ros.runtime import load_runner, trial, trial_process  # noqa: E402
from pose_ros.runtime.onnx import OnnxRunner  # noqa: E402

CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
HANG = "import time\ntime.sleep(60)\n"
ONNX = RuntimeConfig(backend="onnx", threads=1)


@pytest.fixture(autouse=True)
def with_trials(no_trials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trial, "_PACKAGE", Path(trial.__file__).parents[1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx")


def test_a_file_is_tried_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_runner(model, ONNX).close()
    monkeypatch.setattr(trial, "_PROGRAM", CRASH)
    load_runner(model, ONNX).close()
    shutil.copy(model, model.with_name("copy.onnx"))
    load_runner(model.with_name("copy.onnx"), ONNX).close()
    model.write_bytes(model.read_bytes() + b"\x18\x00")  # another version of the same network
    with pytest.raises(ValueError, match="a crash of its process"):
        load_runner(model, ONNX)


@pytest.mark.parametrize(
    ("program", "fault"),
    [(CRASH, r"a crash of its process \(SIGSEGV\)"), (HANG, "no result of one run within 0.5 s")],
    ids=["crash", "hang"],
)
def test_a_fault_of_the_process_is_an_error(
    program: str, fault: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_PROGRAM", program)
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.5)
    for _ in range(2):  # a fault is not remembered
        with pytest.raises(ValueError, match=rf"model.onnx: expected a network that onnx can run, got {fault}; check"):
            load_runner(model, ONNX)


def test_a_network_that_takes_all_memory_is_an_error(tmp_path: Path) -> None:
    """A few bytes can ask for a terabyte."""
    sizes = numpy_helper.from_array(np.array([1 << 20, 1 << 18]), "sizes")
    nodes = [
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], [sizes])
    path = tmp_path / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    with pytest.raises(ValueError, match=r"large\.onnx: expected a network .* got one that needs more than 50%"):
        load_runner(path, ONNX)


def test_an_ordinary_error_is_that_of_the_runtime(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx")
    network = onnx.load(str(path))
    network.graph.node[0].op_type = "Nonsense"
    onnx.save(network, str(path))
    with pytest.raises(ValueError, match=r"model\.onnx: expected a readable ONNX network, got: .*Nonsense"):
        load_runner(path, ONNX)


def test_without_a_cache_the_file_is_still_loaded(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load_runner(model, ONNX).close()
    assert os.path.isfile(tmp_path / "file")


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [({}, (1, 256, 256, 3)), ({"batch": 2, "size": (64, "width")}, (2, 64, 256, 3))],
    ids=["free", "partly fixed"],
)
def test_the_trial_runs_one_empty_image(
    sizes: dict[str, Any], shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger batch would take memory that no run needs."""
    runs: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(OnnxRunner, "run", lambda _, feeds: runs.append(feeds))
    monkeypatch.setattr(trial_process, "_limit_memory", lambda _: None)  # this process goes on
    trial_process.run_trial(str(write_model(tmp_path / "model.onnx", **sizes)), "onnx", json.dumps(asdict(ONNX)))
    (feeds,) = runs
    assert feeds["image"].shape == shape and feeds["image"].dtype == np.uint8 and not feeds["image"].any()


@pytest.mark.parametrize(
    ("settings", "is_limited"),
    [
        ({}, True),
        ({"device": "cpu"}, True),
        ({"provider": "cpu"}, True),
        ({"device": "cuda"}, False),
        ({"provider": "cuda"}, False),
    ],
    ids=str,
)
def test_only_a_network_on_the_cpu_has_a_memory_limit(
    settings: dict[str, str], is_limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    trial_process._limit_memory(RuntimeConfig(**settings))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.pop(resource.RLIMIT_CORE) == (0, 0)  # a crash writes no file
    assert limits == ({resource.RLIMIT_DATA: (memory // 2,) * 2} if is_limited else {})
