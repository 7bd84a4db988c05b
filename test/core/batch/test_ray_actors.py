"""Test a batch on a real Ray cluster of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recordings

from pose_ros.batch.inputs import Input, find_inputs
from pose_ros.batch.manifest import Manifest, Row, read_rows
from pose_ros.batch.processes import ProcessPool
from pose_ros.batch.ray_actors import RayPool
from pose_ros.batch.recipe import Recipe
from pose_ros.batch.run import BatchRun
from pose_ros.batch.shards import Shard
from pose_ros.config import EstimatorConfig, PreprocessConfig, RuntimeConfig

EMPTY = Row("", "", 0, 0, 0.0, "", "", "", "", (), "", 0, 0, "")
CONFIG = EstimatorConfig(PreprocessConfig(short_side=64), RuntimeConfig(threads=1))


pytestmark = pytest.mark.slow


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Input]:
    monkeypatch.chdir(tmp_path)  # the processes of Ray import from this folder first, but should use the built package
    folder = tmp_path / "data"
    folder.mkdir()
    for index in range(6):
        recordings.write_video(folder / f"walk_{index}.avi", 30)
    return find_inputs([str(folder)], out=tmp_path / "out", root=None)


def run(pool: Any, inputs: list[Input], out: Path, on_row: Any = lambda row: None) -> list[Row]:
    """Run a batch, and return all rows, also earlier ones of the same input."""
    with Manifest(out, Shard()) as manifest, pool:
        make_row = lambda entry: replace(EMPTY, input=entry.name)  # noqa: E731
        BatchRun(inputs, pool, manifest, make_row, lambda report: None, on_row, lambda note: None).run()
    return read_rows(out / "manifest.jsonl")


def results(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("*.people.jsonl")}


def test_every_result_is_there_once_although_an_actor_is_killed(inputs: list[Input], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray>=2.20'")
    run(ProcessPool(Recipe(tmp_path / "calm", runtime="onnx", config=CONFIG), 1), inputs, tmp_path / "calm")
    pool = RayPool(Recipe(tmp_path / "out", runtime="onnx", config=CONFIG, piece_s=1.0), 2, "local")
    killed: list[Any] = []

    def kill_one(row: Row) -> None:
        if not killed and pool._running:
            killed.append(next(iter(pool._running.values()))[0])
            ray.kill(killed[0], no_restart=False)

    rows = run(pool, inputs, tmp_path / "out", kill_one)
    assert killed and not ray.is_initialized()
    assert sorted(row.input for row in rows) == [entry.name for entry in inputs]
    assert {row.state for row in rows} == {"done"} and {row.frames for row in rows} == {30}
    assert results(tmp_path / "out") == results(tmp_path / "calm")


def test_an_actor_that_cannot_load_the_model_ends_the_batch(inputs: list[Input], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'ray>=2.20'")
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    recipe = Recipe(tmp_path / "out", model=tmp_path / "model.onnx", runtime="onnx", config=CONFIG)
    with pytest.raises(RuntimeError, match=r"model\.onnx"):
        run(RayPool(recipe, 1, "local"), inputs, tmp_path / "out")


def test_ray_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match=r"--ray: expected Ray, got none; pip install 'ray>=2.20'"):
        RayPool(Recipe(tmp_path), 1, "local")
