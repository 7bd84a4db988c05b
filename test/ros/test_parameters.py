"""The parameters of the node."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.parameter import Parameter  # noqa: E402

from pose_ros.config import DecoderConfig, EstimatorConfig, OverlayConfig, PreprocessConfig, RuntimeConfig  # noqa: E402
from pose_ros.ros.parameter_files import FILES  # noqa: E402
from pose_ros.ros.parameters import NodeConfig, declare_parameters, parameters  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STAGES = {"preprocess": PreprocessConfig, "runtime": RuntimeConfig, "decoder": DecoderConfig, "overlay": OverlayConfig}


def node_with(graph: Any, overrides: dict[str, Any]) -> Any:
    """A plain node with these values given on its command line."""
    values = [Parameter(name, value=value) for name, value in overrides.items()]
    return graph.add(rclpy.create_node("configured", context=graph.context, parameter_overrides=values))


def test_every_setting_is_a_parameter_with_a_description() -> None:
    names = {f"{stage}.{entry.name}" for stage, config in STAGES.items() for entry in fields(config)}
    declared = {parameter.name: parameter for parameter in parameters()}
    assert set(declared) == names | {"model", "grouping"}
    assert all(parameter.help.endswith(".") for parameter in declared.values())


def test_defaults_are_those_of_the_library(graph: Any) -> None:
    config = declare_parameters(node_with(graph, {}))
    assert config == NodeConfig()
    assert config.estimator == EstimatorConfig()


def test_values_reach_their_stage(graph: Any) -> None:
    overrides = {"model": "a.onnx", "decoder.max_people": 7, "decoder.score_threshold": 0.25, "overlay.boxes": True}
    config = declare_parameters(node_with(graph, overrides))
    assert config.model == "a.onnx"
    assert config.estimator.decoder == DecoderConfig(max_people=7, score_threshold=0.25)
    assert config.overlay == OverlayConfig(boxes=True)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        pytest.param("decoder.score_threshold", 1.5, r"expected float \(0.0 to 1.0\)", id="high"),
        pytest.param("decoder.max_people", 0, r"decoder.max_people: expected int \(1 to 1000\)", id="low"),
        pytest.param("decoder.score_threshold", 1, "written with a point: 1.0", id="integer for a float"),
        pytest.param("overlay.boxes", "yes", "overlay.boxes: expected bool", id="text for a truth value"),
        pytest.param("runtime.backend", "abacus", "expected one of auto, .*, got 'abacus'", id="no such choice"),
        pytest.param("grouping", "guess", "grouping: expected one of .*, got 'guess'", id="no such grouping"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(graph: Any, name: str, value: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        declare_parameters(node_with(graph, {name: value}))


def test_ranges_and_units_can_be_asked_for(graph: Any) -> None:
    node = node_with(graph, {})
    declare_parameters(node)
    threshold = node.describe_parameter("decoder.score_threshold")
    assert threshold.description == "Lowest heatmap value of a keypoint."
    assert [(r.from_value, r.to_value) for r in threshold.floating_point_range] == [(0.0, 1.0)]
    side = node.describe_parameter("preprocess.short_side")
    assert side.description.endswith("[px]")
    assert [(r.from_value, r.to_value) for r in side.integer_range] == [(0, 4096)]
    assert node.describe_parameter("runtime.backend").additional_constraints.startswith("one of auto, onnx")


def test_no_parameter_changes_while_the_node_runs(graph: Any) -> None:
    node = node_with(graph, {})
    declare_parameters(node)
    result = node.set_parameters([Parameter("decoder.max_people", value=5)])[0]
    assert not result.successful
    assert "read-only" in result.reason


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), "run: python -m pose_ros.ros.parameter_files ."


def test_the_yaml_file_holds_every_default() -> None:
    flat: dict[str, Any] = {}
    for name, value in yaml.safe_load(FILES["config/camera.yaml"]())["/**"]["ros__parameters"].items():
        flat.update({f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value})
    defaults = {parameter.name: parameter.default for parameter in parameters()}
    assert flat == defaults
    assert {name: type(value) for name, value in flat.items()} == {n: type(v) for n, v in defaults.items()}
