"""The checkpoints of a run: written whole or not at all, the newest whole one found again."""

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
"""The entry of a checkpoint that holds what only the trainer needs."""


class Checkpoints:
    """The checkpoint files of a run.

    Args:
        folder: Where they lie.
        config: How often they are written, and how many are kept.
    """

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether one is to be written after a step."""
        by_steps = self.config.steps > 0 and step % self.config.steps == 0
        minutes = (time.monotonic() - self._last) / 60
        return by_steps or 0 < self.config.minutes <= minutes

    def save(self, network: PoseNetwork, name: str, step: int, state: dict[str, Any]) -> Path:
        """Write one, and drop those that are no longer kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:08d}.pt"
        save_checkpoint(network, name, path, **{STATE: {**state, "step": step}})
        self._last = time.monotonic()
        for unfinished in self.folder.glob(".step_*"):
            unfinished.unlink()
        for old in self.files()[self.config.keep :]:
            old.unlink()
        return path

    def newest(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """The content of the newest checkpoint that is whole; None without any. ``say`` is told of damaged ones."""
        return next((content for path in self.files() if (content := _whole_or_none(path, say))), None)

    def files(self) -> list[Path]:
        """The files, the newest first."""
        return sorted(
            (path for path in self.folder.glob("*.pt") if re.match(r"step_\d+\.pt$", path.name)), reverse=True
        )


def _whole_or_none(path: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    try:
        return _whole(path)
    except (ValueError, OSError) as error:
        say(f"passed over: {error}")
        return None


def _whole(path: Path) -> dict[str, Any]:
    """The content, its checksums compared: torch reads a file with wrong bytes without a word."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(f"checkpoint {path}: expected a complete file, got: {error}") from error
    if damaged:
        raise ValueError(f"checkpoint {path}: expected the bytes that were written, got others in {damaged}")
    content = read_file(path)
    if not isinstance(content, Mapping) or STATE not in content:
        raise ValueError(f"checkpoint {path}: expected one of a training run, got another")
    return dict(content)
