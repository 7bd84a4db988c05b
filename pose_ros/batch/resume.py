"""Decide what an earlier run of a batch has already done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose_ros.batch.inputs import Input
from pose_ros.batch.manifest import Row, hidden_folder
from pose_ros.batch.recipe import fingerprint
from pose_ros.files import atomic_write

STALE = ("refuse", "redo", "keep")
"""What to do with results of other settings."""


@dataclass
class Plan:
    """Inputs of a run, by what there is to do.

    Attributes:
        to_do: Inputs to process.
        complete: Rows of inputs that need nothing.
        retried: Number of inputs of ``to_do`` that failed before.
        changed: Number of inputs of ``to_do`` that changed since they were processed.
        stale: Number of inputs of ``to_do`` that were processed with other settings.
    """

    to_do: list[Input] = field(default_factory=list)
    complete: list[Row] = field(default_factory=list)
    retried: int = 0
    changed: int = 0
    stale: int = 0


def make_plan(
    inputs: Sequence[Input], rows: Mapping[str, Row], out: Path, settings: Mapping[str, str], stale: str
) -> Plan:
    """Compare the inputs with the rows of earlier runs.

    An input is done again if it failed, if its file changed, or if one of its outputs is missing.

    Args:
        inputs: Inputs of this run.
        rows: Latest row of each input.
        out: Folder of the outputs.
        settings: Settings of this run.
        stale: One of ``STALE``.

    Raises:
        ValueError: If results belong to another input of this name, or to other settings.
    """
    plan, own = Plan(), fingerprint(dict(settings))
    for entry in inputs:
        row = rows.get(entry.name)
        if row is None or not row.is_complete:
            plan.retried += row is not None
            plan.to_do.append(entry)
            continue
        if not row.describes(entry):
            _check_place(entry, row, out)
            plan.changed += 1
            plan.to_do.append(entry)
        elif row.settings != own and stale != "keep":
            if stale == "refuse":
                raise ValueError(_explain(out, row, settings))
            plan.stale += 1
            plan.to_do.append(entry)
        elif all((out / name).exists() for name in row.outputs):
            plan.complete.append(row)
        else:
            plan.to_do.append(entry)
    return plan


def store_settings(out: Path, settings: Mapping[str, str]) -> None:
    """Store settings under their fingerprint, so that a later run can name what differs."""
    file = _settings_file(out, fingerprint(dict(settings)))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as unfinished:
            unfinished.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")


def _settings_file(out: Path, name: str) -> Path:
    return hidden_folder(out) / f"settings.{name}.json"


def _check_place(entry: Input, row: Row, out: Path) -> None:
    if row.path != str(entry.path):
        raise ValueError(
            f"--out {out}: expected {entry.name} to be {row.path}, as in its manifest, got {entry.path}; use another "
            "folder, or the same --root for both runs"
        )


def _explain(out: Path, row: Row, settings: Mapping[str, str]) -> str:
    """Name the settings that differ from those of a row."""
    try:
        earlier: dict[str, str] = json.loads(_settings_file(out, row.settings).read_text())
    except (OSError, ValueError):
        earlier = {}
    names = sorted(name for name in {*earlier, *settings} if earlier.get(name) != settings.get(name))
    expected = ", ".join(f"{name} = {earlier.get(name)}" for name in names) if earlier else row.settings
    got = ", ".join(str(settings.get(name)) for name in names) if earlier else "others"
    return (
        f"--out {out}: expected the settings of its results ({expected}), got {got}; use another folder, "
        "--stale redo to process them again, or --stale keep to leave them"
    )
