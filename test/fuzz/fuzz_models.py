"""Fuzz the reading of model files: ``python test/fuzz/fuzz_models.py 100000``.

Small files of every format are damaged at random. A reader may raise ValueError with the name of the file. It may not
end the process, nor take much more time and memory than an intact file. ``--runtime onnx`` (or openvino) also loads the
ONNX files that our reader accepts in that runtime. Its library can end the process: ``trial.py`` is for that.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tflite_file
import torch
from costs import measure
from mutations import mutate
from tiny_onnx import write_model
from wire import entry, varint

from pose_ros.checkpoint.reading import read_file, state_of
from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import read_spec
from pose_ros.runtime import load_runner
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.onnx_graph import read_graph

MOST_MB, MOST_CHARACTERS = 200, 5000


@dataclass
class Report:
    """Results of a run.

    Attributes:
        outcomes: Number of files by format and outcome.
        slowest: By format, the highest time of the processor, s, and the number of the file.
        largest: By format, the highest memory, MB, and the number of the file.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    largest: dict[str, tuple[float, int]] = field(default_factory=dict)


def make_files(folder: Path) -> dict[str, bytes]:
    """Make a small file of every format, by its name."""
    weights = {"conv1.weight": np.ones((2, 3, 1, 1), np.float32), "conv1.bias": np.zeros(2, np.float32)}
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    files = {"a.onnx": write_model(folder / "a.onnx").read_bytes()}
    files["b.onnx"] = write_model(folder / "b.onnx", precision="fp16").read_bytes()
    shape = entry(7, entry(1, b"".join(map(varint, (2, 3, 1, 1)))))
    blob = shape + entry(5, weights["conv1.weight"].tobytes())
    files["a.caffemodel"] = entry(1, b"net") + entry(100, entry(1, b"conv1") + entry(7, blob)) * 2
    sizes = b"".join(entry(2, entry(1, size)) for size in (1, 1, 3, 2))
    tensor = entry(1, 1) + entry(2, sizes) + entry(4, weights["conv1.weight"].tobytes())
    node = entry(1, b"conv1") + entry(2, b"Const") + entry(5, entry(1, b"value") + entry(2, entry(8, tensor)))
    files["a.pb"] = entry(1, node) + entry(1, entry(1, b"x") + entry(2, b"Placeholder"))
    files["a.tflite"] = tflite_file.make_quantised_file([0, 3], [1.0, 2.0], 0, [2, 3])
    manifest = {"paths": ["shard"], "weights": [{"name": "w", "shape": [2, 3], "dtype": "float32"}]}
    files["a.json"] = json.dumps({"format": "graph-model", "weightsManifest": [manifest]}).encode()
    (folder / "shard").write_bytes(bytes(24))
    for name, save in (("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, **weights)
        files[name] = buffer.getvalue()
    for name, is_zip in (("a.pth", True), ("b.pth", False)):
        buffer = io.BytesIO()
        torch.save({"state_dict": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=is_zip)
        files[name] = buffer.getvalue()
    return files


def damage(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Damage a file. Half of the archives get damaged entries with right checksums, which reach the reader behind."""
    if not data.startswith(b"PK") or rng.random() < 0.5:
        return mutate(data, rng, others)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        damaged = rng.choice(source.namelist())
        for entry_name in source.namelist():
            content = source.read(entry_name)
            target.writestr(entry_name, mutate(content, rng, others) if entry_name == damaged else content)
    return buffer.getvalue()


def read(path: Path, runtime: str = "") -> str:
    """Read a file as the program does, and return the outcome.

    Raises:
        AssertionError: If the error does not name the file, or is too long.
    """
    try:
        if path.suffix == ".onnx":
            graph = read_graph(path)
            model_sha256(path)
            if runtime:
                load_runner(path, RuntimeConfig(backend=runtime, threads=1)).close()
            read_spec(path, graph.metadata)
        else:
            state_of(read_file(path), path)
    except (ValueError, FileNotFoundError) as error:
        assert path.stem in str(error) and len(str(error)) < MOST_CHARACTERS, str(error)[:MOST_CHARACTERS]
        return "refused"
    return "read"


def run(count: int, seed: int = 0, first: int = 0, runtime: str = "") -> Report:
    """Try a number of damaged files.

    Args:
        count: Number of files.
        seed: Start of the random numbers.
        first: Number of the first file.
        runtime: Runtime that loads the ONNX files. Empty = our reader only, for files of all formats.
    """
    report = Report()
    warnings.simplefilter("ignore")  # of torch, about the versions of damaged pickles
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_files(folder)
        kinds = [kind for kind in files if not runtime or kind.endswith(".onnx")]
        for number in range(first, first + count):
            kind = kinds[number % len(kinds)]
            rng = random.Random(seed * 1_000_000_007 + number)
            path, outcome = folder / kind, [""]
            path.write_bytes(damage(files[kind], rng, list(files.values())))
            if runtime:
                (Path(tempfile.gettempdir()) / f"fuzz_models_{runtime}").write_text(str(number))  # for a crash

            def call(path: Path = path, outcome: list[str] = outcome) -> None:
                outcome[0] = read(path, runtime)

            cost = measure(call)
            report.outcomes[kind, outcome[0]] += 1
            report.slowest[kind] = max(report.slowest.get(kind, (0.0, 0)), (cost.seconds, number))
            report.largest[kind] = max(report.largest.get(kind, (0.0, 0)), (cost.megabytes, number))
            assert runtime or cost.megabytes < MOST_MB, (kind, number, cost)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the reading of model files.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runtime", default="", choices=("", "onnx", "openvino"))
    options = parser.parse_args()
    result = run(options.count, options.seed, options.first, options.runtime)
    for kind in sorted(result.slowest):
        read_count, refused = result.outcomes[kind, "read"], result.outcomes[kind, "refused"]
        (seconds, slow), (megabytes, large) = result.slowest[kind], result.largest[kind]
        print(
            f"{kind:14} read {read_count:6} refused {refused:6}  {seconds:.2f} s #{slow}  {megabytes:.0f} MB #{large}"
        )
