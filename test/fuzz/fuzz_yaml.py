"""Fuzz the reading of YAML: ``python test/fuzz/fuzz_yaml.py 100000``.

Descriptions of models are damaged at random, and joined with anchors and aliases. Reading and building them may raise
ValueError only.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from costs import Cost, measure
from mutations import mutate

from pose_ros.fields import METADATA_KEY
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec
from pose_ros.runtime.onnx_graph import read_graph

_PIECES = (
    b"&a ",
    b"*a",
    b"[*a, *a, *a]",
    b"{<<: *a}",
    b"- ",
    b"? ",
    b": ",
    b"[",
    b"{",
    b"!!binary ",
    b"!!int ",
    b"|\n",
)
_PIECES += (b"1:59:59", b"0x", b"2001-01-01", b".inf", b"'", b'"\\u', b"%YAML 1.1\n---\n", b"\n", b"    ", b"\t", b"~")


def make_damaged(number: int, original: bytes, seed: int) -> str:
    """Make the text of a number: always the same one."""
    rng = random.Random(seed * 1_000_000_007 + number)
    data = mutate(original, rng, [original]) if number % 2 else original
    for _ in range(rng.randrange(12)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(_PIECES) * rng.choice((1, 1, 2, 30)) + data[at:]
    return data.decode("utf-8", errors="replace")


def run(count: int, seed: int = 0) -> tuple[int, Cost]:
    """Read a number of damaged texts.

    Returns:
        Number of texts that were accepted, and the highest time and memory of one.
    """
    original = read_graph(DEFAULT_MODEL).metadata[METADATA_KEY].encode()
    accepted, seconds, megabytes = [], 0.0, 0.0
    for number in range(count):
        text = make_damaged(number, original, seed)

        def read(text: str = text) -> None:
            try:
                accepted.append(read_spec(Path("a.onnx"), {METADATA_KEY: text}))
            except ValueError as error:
                assert str(error).startswith("a.onnx: ")

        cost = measure(read)
        seconds, megabytes = max(seconds, cost.seconds), max(megabytes, cost.megabytes)
    return len(accepted), Cost(seconds, megabytes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the reading of YAML.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    accepted, worst = run(options.count, options.seed)
    print(f"accepted {accepted}, slowest {worst.seconds:.2f} s, largest {worst.megabytes:.0f} MB")
