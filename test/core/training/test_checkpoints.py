"""Test the checkpoint files of a training run: when they are due, which one is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from tiny_training import tiny_network  # noqa: E402

from pose_ros.training import checkpoints as module  # noqa: E402
from pose_ros.training.checkpoints import Checkpoints  # noqa: E402
from pose_ros.training.config import CheckpointConfig  # noqa: E402


def save(checkpoints: Checkpoints, step: int) -> Path:
    return checkpoints.save(tiny_network(), "tiny", step, {})


def test_without_steps_and_minutes_no_checkpoint_is_due(tmp_path: Path) -> None:
    assert not Checkpoints(tmp_path, CheckpointConfig(steps=0, minutes=0)).is_due(10)


def test_minutes_count_from_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(steps=0, minutes=2))
    now_s[0] += 119
    assert not checkpoints.is_due(1)
    now_s[0] += 1
    assert checkpoints.is_due(1)
    save(checkpoints, 1)
    assert not checkpoints.is_due(2)


def test_only_the_newest_files_of_the_run_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep=2))
    for name in ("step_best.pt", "step_00000009.pt.unfinished", "model.pt"):
        (tmp_path / name).touch()
    for step in (1, 2, 10):
        save(checkpoints, step)
    assert [path.name for path in checkpoints.files()] == ["step_00000010.pt", "step_00000002.pt"]
    assert checkpoints.load_newest(pytest.fail)[module.STATE]["step"] == 10


def flip_weight(path: Path) -> None:
    """Change one bit of a weight. torch loads such a file without an error."""
    weight = next(iter(tiny_network().state_dict().values())).numpy().tobytes()[:64]
    content = bytearray(path.read_bytes())
    content[content.index(weight)] ^= 1
    path.write_bytes(bytes(content))
    torch.load(path, weights_only=True)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip_weight, "expected matching checksums, got corrupted data in"), (replace_by_folder, "Is a directory")],
)
def test_a_file_that_cannot_be_used_is_skipped(tmp_path: Path, damage: object, message: str) -> None:
    checkpoints, texts = Checkpoints(tmp_path, CheckpointConfig(keep=3)), []
    for step in (1, 2):
        save(checkpoints, step)
    damage(tmp_path / "step_00000002.pt")
    assert checkpoints.load_newest(texts.append)[module.STATE]["step"] == 1
    assert len(texts) == 1 and message in texts[0]
