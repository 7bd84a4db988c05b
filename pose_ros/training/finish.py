"""Write the results of a run: the weights, the exported model, and its model card."""

from __future__ import annotations

import csv
import platform
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from pose_ros.checkpoint import save_checkpoint
from pose_ros.config_file import to_plain
from pose_ros.files import atomic_write
from pose_ros.network.model import PoseNetwork
from pose_ros.texts import format_count
from pose_ros.training.config import TrainingConfig
from pose_ros.training.run_inputs import RunInputs


def finish(network: PoseNetwork, config: TrainingConfig, inputs: RunInputs, step: int, skipped: int) -> list[str]:
    """Write ``model.pt``, ``model.onnx`` and ``model.md`` into the output folder.

    Args:
        network: Trained network with averaged weights. It is moved to the CPU.
        config: Settings of the run.
        inputs: Inputs of the run.
        step: Number of completed steps.
        skipped: Number of steps skipped because the loss was not finite.

    Returns:
        Lines of text that name the written files.
    """
    network.to("cpu").eval()
    folder = config.output
    save_checkpoint(network, config.network, folder / "model.pt")
    notes = [f"weights: {folder / 'model.pt'}", _export(network, folder / "model.onnx")]
    with atomic_write(folder / "model.md") as unfinished:
        unfinished.write_text(model_card(network, config, inputs, step, skipped), encoding="utf-8")
    return [*notes, f"card: {folder / 'model.md'}"]


def model_card(network: PoseNetwork, config: TrainingConfig, inputs: RunInputs, step: int, skipped: int) -> str:
    """Describe how a network was trained, as Markdown text."""
    spec = network.spec
    facts = {
        "network": f"{config.network}, {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M weights",
        "keypoints": f"{len(spec.skeleton)} ({spec.skeleton.name}): {', '.join(spec.skeleton.keypoint_names)}",
        "outputs": f"{', '.join(head.field for head in spec.heads)}, at stride {spec.stride:g}",
        "licence of the weights": spec.licence,
        "steps": f"{step} of {format_count(config.batch, 'sample')}, {skipped} skipped",
        "size": f"{config.size_wh[0]} x {config.size_wh[1]} px",
        "data": f"{format_count(inputs.epoch, 'image')}, {step * config.batch / inputs.epoch:.1f} epochs",
        "seed": str(config.seed),
        "precision": config.precision,
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}, "
        f"OpenCV {cv2.__version__}",
    }
    tables = {"Last losses": _read_last_row(config.output / "log.csv")}
    tables["Validation"] = _read_last_row(config.output / "validation.csv")
    parts = [f"# {spec.name}", *dict.fromkeys(inputs.notes), _table(facts)]
    parts += [f"## {title}\n\n{_table(row)}" for title, row in tables.items() if row]
    return "\n\n".join(
        [*parts, f"## Configuration\n\n```yaml\n{yaml.safe_dump(to_plain(config), sort_keys=False)}```\n"]
    )


def _export(network: PoseNetwork, target: Path) -> str:
    if find_spec("onnx") is None:
        return "model.onnx: not written; install the package onnx"
    from pose_ros.export.to_onnx import ExportOptions, export

    export(network, target, ExportOptions(dynamic=network.spec.input.size_wh is None))
    return f"model: {target}"


def _read_last_row(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return rows[-1] if rows else {}


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
