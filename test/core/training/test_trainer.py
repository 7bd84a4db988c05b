"""The trainer: it learns, it goes on where it was killed, and it counts what many processes do as one."""

from __future__ import annotations

import csv
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
from tiny_training import config, materials, tiny_network  # noqa: E402

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


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.texts, self.rows, self.found = [], [], []

    def progress(self, progress) -> None:
        self.rows.append(progress)

    def scores(self, step, scores) -> None:
        self.found.append((step, scores))

    def say(self, text) -> None:
        self.texts.append(text)


def trained(output: Path, steps: int, *, made=None, fresh=False, **more) -> Told:
    told = Told()
    Trainer(config(output, steps, **more), made or materials(), [told], fresh).run()
    return told


def rows(output: Path) -> list[dict[str, str]]:
    """The log without what a clock measured."""
    with (output / "log.csv").open() as file:
        return [{name: row[name] for name in row if name not in MEASURED} for row in csv.DictReader(file)]


def weights(file: Path) -> dict[str, torch.Tensor]:
    return read_file(file)["state_dict"]


def start(output: Path, steps: int, *settings: str) -> subprocess.Popen:
    """A training run in a process of its own, slow enough to be caught in the middle."""
    command = [sys.executable, str(PROGRAM), str(output), str(steps), "delay_s=0.01", *settings]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_row(process: subprocess.Popen, output: Path, step: int) -> None:
    end = time.monotonic() + 180
    while not (output / "log.csv").is_file() or len(rows(output)) < step:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    trained(output, 24)
    return output


def test_learns_and_leaves_weights_pictures_and_a_card(tmp_path: Path) -> None:
    told = trained(tmp_path, 60, validation={"pictures": 2, "steps": 30})
    losses = [row.losses["loss"] for row in told.rows]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:3])
    (early, first), (late, last) = told.found
    assert (early, late) == (30, 60) and last["loss"] < first["loss"]
    assert 0 <= last["AP_paf"] <= 1 and 0 <= last["AP_tag"] <= 1
    assert sum(last[part] for part in ("heatmaps", "pafs", "pull", "push")) == pytest.approx(last["loss"], rel=1e-4)
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2
    card = (tmp_path / "model.md").read_text()
    assert "# tiny" in card and "| steps | 60 of 4 samples" in card and "batch: 4" in card
    network = tiny_network(seed=5)
    network.load_state_dict(weights(tmp_path / "model.pt"))


def test_killed_and_started_again_it_gives_the_same_numbers(tmp_path: Path, uninterrupted: Path) -> None:
    process = start(tmp_path, 24, "loader={workers: 2}")
    wait_for_row(process, tmp_path, 13)
    process.kill()
    process.communicate(timeout=60)  # it ends when no worker holds the other end any longer
    assert process.returncode == -signal.SIGKILL
    assert 13 <= len(rows(tmp_path)) < 24
    told = trained(tmp_path, 24)
    assert any(text == "goes on after step 10" for text in told.texts)
    assert rows(tmp_path) == rows(uninterrupted)
    ours, theirs = weights(tmp_path / "model.pt"), weights(uninterrupted / "model.pt")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path: Path, uninterrupted: Path, number: int, code: int) -> None:
    process = start(tmp_path, 24)
    wait_for_row(process, tmp_path, 7)
    process.send_signal(number)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == code, output
    (newest, *_) = sorted((tmp_path / "checkpoints").glob("*.pt"), reverse=True)
    assert newest.name == f"step_{len(rows(tmp_path)):08d}.pt" and 7 <= len(rows(tmp_path)) < 24
    trained(tmp_path, 24)
    assert rows(tmp_path) == rows(uninterrupted)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(byte ^ 1 for byte in content[middle : middle + 200])
    file.write_bytes(bytes(content))


def other(file: Path) -> None:
    torch.save({"state_dict": {}}, file)


@pytest.mark.parametrize("damage", [cut, flipped, other], ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, uninterrupted: Path, damage) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    damage(tmp_path / "run/checkpoints/step_00000024.pt")
    told = trained(tmp_path / "run", 24)
    assert "passed over" in told.texts[0] and "step_00000024.pt" in told.texts[0]
    assert told.texts[1] == "goes on after step 20"
    assert rows(tmp_path / "run") == rows(uninterrupted)


