"""Test docs/training.md and configs/: valid settings, readable labels, existing commands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import get_type_hints

import cv2
import numpy as np
import pytest
import typer
import yaml

from pose_ros.cli import app
from pose_ros.datasets.sample import ABSENT, LABELLED, UNKNOWN
from pose_ros.datasets.sets import DataConfig, open_data_set
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.skeleton import COCO_17
from pose_ros.training.config import TrainingConfig, load_config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/training.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
LEAST = {"network": "some", "output": "run", "steps": 1, "data": [{"labels": "a.json"}]}
COMMANDS = [line.strip() for line in PAGE.splitlines() if re.match(r"    (pose_ros|torchrun) ", line)]


def code_blocks(language: str) -> list[str]:
    """Return the fenced examples of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", code_blocks("yaml"), ids=lambda text: text.splitlines()[0][:40])
def test_every_example_is_valid(tmp_path: Path, example: str) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**LEAST, **yaml.safe_load(example)}))
    assert load_config(tmp_path / "run.yaml").steps == 1


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_explained(path: Path) -> None:
    config = load_config(path)
    assert f"configs/{path.name}" in PAGE and config.name


def test_fine_tuning_begins_with_the_default_model() -> None:
    tuned, default = (load_config(ROOT / "configs" / name) for name in ("finetune.yaml", "default.yaml"))
    assert tuned.init.file is not None and tuned.init.file.name == "default"
    assert (tuned.network, tuned.skeleton) == (default.network, default.skeleton)


def test_the_table_of_settings_names_them_as_they_are() -> None:
    table = PAGE.split("### The configuration")[1].split("###")[0]
    named = [
        name for row in table.splitlines() if row[:3] == "| `" for name in re.findall(r"`(.+?)`", row.split("|")[1])
    ]
    assert len(named) > 20
    for name in named:
        kind = TrainingConfig
        for part in name.split("."):
            kind = get_type_hints(kind)[part]


def test_the_example_of_labels_is_read(tmp_path: Path) -> None:
    (example,) = code_blocks("json")
    (tmp_path / "labels.json").write_text(example)
    cv2.imwrite(str(tmp_path / json.loads(example)["images"][0]["file_name"]), np.zeros((480, 640, 3), np.uint8))
    (sample,) = open_data_set(DataConfig("coco", labels=str(tmp_path / "labels.json")), COCO_17)
    states = dict(zip(COCO_17.keypoint_names, sample.states[0], strict=True))
    assert (states["nose"], states["left_hip"]) == (LABELLED, LABELLED)
    assert (states["right_hip"], states["left_wrist"]) == (ABSENT, UNKNOWN)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)
    name, *rest = words[words.index("pose_ros") + 1 :]
    typer.main.get_command(app).commands[name].make_context(name, rest)  # raises if an option is unknown or missing
    assert all((ROOT / word).is_file() for word in rest if word.startswith("configs/"))


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", PAGE))
def test_every_link_leads_somewhere(link: str) -> None:
    if not link.startswith("http"):
        assert link == "networks.md" or (ROOT / "docs" / link).is_file()  # networks.md is written by a benchmark


class TestWeightsToBeginWith:
    """``init.file`` as described on the page."""

    @pytest.fixture(autouse=True)
    def needs_torch(self) -> None:
        pytest.importorskip("torch")

    def test_default_is_the_model_of_this_package(self, tmp_path: Path) -> None:
        from pose_ros.training import start

        (tmp_path / "default").mkdir()  # e.g. the output folder of a run
        assert start.weights_file(tmp_path / "default") == DEFAULT_MODEL
        assert start.weights_file(tmp_path / "other.pt") == tmp_path / "other.pt"

    def test_a_model_with_folded_normalisations_is_refused(self, tmp_path: Path) -> None:
        pytest.importorskip("onnx")
        from pose_ros.export.to_onnx import ExportOptions, export
        from pose_ros.network import zoo
        from pose_ros.training import start

        export(zoo.build("pose_ros_mobilenet_v1_075"), tmp_path / "model.onnx", ExportOptions(size_wh=(64, 64)))
        config = load_config(ROOT / "configs/finetune.yaml", [f"init.file={tmp_path / 'model.onnx'}"])
        with pytest.raises(ValueError, match=r"expected an ONNX file of pose_ros export --compact"):
            start.build_initial_network(config)

    def test_a_run_begins_with_them(self) -> None:
        import torch

        from pose_ros.checkpoint import load_checkpoint
        from pose_ros.training import start

        source = load_checkpoint(DEFAULT_MODEL)
        config = load_config(ROOT / "configs/finetune.yaml", ["seed=5"])
        network, note = start.build_initial_network(config)
        total = len(source.state_dict())
        assert note == f"initial weights: {total} (all) of {total} entries from {DEFAULT_MODEL}"
        torch.testing.assert_close(network.state_dict(), source.state_dict())
        assert (network.spec.name, network.spec.licence) == ("my_camera", "proprietary")

    def test_a_skeleton_of_ones_own_takes_what_fits(self, tmp_path: Path) -> None:
        from pose_ros.training import start

        (example,) = (text for text in code_blocks("yaml") if text.startswith("skeleton:"))
        settings = {**LEAST, **yaml.safe_load(example), "network": "pose_ros_movenet"}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
        network, note = start.build_initial_network(load_config(tmp_path / "run.yaml"))
        assert "(fitting, missing added.1.weight" in note
        assert len(network.spec.skeleton) == 6
