"""What runs a network: one runner per library, chosen by name."""

from __future__ import annotations

from pathlib import Path

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import Runner

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".tar", ".npz", ".pb", ".tflite", ".caffemodel")
"""Suffixes of weights, which torch runs; any other file is taken for an ONNX network."""


def load_runner(path: str | Path, config: RuntimeConfig) -> Runner:
    """Load a model file into the configured runtime; ``auto`` takes the one that the file is for.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the runtime is not installed.
        ValueError: If the runtime cannot load it, or cannot do what the settings say.
    """
    is_checkpoint = Path(path).suffix.lower() in CHECKPOINTS
    if config.backend == "torch" or (config.backend == "auto" and is_checkpoint):
        return _torch_runner(path, config)
    if config.device not in ("auto", "cpu") or config.precision != "auto":
        raise ValueError(
            f"runtime onnx: expected device cpu and precision auto, got {config.device} and {config.precision}; "
            "only torch has these"
        )
    from pose_ros.runtime.onnx import OnnxRunner

    return OnnxRunner(path, config)


def _torch_runner(path: str | Path, config: RuntimeConfig) -> Runner:
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: expected an ONNX file or a checkpoint, got {path}, which does not exist")
    try:
        from pose_ros.runtime.torch import TorchRunner
    except ImportError as error:
        raise ImportError(
            f"model {path}: expected the package torch to run a checkpoint, got: {error}; "
            "pip install torch, or take an ONNX file"
        ) from error
    return TorchRunner(path, config)
