"""Fuzz the readers of labels and results: ``python test/fuzz/labels_and_results.py 100000``.

Files of every format are changed at random. A reader may return a result, or raise one error of one line that names the
file once.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_ros.datasets import teacher
from pose_ros.datasets.extra import read_extra
from pose_ros.datasets.images import ImageSet
from pose_ros.datasets.labels import DEFAULT_GATES
from pose_ros.datasets.sets import DataConfig, open_data_set
from pose_ros.evaluation.data_sets import read_data
from pose_ros.evaluation.detections import read_results
from pose_ros.evaluation.errors import diagnose
from pose_ros.skeleton import COCO_17, OPENPOSE_18

LONGEST = 1500
"""Most characters of a message."""
LARGEST = 10**100
"""Largest whole number that is scaled."""
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e-320, 1e6, 1e300, 10**30, 10**400, float("nan"), float("inf")),
    *("", "person", "nose", "\n", "\x00", "../../etc/passwd", "1", "1.0", "x" * 5000, "é", "9" * 400),
    *([], {}, [[]], [None], [1, 2], {"size": [4, 4], "counts": [16]}, {"size": [4, 4], "counts": "\x00é"}),
    *({"size": [10**9, 10**9], "counts": [1]}, [[0, 0, 9, 0, 9, 9]], [1e9] * 51, [0] * 51, [0.5] * 51, -(10**12)),
)
KEYS = ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints", "segmentation", "score", "width")
KEYS += ("height", "file_name", "crowdIndex", "keypoint_scores", "name", "joints", "joints_vis", "head_box", "scale")

Read = Callable[[Path], object]


@dataclass
class Format:
    """Files of one format, and their readers.

    Attributes:
        file: Name of the file that is changed.
        content: Valid content: plain data for JSON, or bytes.
        readers: Readers of the file, by name.
    """

    file: str
    content: Any
    readers: dict[str, Read]


@dataclass
class Findings:
    """Outcomes of a run: numbers by kind, and the faults."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def make_formats(folder: Path) -> list[Format]:
    """Write valid files of every format into a folder, and return their formats."""
    cv2.imwrite(str(folder / "a.jpg"), np.full((100, 120, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "b.jpg"), np.full((100, 120, 3), 90, np.uint8))
    (folder / "labels").mkdir()
    xy = (COCO_17.standing * 80 + (60, 10)).round(1)
    valid = folder / "valid.json"
    valid.write_text(json.dumps(_coco(xy)))
    data = read_data(valid)

    def results(file: Path) -> object:
        return diagnose(data, read_results(file, data))

    def coco(file: Path) -> object:
        return _read_samples(DataConfig("coco", labels=str(file)))

    def lenient(file: Path) -> object:
        return _read_samples(DataConfig("coco", labels=str(file), strict=False))

    readers: dict[str, Read] = {
        "coco": coco,
        "coco, not strict": lenient,
        "evaluation": lambda file: diagnose(found := read_data(file), [_no_people(found)] * len(found)),
        "extra": lambda file: read_extra(file, OPENPOSE_18, DEFAULT_GATES),
        "merge": lambda file: teacher.merge([file], folder / "merged.json"),
    }
    yolo = f"0 0.5 0.5 0.4 0.8 {' '.join(f'{x / 120:.4f} {y / 100:.4f} 2' for x, y in xy)}\n"
    (folder / "data.yaml").write_text(json.dumps({"train": ".", "kpt_shape": [17, 3], "names": {"0": "person"}}))
    joints = np.column_stack([xy[:14], np.ones(14)])
    np.savez(folder / "valid.npz", names=np.array(["a.jpg", "b.jpg"]), joints=np.stack([joints, joints]))
    mpii = {"image": "a.jpg", "joints": xy[:16].tolist(), "joints_vis": [1] * 16, "head_box": [1, 2, 30, 40]}
    return [
        Format("labels.json", _coco(xy), readers),
        Format("results.json", _results(xy), {"results": results}),
        Format("mpii.json", [mpii, {**mpii, "center": [50, 50], "scale": 0.3}], {
            "mpii": lambda file: _read_samples(DataConfig("mpii", labels=str(file))),
            "evaluation, mpii": lambda file: read_data(file, format="mpii"),
        }),
        Format("labels/a.txt", yolo.encode(), {
            "yolo": lambda file: _read_samples(DataConfig("yolo", labels=str(folder / "data.yaml"))),
        }),
        Format("lsp.npz", (folder / "valid.npz").read_bytes(), {
            "lsp": lambda file: _read_samples(DataConfig("lsp", labels=str(file))),
        }),
    ]  # fmt: skip


def fuzz(count: int, seed: int, folder: Path) -> Findings:
    """Change and read ``count`` files. The same seed makes the same files."""
    rng, findings = random.Random(seed), Findings()
    formats = make_formats(folder)
    for number in range(count):
        chosen = rng.choices(formats, (6, 3, 2, 2, 2))[0]
        file = folder / chosen.file
        data = change(chosen.content, rng)
        file.write_bytes(data)
        name, read = rng.choice(list(chosen.readers.items()))
        fault = _find_fault(read, file, findings.counts, name)
        if fault is not None:
            findings.faults.append(f"seed {seed}, file {number}, {name}: {fault}")
            if (keep := folder / "faults").is_dir():
                (keep / f"{number}_{file.name}").write_bytes(data)
        file.unlink()
    return findings


def change(content: Any, rng: random.Random) -> bytes:
    """Return changed content of a file."""
    if isinstance(content, bytes):
        return _change_text(content, rng) if rng.random() < 0.5 else _change_bytes(content, rng)
    changed = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = _change_node(changed, rng)
    data = json.dumps(changed).encode()
    if rng.random() < 0.02:
        return b"[" * rng.choice((10, 100_000)) + data
    return _change_bytes(data, rng) if rng.random() < 0.1 else data


def _find_fault(read: Read, file: Path, counts: Counter[str], name: str) -> str | None:
    """Read a file. Return the fault of its reader, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            read(file)
    except (ValueError, FileNotFoundError) as error:
        counts[f"{name}: error"] += 1
        text = str(error)
        named = max(text.count(str(file)), text.count(file.name), text.count("data.yaml"))
        if type(error) not in (ValueError, FileNotFoundError) and not isinstance(error, ValueError):
            return f"{type(error).__name__}: {text}"
        if "\n" in text.strip() or len(text) > LONGEST:
            return f"expected one short line, got {text[:300]!r} ({len(text)} characters)"
        return None if named == 1 else f"expected the name of the file once, got it {named} times: {text[:400]!r}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:{where.lineno})"
    counts[f"{name}: read"] += 1
    return None


def _change_node(root: Any, rng: random.Random) -> Any:
    """Change one node of plain data."""
    places = list(_list_places(root))
    if not places or rng.random() < 0.02:
        return copy.deepcopy(rng.choice(HOSTILE))
    parent, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.6:
        parent[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif kind < 0.75:
        del parent[key]
    elif kind < 0.85 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind < 0.9:
        parent[key] = {str(parent[key])[:20]: parent[key]} if rng.random() < 0.5 else [parent[key]]
    elif isinstance(parent, dict):
        parent[rng.choice(KEYS)] = copy.deepcopy(rng.choice(HOSTILE))
    elif isinstance(parent[key], float) or (type(parent[key]) is int and abs(parent[key]) < LARGEST):
        parent[key] = parent[key] * rng.choice((-1, 0.01, 100, 1e9, math.pi))
    return root


def _list_places(node: Any) -> Any:
    """Yield parent and key of every node below a node. Upper nodes come as often as all numbers of a list."""
    items = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    for n, (key, value) in enumerate(items):
        if n < 4 or n % 9 == 0 or isinstance(node, dict):
            yield node, key
        yield from _list_places(value)


def _change_text(content: bytes, rng: random.Random) -> bytes:
    words = content.split(b" ")
    for _ in range(rng.choice((1, 1, 3))):
        value = copy.deepcopy(rng.choice(HOSTILE))
        words[rng.randrange(len(words))] = str(value).encode()
    return b" ".join(words)


def _change_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0 and place < len(data):
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5)))
        else:
            del data[place : place + rng.randrange(1, 30)]
    return bytes(data)


def _read_samples(config: DataConfig) -> object:
    images = open_data_set(config, OPENPOSE_18)
    assert isinstance(images, ImageSet)
    return images[0]


def _no_people(data: Any) -> Any:
    from pose_ros.evaluation.detections import to_detections
    from pose_ros.people import People

    return to_detections(People.empty(len(COCO_17)), COCO_17, data.skeleton)


def _coco(xy: np.ndarray) -> dict[str, Any]:
    triples = np.column_stack([xy, np.full(len(xy), 2)]).ravel().tolist()
    person = {"category_id": 1, "iscrowd": 0, "bbox": [30.0, 10.0, 60.0, 80.0], "area": 4000.0, "keypoints": triples}
    scored = {**person, "keypoint_scores": [0.9] * 17, "score": 0.8}
    outline = {"segmentation": [[30.0, 10.0, 90.0, 10.0, 90.0, 90.0, 30.0, 90.0]], "num_keypoints": 17}
    sizes = {"width": 120, "height": 100}
    names = list(COCO_17.keypoint_names)
    return {
        "images": [{"id": n, "file_name": f"{name}.jpg", **sizes} for n, name in ((1, "a"), (2, "b"))],
        "annotations": [
            {"id": 1, "image_id": 1, **scored, **outline},
            {"id": 2, "image_id": 1, **scored, "keypoints": (np.array(triples) * 0.9).tolist()},
            {"id": 3, "image_id": 2, **scored},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": [[1, 2], [2, 3]]}],
    }


def _results(xy: np.ndarray) -> list[dict[str, Any]]:
    triples = np.column_stack([xy, np.ones(len(xy))]).ravel().tolist()
    return [{"image_id": n, "category_id": 1, "keypoints": triples, "score": 0.5} for n in (1, 2, 2)]


def main() -> int:
    """Run the fuzzer, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="number of files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of faults")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (Path(folder) / "faults").symlink_to(options.keep.resolve())
        findings = fuzz(options.count, options.seed, Path(folder))
    for name, number in sorted(findings.counts.items()):
        print(f"{name}: {number}")
    print(f"{options.count} files, {len(findings.faults)} faults")
    for fault in findings.faults[:40]:
        print(fault)
    return bool(findings.faults)


if __name__ == "__main__":
    sys.exit(main())
