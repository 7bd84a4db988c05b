"""What runs a network: one runner per library, chosen by name."""

from __future__ import annotations

from pathlib import Path

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import Runner


def load_runner(path: str | Path, config: RuntimeConfig) -> Runner:
    """Load a model file into the configured runtime; ``auto`` takes the best that works here.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the runtime cannot load it.
    """
    from pose_ros.runtime.onnx import OnnxRunner

    return OnnxRunner(path, config)
