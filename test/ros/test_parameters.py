"""Tests of the parameters of the node."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.parameter import Parameter  # noqa: E402

from pose_ros.config import (  # noqa: E402
    AUTO,
    DecoderConfig,
    DiagnosticsConfig,
    EstimatorConfig,
    MarkersConfig,
    OverlayConfig,
    PreprocessConfig,
    RefinementConfig,
    RegionsConfig,
    RuntimeConfig,
    SmoothingConfig,
    TrackingConfig,
)
from pose_ros.ros.parameters.config import NodeConfig, NodeDepthConfig, OutputsConfig  # noqa: E402
from pose_ros.ros.parameters.declare import config_of, declare_parameters, parameters  # noqa: E402
from pose_ros.ros.parameters.documents import FILES  # noqa: E402
from pose_ros.ros.parameters.live import LiveSettings  # noqa: E402
from pose_ros.ros.parameters.unused import find_unknown_parameters, find_unused_files  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "preprocess": PreprocessConfig,
    "runtime": RuntimeConfig,
    "decoder": DecoderConfig,
    "refinement": RefinementConfig,
    "tracking": TrackingConfig,
    "smoothing": SmoothingConfig,
    "depth": NodeDepthConfig,
    "regions": RegionsConfig,
    "overlay": OverlayConfig,
    "markers": MarkersConfig,
    "outputs": OutputsConfig,
    "diagnostics": DiagnosticsConfig,
}
OWN = {
    "model",
    "grouping",
    "cameras",
    "image_transport",
    "autostart",
    "lazy",
    "max_rate",
    "max_image_mb",
    "watchdog_s",
    "jpeg_quality",
}


def node_with(graph: Any, overrides: dict[str, Any]) -> Any:
    """Make a plain node with parameter overrides."""
    values = [Parameter(name, value=value) for name, value in overrides.items()]
    return graph.add(rclpy.create_node("configured", context=graph.context, parameter_overrides=values))


def test_every_setting_is_a_parameter_with_a_description() -> None:
    names = {f"{stage}.{entry.name}" for stage, config in STAGES.items() for entry in fields(config)}
    declared = {parameter.name: parameter for parameter in parameters()}
    assert set(declared) == names | OWN
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
        pytest.param("decoder.max_people", -1, r"decoder.max_people: expected int \(0 to 1000\)", id="low"),
        pytest.param("model", 83, "expected str, .*: put it in quotes", id="number for a text"),
        pytest.param("lazy", True, "lazy: expected str .*: put it in quotes", id="yes for a text"),
        pytest.param("cameras", [True, False], r"cameras\[0\]: expected text, got bool True", id="on and off"),
        pytest.param("jpeg_quality", 80.5, "jpeg_quality: expected int", id="fraction for an integer"),
        pytest.param("jpeg_quality", "80", "jpeg_quality: expected int .*; write a number without", id="quoted number"),
        pytest.param("autostart", 1, "autostart: expected bool", id="number for a bool"),
        pytest.param("overlay.boxes", "yes", "overlay.boxes: expected bool", id="text for a bool"),
        pytest.param("runtime.backend", "abacus", "expected one of auto, .*, got 'abacus'", id="unknown choice"),
        pytest.param("grouping", "guess", "grouping: expected one of .*, got 'guess'", id="unknown grouping"),
        pytest.param("decoder.dark_kernel", 4, "dark_kernel: expected an odd number, got 4", id="even kernel"),
        pytest.param("cameras", "front", "cameras: expected list", id="string instead of a list"),
        pytest.param("cameras", ["front", "front"], "cameras: expected unique names", id="duplicate names"),
        pytest.param("cameras", ["front", ""], "expected names of letters", id="camera without a name"),
        pytest.param("cameras", ["/front"], "expected names of letters", id="absolute name"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(graph: Any, name: str, value: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        declare_parameters(node_with(graph, {name: value}))


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        pytest.param("lazy", False, "off", id="lazy: off"),
        pytest.param("max_rate", 1, 1.0, id="max_rate: 1"),
        pytest.param("jpeg_quality", 50.0, 50, id="jpeg_quality: 5e1"),
    ],
)
def test_a_value_that_yaml_types_otherwise_keeps_its_meaning(
    graph: Any, settings: Any, name: str, value: Any, meaning: Any
) -> None:
    node = node_with(graph, {name: value})
    config = declare_parameters(node)
    assert (getattr(config, name), type(node.get_parameter(name).value)) == (meaning, type(meaning))
    if hasattr(node, "add_pre_set_parameters_callback"):  # not in Humble
        assert settings.set(**{name: value}).successful and getattr(settings.config, name) == meaning


def test_a_parameter_without_meaning_is_reported_with_the_nearest_name(graph: Any) -> None:
    names = ("decoder.score_treshold", "score_threshold", "qos_overrides./image.subscripton.depth", "zzz", "max_rate")
    node = node_with(graph, {**dict.fromkeys(names, 1), "use_sim_time": False})
    declare_parameters(node)
    wrong, other_group, policy, far = find_unknown_parameters(node)
    assert wrong == (
        "parameter decoder.score_treshold: expected a parameter of this node, got an unknown name; "
        "did you mean decoder.score_threshold?"
    )
    assert "did you mean decoder.score_threshold or overlay.score_threshold" in other_group
    assert "qos_overrides" in policy and far.endswith("got an unknown name")


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        pytest.param("/**", None, id="any node"),
        pytest.param("/robot/eyes", None, id="full name"),
        pytest.param("robot:\n eyes", None, id="nested"),
        pytest.param("/*/eyes", None, id="any namespace"),
        pytest.param("/**/eyes", None, id="any namespaces"),
        pytest.param("/*/*/eyes", "/*/*/eyes", id="two namespaces"),
        pytest.param("eyes", "/eyes", id="without namespace"),
        pytest.param("/robot/eye", "/robot/eye", id="misspelt"),
        pytest.param("camera_driver", "", id="another node"),
    ],
)
def test_a_parameter_file_for_other_nodes_is_reported(
    graph: Any, tmp_path: Path, section: str, hint: str | None
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{section}:\n  ros__parameters: {{max_rate: 5.0}}\n")
    node = graph.add(rclpy.create_node("eyes", context=graph.context, namespace="/robot"))
    found = list(find_unused_files(node, ["pose_node", "--ros-args", "--params-file", str(path)]))
    if hint is None:
        assert found == []
        return
    (line,) = found
    assert line.startswith(f"{path}: expected a section /robot/eyes or /**, got only sections of other nodes (/")
    assert line.endswith(f"rename {hint} to /robot/eyes" if hint else "nothing of this file")


def test_descriptors_have_ranges_and_units(graph: Any) -> None:
    node = node_with(graph, {})
    declare_parameters(node)
    threshold = node.describe_parameter("decoder.score_threshold")
    assert threshold.description == "Lowest heatmap value of a keypoint. 0 = the value in the description of the model."
    assert [(r.from_value, r.to_value) for r in threshold.floating_point_range] == [(0.0, 1.0)]
    side = node.describe_parameter("preprocess.short_side")
    assert side.description.endswith("[px]")
    assert [(r.from_value, r.to_value) for r in side.integer_range] == [(-1, 4096)]
    assert node.describe_parameter("runtime.backend").additional_constraints.startswith("one of auto, ")


@pytest.fixture
def settings(graph: Any) -> Any:
    """Make the settings of a node while its model is in use. The model rejects ``max_people = 13``."""

    def check(config: NodeConfig) -> None:
        if config.decoder.max_people == 13:
            raise ValueError("the model rejects 13")

    node = node_with(graph, {})
    settings = LiveSettings(node, check, lambda: True)
    settings.set = lambda **values: node.set_parameters_atomically(
        [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    )
    return settings


def test_live_parameters_change_together(settings: Any) -> None:
    before = settings.config
    assert settings.set(decoder__max_people=5, max_rate=7.5, overlay__boxes=True).successful
    config = settings.config
    assert (config.decoder.max_people, config.max_rate, config.overlay.boxes) == (5, 7.5, True)
    assert before == NodeConfig()  # the old object keeps its values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param({"max_rate": 5.0, "decoder__dark_kernel": 4}, "expected an odd number", id="even kernel"),
        pytest.param({"max_rate": 5.0, "decoder__max_people": -1}, "decoder.max_people", id="out of range"),
        pytest.param({"max_rate": 5.0, "lazy": "always"}, "one of drop, keep, never, off, got 'always'", id="choice"),
        pytest.param({"max_rate": 5.0, "overlay__boxes": 1}, "expected 'Type.BOOL'", id="type"),
        pytest.param({"max_rate": 5.0, "decoder__max_people": 13}, "the model rejects 13", id="rejected by the model"),
        pytest.param({"max_rate": 5.0, "cameras": ["front"]}, "cameras", id="read-only"),
        pytest.param({"max_rate": 5.0, "model": "other.onnx"}, "model is in use; deactivate", id="model in use"),
        pytest.param({"max_rate": 5.0, "runtime__threads": 2}, "model is in use; deactivate", id="runtime in use"),
    ],
)
def test_one_bad_value_refuses_all_with_the_reason(settings: Any, values: dict[str, Any], reason: str) -> None:
    result = settings.set(**values)
    assert not result.successful and reason in result.reason
    assert settings.config == NodeConfig()


def test_model_settings_change_while_the_model_is_not_in_use(settings: Any) -> None:
    assert settings.set(runtime__threads=0).successful  # no change
    settings._in_use = lambda: False
    assert settings.set(model="other.onnx", runtime__threads=2).successful
    assert (settings.config.model, settings.config.runtime.threads) == ("other.onnx", 2)


def test_other_parameters_of_the_node_are_ignored(settings: Any, graph: Any) -> None:
    assert settings.set(use_sim_time=True).successful
    assert settings.config == NodeConfig()


def test_former_names_still_work_with_a_warning_each(graph: Any, log: Any) -> None:
    config = declare_parameters(node_with(graph, {"markers.joint_m": 0.25, "markers.bone_m": 0.125}))
    assert (config.markers.keypoint_m, config.markers.limb_m) == (0.25, 0.125)
    for old, new in (("joint_m", "keypoint_m"), ("bone_m", "limb_m")):
        line = f"parameter markers.{old} is now markers.{new}: use the new name"
        graph.until(lambda line=line: log.find(line), "the node warns")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"markers.joint_m": 0.25, "markers.keypoint_m": 0.5}, "expected keypoint_m alone, got both names"),
        ({"markers.joint_m": "null"}, "markers.keypoint_m: expected a number, got str 'null'"),
        ({"markers.bone_m": 5.0}, "limb_m: expected 0.001 to 1.0, got 5.0"),
    ],
)
def test_a_wrong_value_under_a_former_name_is_refused(graph: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        declare_parameters(node_with(graph, values))


def test_a_dump_of_the_parameters_starts_the_node_again(graph: Any) -> None:
    """`ros2 param dump` writes every listed parameter. A parameter without a value would become the text null."""
    first = node_with(graph, {"max_rate": 5.0})
    declare_parameters(first)
    dumped = {name: parameter.value for name, parameter in first.get_parameters_by_prefix("").items()}
    assert {p.name for p in parameters()} <= set(dumped) and None not in dumped.values()
    assert declare_parameters(node_with(graph, dumped)).max_rate == 5.0


@pytest.mark.parametrize(
    ("name", "changes"),
    [("decoder.max_people", "live"), ("lazy", "live"), ("runtime.threads", "configure"), ("cameras", "restart")],
)
def test_documents_tell_when_a_change_takes_effect(graph: Any, name: str, changes: str) -> None:
    node = node_with(graph, {})
    declare_parameters(node)
    assert {p.name: p.changes for p in parameters()}[name] == changes
    assert node.describe_parameter(name).read_only == (changes == "restart")
    (entry,) = re.findall(rf"- `{name}` \(([^)]*)\):", FILES["docs/parameters.md"](), re.DOTALL)
    assert entry.split()[-1] == changes


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), (
        "run: python -m pose_ros.ros.parameters.documents ."
    )


def test_the_yaml_file_holds_every_default() -> None:
    flat: dict[str, Any] = {}
    for name, value in yaml.safe_load(FILES["config/camera.yaml"]())["/**"]["ros__parameters"].items():
        flat.update({f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value})
    defaults = {parameter.name: parameter.default for parameter in parameters()}
    assert flat == defaults
    assert {name: type(value) for name, value in flat.items()} == {n: type(v) for n, v in defaults.items()}


def test_the_example_for_moving_robots_is_valid() -> None:
    example = yaml.safe_load((ROOT / "config/moving_robot.yaml").read_text())["/**"]["ros__parameters"]
    values = {f"{stage}.{name}": value for stage, entries in example.items() for name, value in entries.items()}
    assert values.keys() <= {parameter.name for parameter in parameters()}
    assert config_of(values) != NodeConfig()


def test_a_list_of_numbers_can_be_set_and_set_again(graph: Any) -> None:
    node = node_with(graph, {"preprocess.scales": [256, 448]})
    in_use = False
    settings = LiveSettings(node, lambda config: None, lambda: in_use)
    assert settings.config.preprocess.scales == (256, 448)

    def set_scales(*sides: int) -> Any:
        return node.set_parameters([Parameter("preprocess.scales", value=list(sides))])[0]

    assert set_scales(128, 256).successful and settings.config.preprocess.scales == (128, 256)
    in_use = True
    assert set_scales(128, 256).successful  # unchanged
    refused = set_scales(192, 256)
    assert not refused.successful and "expected no change while the model is in use" in refused.reason


def test_auto_is_a_word_for_the_short_side(graph: Any) -> None:
    node = node_with(graph, {"preprocess.short_side": "auto"})
    settings = LiveSettings(node, lambda config: None, lambda: False)
    assert settings.config.preprocess.short_side == AUTO
    assert node.set_parameters([Parameter("preprocess.short_side", value=256)])[0].successful
    if hasattr(node, "add_pre_set_parameters_callback"):  # not in Humble
        assert node.set_parameters([Parameter("preprocess.short_side", value="auto")])[0].successful
        assert settings.config.preprocess.short_side == AUTO
    assert not node.set_parameters([Parameter("preprocess.short_side", value="large")])[0].successful


def test_sizes_in_turn_need_tracking(graph: Any) -> None:
    in_turn = {"preprocess.scales": [256, 448], "preprocess.scale_order": "alternate"}
    settings = LiveSettings(node := node_with(graph, in_turn), lambda config: None, lambda: False)
    refused = node.set_parameters([Parameter("tracking.enabled", value=False)])[0]
    assert not refused.successful and "expected together without tracking" in refused.reason
    assert settings.config.tracking.enabled
    with pytest.raises(ValueError, match=r"preprocess\.scale_order: expected together without tracking"):
        LiveSettings(node_with(graph, {**in_turn, "tracking.enabled": False}), lambda config: None, lambda: False)
