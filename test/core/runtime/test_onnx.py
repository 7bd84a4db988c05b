"""Test the ONNX Runtime runner: named tensors, checked before the run."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """Network with sum = a (any, 3) + b (1,), and same = a."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Identity", ["a"], ["same"])],
        "adder",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, ["n", 3]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"made by": "a test"})
    onnx.save(model, str(tmp_path / "adder.onnx"))
    return tmp_path / "adder.onnx"


def feeds(n: int = 2) -> dict[str, np.ndarray]:
    return {"a": np.ones((n, 3), np.float32), "b": np.array([2], np.float32)}


def test_run_maps_named_inputs_to_named_outputs(adder: Path) -> None:
    with load_runner(adder, RuntimeConfig(backend="onnx", threads=1)) as runner:
        outputs = runner.run(feeds())
        assert sorted(outputs) == ["same", "sum"]
        assert outputs["sum"].tolist() == [[3, 3, 3]] * 2 and outputs["same"].tolist() == [[1, 1, 1]] * 2
        assert [(t.name, t.shape, t.dtype) for t in runner.inputs] == [
            ("a", (None, 3), "float32"),
            ("b", (1,), "float32"),
        ]
        assert runner.metadata["made by"] == "a test"
        assert "ONNX Runtime" in runner.description


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"a": None}, ValueError, r"inputs: expected \['a', 'b'\], got \['b'\]"),
        ({"c": np.zeros(1)}, ValueError, r"got \['a', 'b', 'c'\]"),
        ({"a": np.ones((2, 4), np.float32)}, ValueError, r"input 'a': expected shape \(any, 3\), got \(2, 4\)"),
        ({"a": np.ones(3, np.float32)}, ValueError, r"got \(3,\)"),
        ({"a": np.ones((2, 3))}, TypeError, "input 'a': expected float32, got float64"),
        ({"b": [2.0]}, TypeError, "input 'b': expected float32, got list"),
    ],
)
def test_wrong_inputs_are_refused_before_the_run(
    adder: Path, change: dict, error: type[Exception], message: str
) -> None:
    given = {name: value for name, value in {**feeds(), **change}.items() if value is not None}
    with load_runner(adder, RuntimeConfig(backend="onnx")) as runner, pytest.raises(error, match=message):
        runner.run(given)


def test_wanted_outputs_are_fetched_and_unknown_ones_refused(adder: Path) -> None:
    with load_runner(adder, RuntimeConfig(backend="onnx", threads=1)) as runner:
        assert list(runner.run(feeds(), ["same"])) == ["same"]
        with pytest.raises(ValueError, match=r"outputs: expected names among \['same', 'sum'\], got \['x', 'y'\]"):
            runner.run(feeds(), ["y", "sum", "x"])


@pytest.mark.parametrize(
    "content", [b"", b"not a network", DEFAULT_MODEL.read_bytes()[:100_000]], ids=["empty", "text", "cut"]
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"model .*broken\.onnx: expected a readable ONNX network"):
        load_runner(tmp_path / "broken.onnx", RuntimeConfig())


def test_error_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx, which does not exist"):
        load_runner(tmp_path / "nothing.onnx", RuntimeConfig())


def test_a_closed_runner_raises_and_may_be_closed_again(adder: Path) -> None:
    runner = load_runner(adder, RuntimeConfig(backend="onnx", threads=1))
    runner.close()
    runner.close()
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        runner.run(feeds())