def test_a_finished_run_is_finished(tmp_path: Path, uninterrupted: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    assert trained(tmp_path / "run", 24).rows == []
    assert rows(tmp_path / "run") == rows(uninterrupted)


def test_changed_settings_are_told(tmp_path: Path, uninterrupted: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    told = trained(tmp_path / "run", 26)
    assert "changed since then: output, steps" in told.texts
    assert [row.step for row in told.rows] == [25, 26]


def test_fresh_sets_the_old_run_aside(tmp_path: Path, uninterrupted: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    assert len(trained(tmp_path / "run", 3, fresh=True).rows) == 3
    assert rows(tmp_path / "run.1") == rows(uninterrupted) and len(rows(tmp_path / "run")) == 3


def test_old_checkpoints_are_dropped(uninterrupted: Path) -> None:
    assert sorted(file.name for file in (uninterrupted / "checkpoints").iterdir()) == [
        "step_00000020.pt",
        "step_00000024.pt",
    ]


def without_statistics(state: dict) -> dict:
    return {name: value for name, value in state.items() if "running" not in name and "num_batches" not in name}


def close(ours: Path, theirs: Path) -> None:
    """The same losses and weights, but for the order of additions."""
    for one, two in zip(rows(ours), rows(theirs), strict=True):
        assert float(one["loss"]) == pytest.approx(float(two["loss"]), rel=2e-4)
    one, two = (without_statistics(weights(run / "model.pt")) for run in (ours, theirs))
    for name, value in two.items():
        assert torch.allclose(one[name], value, atol=2e-4, rtol=1e-2), name


def test_two_processes_are_as_one_that_takes_their_batches_in_turn(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(PROGRAM), str(tmp_path / "two"), "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    trained(tmp_path / "one", 6, accumulation=2)
    close(tmp_path / "two", tmp_path / "one")


def unnormalised() -> torch.nn.Module:
    """A network in which the pictures of a batch do not matter to one another."""
    network = tiny_network()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    return network


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulation_does_not_change_what_is_learnt(tmp_path: Path, accumulation: int) -> None:
    trained(tmp_path / "whole", 5, made=materials(network=unnormalised()))
    trained(tmp_path / "parts", 5, made=materials(network=unnormalised()), accumulation=accumulation)
    close(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_learns_in_mixed_precision(tmp_path: Path, precision: str) -> None:
    losses = [row.losses["loss"] for row in trained(tmp_path, 25, precision=precision).rows]
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


class Broken(torch.nn.Module):
    """A layer that fails in some steps."""

    def __init__(self, steps: set[int]) -> None:
        super().__init__()
        self.steps, self.count = steps, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.count += self.training
        return image * float("nan") if self.training and self.count in self.steps else image


def broken(*steps: int) -> torch.nn.Module:
    network = tiny_network()
    network.backbone.layers[0] = torch.nn.Sequential(Broken(set(steps)), network.backbone.layers[0])
    return network


def test_a_step_without_a_finite_loss_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    told = trained(tmp_path, 8, made=materials(network=broken(3, 4)), most_skipped=3)
    assert [row.skipped for row in told.rows] == [0, 0, 1, 2, 2, 2, 2, 2]
    assert np.isnan(told.rows[2].losses["loss"])
    assert np.isfinite(told.rows[-1].losses["loss"]) and np.isfinite(told.found[-1][1]["loss"])
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "model.pt").values())


def test_a_run_without_finite_losses_ends(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss: expected finite numbers.*last 3 steps, to step 5"):
        trained(tmp_path, 9, made=materials(network=broken(3, 4, 5, 6)), most_skipped=3)


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny_network().state_dict().items()}
    trained(tmp_path, 4, optimiser={"freeze": ["backbone", "neck.fine.weight"], "ema": 0.0})
    after = weights(tmp_path / "model.pt")
    same = {name for name in before if torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith("backbone.") or name == "neck.fine.weight"}
    assert same == expected


def test_epochs_count_the_data(tmp_path: Path) -> None:
    made = replace(materials(), epoch=10)
    assert trained(tmp_path, 0, made=made, epochs=1.5).rows[-1].steps == 4  # 15 samples in batches of 4
