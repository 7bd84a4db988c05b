"""Test the second network in the commands ``image``, ``video`` and ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import label_files
import numpy as np
import pytest
from cli_runner import run
from crop_network import paint, write_crop_network

FAST = ["--runtime", "onnx", "--threads", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    return write_crop_network(tmp_path_factory.mktemp("crop") / "crop.onnx")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(4):
        cv2.imwrite(str(folder / f"{n}.png"), paint(np.zeros((200, 200, 3), np.uint8), (90 + 4 * n, 50)))
    return folder


def marks(file: Path) -> list[bool | None]:
    lines = map(json.loads, file.read_text().splitlines())
    return [line["people"][0].get("refined") for line in lines]


def refine(model: Path, *settings: str) -> list[str]:
    return [argument for each in (f"model={model}", *settings) for argument in ("--set", f"refinement.{each}")]


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("image", ["period=2"], [True] * 4),
        ("video", ["period=2"], [True, False, True, False]),
        ("video", ["min_person_px=150"], [False] * 4),
        ("video", [], [True] * 4),
    ],
)
def test_the_table_marks_who_was_refined(
    tmp_path: Path, images: Path, model: Path, command: str, settings: list[str], expected: list[bool]
) -> None:
    table = tmp_path / "people.jsonl"
    result = run(command, images, "--json", table, "--model", model, *FAST, *refine(model, *settings))
    assert result.exit_code == 0, result.output
    assert marks(table) == expected


def test_without_a_second_network_nothing_is_marked(tmp_path: Path, images: Path, model: Path) -> None:
    assert run("image", images, "--json", tmp_path / "p.jsonl", "--model", model, *FAST).exit_code == 0
    assert marks(tmp_path / "p.jsonl") == [None] * 4


def test_evaluate_measures_the_time_of_the_refinement(tmp_path: Path, model: Path) -> None:
    labels = label_files.write_coco(tmp_path, [label_files.make_annotation(xy=label_files.standing_person())])
    result = run("evaluate", model, "--data", labels, *FAST, *refine(model))
    assert result.exit_code == 0, result.output
    assert "refine, ms" in result.output


def test_the_second_network_is_no_output(images: Path, model: Path) -> None:
    result = run("image", images, "--json", model, *FAST, *refine(model))
    assert result.exit_code == 1 and "expected a file other than the inputs" in result.stderr
