"""Test that the second network refines the people of a piece as in one pass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from batch_pool import process_input
from crop_network import paint, write_crop_network

from pose_ros.batch.tasks import JoinTask
from pose_ros.config import EstimatorConfig, RefinementConfig, SmoothingConfig


@pytest.mark.parametrize(("period", "pieces"), [(1, 4), (2, 0)])
def test_pieces_are_refined_as_one_pass(period: int, pieces: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    model = write_crop_network(tmp_path / "crop.onnx")
    writer = cv2.VideoWriter(str(tmp_path / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (200, 200))
    for n in range(40):
        writer.write(paint(np.zeros((200, 200, 3), np.uint8), (60 + 2 * n, 50)))
    writer.release()
    refinement = RefinementConfig(model=str(model), period=period)
    options = {
        "model": model,
        "config": EstimatorConfig(refinement=refinement, smoothing=SmoothingConfig(enabled=True)),
    }
    whole, _, _, _ = process_input(tmp_path / "walk.avi", tmp_path / "whole", 0, **options)
    joined, tasks, _, notes = process_input(tmp_path / "walk.avi", tmp_path / "joined", 1, **options)
    assert joined == whole and notes == []
    assert (len(tasks) - 2 if isinstance(tasks[-1], JoinTask) else 0) == pieces
    assert b'"refined":true' in joined["walk.avi.people.jsonl"]
