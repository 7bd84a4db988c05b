"""Test configuration files: former names, assignments, and plain data in both directions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pose_ros.config import MarkersConfig
from pose_ros.config_file import build_config, merge_assignments, read_config, to_plain, write_config
from pose_ros.skeleton import COCO_17, Skeleton
from pose_ros.training.config import load_config


@dataclass(frozen=True)
class Outer:
    """Configuration with one stage."""

    markers: MarkersConfig = field(default_factory=MarkersConfig)
    skeleton: Skeleton = COCO_17
    rate: float = 1.0


def test_a_former_name_is_accepted_with_one_warning() -> None:
    with pytest.warns(FutureWarning, match=r"^markers.joint_m is now markers.keypoint_m: use the new name$") as caught:
        built = build_config(Outer, {"markers": {"joint_m": 0.25}})
    assert built.markers == MarkersConfig(keypoint_m=0.25) and len(caught) == 1


def test_a_current_name_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_config(Outer, {"markers": {"limb_m": 0.25}}).markers.limb_m == 0.25


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^markers.bone_m: expected limb_m alone, got both names$"):
        build_config(Outer, {"markers": {"bone_m": 0.25, "limb_m": 0.25}})


def test_assignments_override_single_entries() -> None:
    given = {"markers": {"keypoint_m": 0.25, "limb_m": 0.5}, "rate": 2}
    merged = merge_assignments(given, ["markers.limb_m=0.125", "rate=1e-3"])
    built = build_config(Outer, merged)
    assert (built.markers.keypoint_m, built.markers.limb_m, built.rate) == (0.25, 0.125, 0.001)
    assert given["markers"] == {"keypoint_m": 0.25, "limb_m": 0.5}


@pytest.mark.parametrize("text", ["rate", "=1"])
def test_an_assignment_needs_a_name_and_an_equals_sign(text: str) -> None:
    with pytest.raises(ValueError, match=f"--set: expected NAME=VALUE, got '{text}'"):
        merge_assignments({}, [text])


def test_an_assignment_without_a_value_is_null() -> None:
    assert merge_assignments({"init": {"file": "a.pt"}}, ["init.file="]) == {"init": {"file": None}}


def test_a_written_configuration_is_read_back(tmp_path: Path) -> None:
    config = Outer(MarkersConfig(colour="person"), Skeleton("two", ("a", "b"), ((0, 1),)), 0.5)
    write_config(config, tmp_path / "new" / "config.yaml")
    assert read_config(Outer, tmp_path / "new" / "config.yaml") == config
    assert to_plain(Outer())["skeleton"] == "coco_17"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"markers": {"lifetime_s": True}}, "markers.lifetime_s: expected a number, got bool True"),
        ({"markers": {"colour": False}}, "markers.colour: expected text, got bool False; put it in quotes"),
        ({"skeleton": {"keypoint_names": ["a"]}}, "skeleton: expected also name, got keypoint_names, limbs, "),
        ({"mark": {}}, "mark: expected a setting such as markers, got 'mark'"),
        ({"limb_m": 0.1}, "limb_m: expected a setting such as markers.limb_m, got 'limb_m'"),
        (3, "configuration: expected names and values, got int 3"),
    ],
)
def test_errors_name_the_wrong_entry(data: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        build_config(Outer, data)


def test_errors_name_the_type_of_yaml_text() -> None:
    with pytest.raises(TypeError, match=r"^markers: expected names and values, got str 'steps'$"):
        build_config(Outer, merge_assignments({}, ["markers=steps"]))


def test_the_configuration_of_a_run_can_be_used_again(tmp_path: Path) -> None:
    """Empty paths and texts of a file are plain texts in the next file."""
    (tmp_path / "run.yaml").write_text(
        "{network: n, output: out, steps: 3, data: [{labels: a.json, category: [person]}], skeleton: "
        "{name: s, keypoint_names: [a, b], limbs: [[a, b]]}}"
    )
    configs = [load_config(tmp_path / "run.yaml")]
    for number in range(3):
        write_config(configs[-1], tmp_path / f"{number}" / "config.yaml")
        configs.append(load_config(tmp_path / f"{number}" / "config.yaml"))
    assert configs[1:] == 3 * configs[:1] and configs[0].data[0].labels == str(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{extends: 5}", "run.yaml: extends: expected the name of a file, got int 5"),
        ("{extends: " + "x" * 300 + "}", "configuration: expected a YAML file, got .*, which does not exist"),
        ("{skeleton: {name: s, keypoint_names: [a], limbs: 5}}", "skeleton.limbs: expected a list of pairs"),
        ("{optimiser: {rate: 1" + 399 * "0" + "}}", "optimiser.rate: expected a number, got int 1000"),
        ("{steps: " + "x" * 9000 + "}", "steps: expected a whole number, got str"),
    ],
    ids=["extends", "long name", "limbs", "huge number", "long text"],
)
def test_wrong_values_are_reported_in_a_short_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text[:-1] + ", network: n, output: o, data: []}")
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as caught:
        load_config(tmp_path / "run.yaml")
    assert len(str(caught.value)) < 500
