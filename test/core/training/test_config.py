"""Test the configuration of a run: valid settings, their meaning, and error messages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pose_ros.config_file import build_config, to_plain, write_config
from pose_ros.skeleton import COCO_17
from pose_ros.training.config import TrainingConfig, load_config

LEAST = "network: some\noutput: run\nsteps: 5\ndata: [{labels: a.json}]\n"


def write_config_file(folder: Path, text: str = LEAST, name: str = "run.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_paths_start_from_the_file_that_names_them(tmp_path: Path) -> None:
    write_config_file(tmp_path / "base", "init: {file: weights.pt}\ndata: [{labels: set/a.json, images: /photos}]\n")
    top = write_config_file(tmp_path / "top", "extends: ../base/run.yaml\nnetwork: some\noutput: out\nsteps: 5\n")
    config = load_config(top)
    assert config.init.file == tmp_path / "base/weights.pt"
    assert config.output == tmp_path / "top/out"
    assert (config.data[0].labels, config.data[0].images) == (str(tmp_path / "base/set/a.json"), "/photos")


def test_assigned_paths_start_from_the_working_folder(tmp_path: Path, monkeypatch) -> None:
    path = write_config_file(tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    assert load_config(path, ["output=here"]).output == tmp_path / "here"


def test_a_file_changes_the_one_that_it_extends_entry_by_entry(tmp_path: Path) -> None:
    write_config_file(tmp_path, LEAST + "optimiser: {rate: 1.0, clip: 5.0, freeze: [a, b]}\n", "base.yaml")
    top = write_config_file(tmp_path, "extends: base.yaml\noptimiser: {rate: 2.0, freeze: [c]}\n", "top.yaml")
    optimiser = load_config(top, ["optimiser.clip=3"]).optimiser
    assert (optimiser.rate, optimiser.clip, optimiser.freeze) == (2.0, 3.0, ("c",))


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    write_config_file(tmp_path, "extends: b.yaml", "a.yaml")
    write_config_file(tmp_path, "extends: a.yaml", "b.yaml")
    with pytest.raises(ValueError, match="extends itself"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [("optimiser.rate=1e-3", 0.001), ("optimiser.rate=2", 2.0), ("optimiser.name=adam", "adam")],
    ids=["number that YAML reads as text", "integer", "text"],
)
def test_assigned_values(tmp_path: Path, assignment: str, value: object) -> None:
    optimiser = load_config(write_config_file(tmp_path), [assignment]).optimiser
    got = getattr(optimiser, assignment.split("=", maxsplit=1)[0].split(".")[1])
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("optimizer: {}", "optimizer: expected a setting such as optimiser, .*got 'optimizer'"),
        ("optimiser: {learning_rate: 1}", "optimiser.learning_rate: expected a setting such as .*rate"),
        ("data: [{lables: x}]", r"data\[0\].lables: expected a setting such as labels"),
        ("optimiser: {rate: fast}", "optimiser.rate: expected a number, got str 'fast'"),
        ("optimiser: [1]", "optimiser: expected names and values, got list"),
        ("precision: fp64", "precision: expected one of fp32, bf16, fp16, got 'fp64'"),
        ("batch: 0", "batch: expected 1 to 65536, got 0"),
        ("accumulation: 3", r"batch: expected a multiple of accumulation \(3\), got 16"),
        ("epochs: 3", "steps, epochs: expected one of them, got 5 and 3"),
        ("data: []", "data: expected at least one training set"),
        ("data: here", "data: expected a list, got .*'here'"),
        ("size_wh: [320]", "size_wh: expected 2 values, got 1"),
        ("skeleton: cocoo", "skeleton: expected one of coco_17, .*got 'cocoo'"),
        ("init: {file: 3}", "init.file: expected a path, got int 3"),
        ("a: [", "expected YAML, got"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, error: str) -> None:
    key = more.split(":", maxsplit=1)[0]
    kept = "\n".join(line for line in LEAST.splitlines() if not line.startswith(f"{key}:"))
    with pytest.raises((ValueError, TypeError), match=error):
        load_config(write_config_file(tmp_path, f"{kept}\n{more}\n"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="network"):
        load_config(write_config_file(tmp_path, "output: a\nsteps: 3\n"))
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_an_assignment_needs_a_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--set: expected NAME=VALUE, got 'steps'"):
        load_config(write_config_file(tmp_path), ["steps"])


def test_known_and_custom_skeletons(tmp_path: Path) -> None:
    own = "skeleton: {name: cup, keypoint_names: [rim, base, left_handle], limbs: [[rim, base], [1, 2]]}\n"
    assert load_config(write_config_file(tmp_path, LEAST + "skeleton: coco_17\n")).skeleton == COCO_17
    cup = load_config(write_config_file(tmp_path, LEAST + own)).skeleton
    assert cup is not None and cup.limbs == ((0, 1), (1, 2)) and len(cup.sigmas) == 3
    wrong = own.replace("[rim, base]]", "").replace("[[rim, base]", "[[rim, lid]")
    with pytest.raises(ValueError, match=r"skeleton.limbs: expected keypoints of this skeleton \(rim, .*got 'lid'"):
        load_config(write_config_file(tmp_path, LEAST + wrong))


def test_written_settings_are_read_back(tmp_path: Path) -> None:
    own = "skeleton: {name: cup, keypoint_names: [rim, base], limbs: [[rim, base]]}\ninit: {file: w.pt}\n"
    config = load_config(write_config_file(tmp_path, LEAST + own))
    write_config(config, tmp_path / "other/again.yaml")
    assert load_config(tmp_path / "other/again.yaml") == config
    assert build_config(TrainingConfig, yaml.safe_load(yaml.safe_dump(to_plain(config))), "") == config


CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_of_this_repository_are_valid(path: Path) -> None:
    config = load_config(path)
    assert config.data and (config.steps or config.epochs)
