"""Write the checkpoints of a training run, and load the newest complete one."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pose_ros.checkpoint.own import save_checkpoint
from pose_ros.checkpoint.reading import read_file
from pose_ros.network.model import PoseNetwork
from pose_ros.training.config import CheckpointConfig

STATE = "training"
"""Entry of a checkpoint that holds the state of the trainer."""


class Checkpoints:
    """Checkpoint files of a run.

    Args:
        folder: Folder of the checkpoint files.
        config: Interval between checkpoints, and number of checkpoints to keep.
    """

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self._last = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Return whether a checkpoint is due after a step."""
        by_steps = self.config.steps > 0 and step % self.config.steps == 0
        minutes = (time.monotonic() - self._last) / 60
        return by_steps or 0 < self.config.minutes <= minutes

    def save(self, network: PoseNetwork, name: str, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint, and delete the oldest ones beyond ``config.keep``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:08d}.pt"
        save_checkpoint(network, name, path, **{STATE: {**state, "step": step}})
        self._last = time.monotonic()
        for old in self.files()[self.config.keep :]:
            old.unlink()
        return path

    def load_newest(self, notify: Callable[[str], None]) -> dict[str, Any] | None:
        """Load the newest complete checkpoint.

        Args:
            notify: Called with one line of text for each damaged file that is skipped.

        Returns:
            The content of the file, or None if there is no complete checkpoint.
        """
        return next((content for path in self.files() if (content := _read_or_skip(path, notify))), None)

    def files(self) -> list[Path]:
        """Return the checkpoint files, newest first."""
        return sorted(
            (path for path in self.folder.glob("*.pt") if re.match(r"step_\d+\.pt$", path.name)), reverse=True
        )


def _read_or_skip(path: Path, notify: Callable[[str], None]) -> dict[str, Any] | None:
    try:
        return _read_checked(path)
    except (ValueError, OSError) as error:
        notify(f"skipped: {error}")
        return None


def _read_checked(path: Path) -> dict[str, Any]:
    """Read a checkpoint and verify its checksums: torch does not report corrupted bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(f"checkpoint {path}: expected a complete file, got: {error}") from error
    if damaged:
        raise ValueError(f"checkpoint {path}: expected matching checksums, got corrupted data in {damaged}")
    content = read_file(path)
    if not isinstance(content, Mapping) or STATE not in content:
        raise ValueError(f"checkpoint {path}: expected a checkpoint of a training run, got another file")
    return dict(content)
