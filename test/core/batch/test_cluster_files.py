"""Test the files for clusters as far as one machine allows: with the variables that a cluster would set."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import recordings
import yaml
from batch_pool import InlinePool
from cli_runner import run as run_program

EXAMPLES = Path(__file__).parents[3] / "examples/cluster"
FAST = ("--runtime", "onnx", "--threads", "1")
pytestmark = pytest.mark.usefixtures("people_by_brightness")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = recordings.write_images(tmp_path / "data", [f"{index}.png" for index in range(5)])
    (folder / "inputs.txt").write_text("".join(f"{folder}/{index}.png\n" for index in range(5)))
    return folder


def names(pools: list[InlinePool]) -> list[str]:
    return sorted(task.input.path.name for pool in pools for task in pool.done)


def test_a_slurm_array_does_each_input_once(
    data: Path, pools: list[InlinePool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/pose_ros"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')  # the test runs the program itself
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    for number in range(3):
        array = {"ID": number, "MIN": 0, "MAX": 2, "COUNT": 3}
        for name, value in array.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
        command = ["bash", str(EXAMPLES / "slurm_array.sh"), str(data / "inputs.txt"), str(tmp_path / "out"), *FAST]
        done = subprocess.run(command, env={**os.environ, "PATH": path}, text=True, capture_output=True, check=True)
        result = run_program(*done.stdout.splitlines())
        assert result.exit_code == 0, result.output
    assert names(pools) == [f"{index}.png" for index in range(5)] and pools[0].size == 2
    assert run_program("batch", "--merge", tmp_path / "out", "--out", tmp_path / "out").exit_code == 0


def test_the_slurm_file_explains_its_arguments() -> None:
    done = subprocess.run(["bash", EXAMPLES / "slurm_array.sh"], text=True, capture_output=True, check=False)
    assert done.returncode != 0 and "expected: sbatch slurm_array.sh INPUTS.txt RESULTS_FOLDER" in done.stderr


def test_an_indexed_job_does_each_input_once(
    data: Path, pools: list[InlinePool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed" and job["completions"] == 20
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables == {"JOB_COMPLETIONS": str(job["completions"])}
    monkeypatch.setenv("JOB_COMPLETIONS", variables["JOB_COMPLETIONS"])
    arguments = [argument.replace("/data", str(data)) for argument in container["args"]]
    for index in range(job["completions"]):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        result = run_program(*container["command"][1:], *arguments, *FAST)
        assert result.exit_code == 0, result.output
    assert names(pools) == [f"{index}.png" for index in range(5)]
    assert run_program("batch", "--merge", data / "results", "--out", data / "results").exit_code == 0


def test_the_ray_cluster_runs_a_command_of_this_program() -> None:
    text = (EXAMPLES / "ray_cluster.yaml").read_text()
    cluster: dict[str, Any] = yaml.safe_load(text)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    command = text.partition("ray exec ray_cluster.yaml '")[2].partition("'")[0].replace("\n#", " ").split()
    assert command[:2] == ["pose_ros", "batch"]
    helped = run_program(*command[1:], "--help")
    assert helped.exit_code == 0 and all(option in helped.output for option in command if option.startswith("--"))
