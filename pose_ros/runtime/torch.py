"""Run checkpoints in PyTorch. This is the reference that the other runtimes are compared with."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_ros.arrays import AnyArray
from pose_ros.checkpoint import load_checkpoint
from pose_ros.config import RuntimeConfig
from pose_ros.cores import default_threads
from pose_ros.fields import METADATA_KEY
from pose_ros.network.deploy import INPUT, DeployedNetwork, LowPrecisionNetwork
from pose_ros.runtime.runner import CLOSED, CPU, Arrays, Runner, TensorSpec
from pose_ros.runtime.trial import try_new_file

MAX_RECORDINGS = 8
"""Most input shapes with a recording on the GPU. With more, the oldest is dropped."""
WARM_UPS = 3


class TorchRunner(Runner):
    """A checkpoint in PyTorch. ``run`` may be called from several threads.

    The number of threads is a setting of PyTorch for the whole process.

    Args:
        path: A checkpoint of any publisher that ``pose_ros.checkpoint`` knows.
        config: Runtime settings. Used are ``device``, ``gpu``, ``precision`` and ``threads``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a checkpoint of a known network, or this machine cannot satisfy the settings.
    """

    def __init__(self, path: str | Path, config: RuntimeConfig | None = None) -> None:
        path, config = Path(path), config or RuntimeConfig()
        _check_config(path, config)
        torch.set_num_threads(config.threads or min(torch.get_num_threads(), default_threads()))
        if path.is_file():  # load_checkpoint names a missing file
            try_new_file(path, "torch", config)
        network = load_checkpoint(path)
        self._gpu, half = config.gpu if config.device == "cuda" else None, config.precision == "fp16"
        device = "cpu" if self._gpu is None else f"cuda:{self._gpu}"
        network = LowPrecisionNetwork(network, torch.float16) if half else network
        deployed = DeployedNetwork(network).eval().to(device, memory_format=torch.channels_last)
        self._compute = deployed if self._gpu is None else CapturedGraph(deployed, self._gpu)
        width, height = network.spec.input.size_wh or (None, None)
        self.inputs = (TensorSpec(INPUT, (None, height, width, network.spec.input.channels), np.dtype(np.uint8)),)
        self.outputs = tuple(TensorSpec(name, (None,) * 4, np.dtype(np.float32)) for name in deployed.names)
        self.metadata = {METADATA_KEY: json.dumps(deployed.spec.to_dict())}
        self.device = CPU if self._gpu is None else torch.cuda.get_device_name(self._gpu)
        self.description = f"PyTorch {torch.__version__} on {self.device}" + (" in half precision" if half else "")

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        compute = self._compute  # keeps it alive for a run in progress
        if compute is None:
            raise ValueError(CLOSED)
        with torch.inference_mode():
            outputs = compute(torch.from_numpy(np.ascontiguousarray(feeds[INPUT])))
        fields = dict(zip((spec.name for spec in self.outputs), outputs, strict=True))
        return {name: fields[name].contiguous().numpy() for name in names}

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU, counting all programs. None on the CPU, and after ``close``."""
        if self._gpu is None or self._compute is None:
            return None
        free, total = torch.cuda.mem_get_info(self._gpu)
        return total - free, total

    def close(self) -> None:
        """Release the network's memory. A second call does nothing."""
        self._compute = None


class CapturedGraph:
    """Network on the GPU that records a CUDA graph for each input shape and then replays it.

    One run at a time: a recording has only one input buffer.

    Args:
        network: Network on the GPU.
        gpu: Index of the GPU.
    """

    def __init__(self, network: torch.nn.Module, gpu: int) -> None:
        self._network, self._gpu = network, gpu
        self._recordings: dict[tuple[int, ...], tuple[Any, Tensor, tuple[Tensor, ...]]] = {}
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Run the network. Input and outputs are on the CPU. The caller owns the outputs."""
        shape = tuple(images.shape)
        with self._lock, torch.cuda.device(self._gpu):
            if shape not in self._recordings:
                self._record(images)
            graph, inputs, outputs = self._recordings[shape]
            inputs.copy_(images)
            graph.replay()
            return [output.cpu() for output in outputs]

    def _record(self, images: Tensor) -> None:
        while len(self._recordings) >= MAX_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        inputs = images.cuda()
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):  # libraries choose their algorithms now, which cannot be recorded
            for _ in range(WARM_UPS):
                self._network(inputs)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._network(inputs)
        self._recordings[tuple(images.shape)] = graph, inputs, outputs


def _check_config(path: Path, config: RuntimeConfig) -> None:
    if config.device in ("gpu", "npu"):
        raise ValueError(f"runtime torch: expected device cpu or cuda, got {config.device}; use runtime openvino")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime torch: expected a GPU for device cuda, got none that PyTorch can use; use cpu")
    if config.device == "cuda" and config.gpu >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"runtime torch: expected GPU {config.gpu}, got {count} in total; set gpu, the first is 0")
    if config.precision not in ("auto", "fp32", "fp16"):
        raise ValueError(f"runtime torch: expected precision auto, fp32 or fp16, got {config.precision}")
    if config.precision == "fp16" and config.device != "cuda":
        raise ValueError(f"runtime torch: expected device cuda for precision fp16, got {config.device}")
