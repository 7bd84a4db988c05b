"""Test the trainer: learning, resuming after a kill, and several processes."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")
import tiny_training  # noqa: E402
from tiny_training import make_config, make_inputs, tiny_network  # noqa: E402

from pose_ros.checkpoint.reading import read_file  # noqa: E402
from pose_ros.training.trainer import Trainer  # noqa: E402

PROGRAM = Path(tiny_training.__file__)
MEASURED = {"images_per_s", "wait_share"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder:
    """Watcher that records all texts, rows and scores."""

    def __init__(self) -> None:
        self.texts, self.rows, self.validations = [], [], []

    def progress(self, status) -> None:
        self.rows.append(status)

    def scores(self, step, scores) -> None:
        self.validations.append((step, scores))

    def notify(self, text) -> None:
        self.texts.append(text)


def train(output: Path, steps: int, *, inputs=None, fresh=False, **more) -> Recorder:
    recorder = Recorder()
    Trainer(make_config(output, steps, **more), inputs or make_inputs(), [recorder], fresh).run()
    return recorder


def read_rows(output: Path) -> list[dict[str, str]]:
    """Read the log without the measured times."""
    with (output / "log.csv").open() as file:
        return [{name: row[name] for name in row if name not in MEASURED} for row in csv.DictReader(file)]


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    return read_file(file)["state_dict"]


def start_process(output: Path, steps: int, *settings: str) -> subprocess.Popen:
    """Start a training run in a separate process, slow enough to be interrupted."""
    command = [sys.executable, str(PROGRAM), str(output), str(steps), "delay_s=0.01", *settings]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_row(process: subprocess.Popen, output: Path, step: int) -> None:
    end = time.monotonic() + 600
    while not (output / "log.csv").is_file() or len(read_rows(output)) < step:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted_run(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    train(output, 24)
    return output


def test_training_writes_weights_contact_sheets_and_a_card(tmp_path: Path) -> None:
    recorder = train(tmp_path, 60, validation={"pictures": 2, "steps": 30})
    losses = [row.losses["loss"] for row in recorder.rows]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:3])
    (early, first), (late, last) = recorder.validations
    assert (early, late) == (30, 60) and last["loss"] < first["loss"]
    assert 0 <= last["AP_paf"] <= 100 and 0 <= last["AP_tag"] <= 100
    assert sum(last[part] for part in ("heatmaps", "pafs", "pull", "push")) == pytest.approx(last["loss"], rel=1e-4)
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2
    card = (tmp_path / "model.md").read_text()
    assert "# tiny" in card and "| steps | 60 of 4 samples" in card and "batch: 4" in card
    network = tiny_network(seed=5)
    network.load_state_dict(read_weights(tmp_path / "model.pt"))


def test_a_killed_and_resumed_run_gives_the_same_numbers(tmp_path: Path, uninterrupted_run: Path) -> None:
    process = start_process(tmp_path, 24, "loader={workers: 1}")
    wait_for_row(process, tmp_path, 13)
    process.kill()
    process.communicate(timeout=180)  # returns when no worker holds the pipe any more
    assert process.returncode == -signal.SIGKILL
    assert 13 <= len(read_rows(tmp_path)) < 24
    recorder = train(tmp_path, 24)
    assert any(text == "resumed after step 10" for text in recorder.texts)
    assert read_rows(tmp_path) == read_rows(uninterrupted_run)
    ours, reference = read_weights(tmp_path / "model.pt"), read_weights(uninterrupted_run / "model.pt")
    assert all(torch.equal(ours[name], reference[name]) for name in reference)


class Signaller:
    """Watcher that sends a signal to this process after a step. The run ends after the next one."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def progress(self, status) -> None:
        if status.step == self.step:
            os.kill(os.getpid(), self.number)

    def scores(self, step, scores) -> None:
        pass

    def notify(self, text) -> None:
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path: Path, uninterrupted_run: Path, number: int) -> None:
    """The earlier handler gets the signal again, but only after the checkpoint is complete."""
    checkpoints, seen = tmp_path / "checkpoints", []
    before = signal.signal(number, lambda *_: seen.append({file.name for file in checkpoints.iterdir()}))
    try:
        Trainer(make_config(tmp_path, 24), make_inputs(), [Signaller(number, 7)]).run()
    finally:
        signal.signal(number, before)
    assert seen == [{"step_00000005.pt", "step_00000008.pt"}] and len(read_rows(tmp_path)) == 8
    assert not (tmp_path / "model.pt").exists()
    train(tmp_path, 24)
    assert read_rows(tmp_path) == read_rows(uninterrupted_run)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_bits(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(byte ^ 1 for byte in content[middle : middle + 200])
    file.write_bytes(bytes(content))


def replace_content(file: Path) -> None:
    torch.save({"state_dict": {}}, file)


@pytest.mark.parametrize("damage", [truncate, flip_bits, replace_content], ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_skipped(tmp_path: Path, uninterrupted_run: Path, damage) -> None:
    shutil.copytree(uninterrupted_run, tmp_path / "run")
    damage(tmp_path / "run/checkpoints/step_00000024.pt")
    recorder = train(tmp_path / "run", 24)
    assert "skipped: " in recorder.texts[0] and "step_00000024.pt" in recorder.texts[0]
    assert recorder.texts[1] == "resumed after step 20"
    assert read_rows(tmp_path / "run") == read_rows(uninterrupted_run)


def test_a_finished_run_takes_no_further_steps(tmp_path: Path, uninterrupted_run: Path) -> None:
    shutil.copytree(uninterrupted_run, tmp_path / "run")
    assert train(tmp_path / "run", 24).rows == []
    assert read_rows(tmp_path / "run") == read_rows(uninterrupted_run)


def test_changed_settings_are_reported(tmp_path: Path, uninterrupted_run: Path) -> None:
    shutil.copytree(uninterrupted_run, tmp_path / "run")
    recorder = train(tmp_path / "run", 26)
    assert "settings changed since the checkpoint: output, steps" in recorder.texts
    assert [row.step for row in recorder.rows] == [25, 26]


def test_fresh_renames_the_old_run(tmp_path: Path, uninterrupted_run: Path) -> None:
    shutil.copytree(uninterrupted_run, tmp_path / "run")
    assert len(train(tmp_path / "run", 3, fresh=True).rows) == 3
    assert read_rows(tmp_path / "run.1") == read_rows(uninterrupted_run) and len(read_rows(tmp_path / "run")) == 3


def test_old_checkpoints_are_deleted(uninterrupted_run: Path) -> None:
    assert sorted(file.name for file in (uninterrupted_run / "checkpoints").iterdir()) == [
        "step_00000020.pt",
        "step_00000024.pt",
    ]


def drop_statistics(state: dict) -> dict:
    return {name: value for name, value in state.items() if "running" not in name and "num_batches" not in name}


def assert_close(ours: Path, reference: Path) -> None:
    """Assert equal losses and weights, up to the order of additions."""
    for one, two in zip(read_rows(ours), read_rows(reference), strict=True):
        assert float(one["loss"]) == pytest.approx(float(two["loss"]), rel=2e-4)
    one, two = (drop_statistics(read_weights(run / "model.pt")) for run in (ours, reference))
    for name, value in two.items():
        assert torch.allclose(one[name], value, atol=2e-4, rtol=1e-2), name


def test_two_processes_equal_one_process_with_accumulation(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(PROGRAM), str(tmp_path / "two"), "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    train(tmp_path / "one", 6, accumulation=2)
    assert_close(tmp_path / "two", tmp_path / "one")


def network_without_normalisation() -> torch.nn.Module:
    """Make a network in which the images of a batch are independent."""
    network = tiny_network()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    return network


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulation_does_not_change_what_is_learnt(tmp_path: Path, accumulation: int) -> None:
    train(tmp_path / "whole", 5, inputs=make_inputs(network=network_without_normalisation()))
    train(tmp_path / "parts", 5, inputs=make_inputs(network=network_without_normalisation()), accumulation=accumulation)
    assert_close(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_learns_in_mixed_precision(tmp_path: Path, precision: str) -> None:
    losses = [row.losses["loss"] for row in train(tmp_path, 25, precision=precision).rows]
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


class Broken(torch.nn.Module):
    """Layer that outputs NaN in some steps."""

    def __init__(self, steps: set[int]) -> None:
        super().__init__()
        self.steps, self.count = steps, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.count += self.training
        return image * float("nan") if self.training and self.count in self.steps else image


def broken_network(*steps: int) -> torch.nn.Module:
    network = tiny_network()
    network.backbone.layers[0] = torch.nn.Sequential(Broken(set(steps)), network.backbone.layers[0])
    return network


def test_a_step_without_a_finite_loss_is_skipped(tmp_path: Path) -> None:
    recorder = train(tmp_path, 8, inputs=make_inputs(network=broken_network(3, 4)), most_skipped=3)
    assert [row.skipped for row in recorder.rows] == [0, 0, 1, 2, 2, 2, 2, 2]
    assert np.isnan(recorder.rows[2].losses["loss"])
    assert np.isfinite(recorder.rows[-1].losses["loss"]) and np.isfinite(recorder.validations[-1][1]["loss"])
    assert all(torch.isfinite(value).all() for value in read_weights(tmp_path / "model.pt").values())


def test_a_run_without_finite_losses_ends(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss: expected finite numbers.*last 3 steps up to step 5"):
        train(tmp_path, 9, inputs=make_inputs(network=broken_network(3, 4, 5, 6)), most_skipped=3)


def test_frozen_parts_do_not_change(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny_network().state_dict().items()}
    train(tmp_path, 4, optimiser={"freeze": ["backbone", "neck.fine.weight"], "ema": 0.0})
    after = read_weights(tmp_path / "model.pt")
    same = {name for name in before if torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith("backbone.") or name == "neck.fine.weight"}
    assert same == expected


def test_epochs_set_the_number_of_steps(tmp_path: Path) -> None:
    inputs = replace(make_inputs(), epoch=10)
    assert train(tmp_path, 0, inputs=inputs, epochs=1.5).rows[-1].steps == 4  # 15 samples in batches of 4
