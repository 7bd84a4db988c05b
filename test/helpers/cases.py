"""Inputs that failed once, with the right values. ``test/cases.py`` runs all of them, ``test_cases.py`` the quick ones.

The inputs lie in ``../shared/cases``. Those that are too large to keep are made here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcap_writer import protobuf_fields

from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.onnx_graph import read_graph

HUGE = b"\x80\x80\x80\x80\x80\x80\x80\x80\x40"  # 2^62 as a varint
SMALL = ("--short-side", "64")


@dataclass(frozen=True)
class Outcome:
    """Result of a run: exit code, lines of output and errors, folder of the output files, peak memory (0 = unknown)."""

    code: int
    text: str
    out: Path
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Case:
    """One run of the program.

    Attributes:
        name: Name of the case.
        folder: Folder below ``../shared/cases`` in which the program runs. Empty = the folder of the outputs.
        command: Arguments. ``OUT`` is the folder of the outputs.
        right: The right value, in words.
        is_right: Whether an outcome has the right value.
        make: Writes the input into the folder of the outputs.
        is_quick: Whether it is run as a test, in the process of the test.
    """

    name: str
    folder: str
    command: str
    right: str
    is_right: Callable[[Outcome], bool]
    make: Callable[[Path], object] | None = None
    is_quick: bool = True

    def arguments(self, out: Path) -> list[str]:
        """Return the arguments of the program."""
        return [word.replace("OUT", str(out)) for word in self.command.split()]


def refused(*words: str) -> Callable[[Outcome], bool]:
    """Return a check: exit code 1, no traceback, and each of the words in the text."""
    return lambda outcome: (
        outcome.code == 1
        and "Traceback" not in outcome.text
        and all(word.lower() in outcome.text.lower() for word in words)
    )


def accepted(*words: str) -> Callable[[Outcome], bool]:
    """Return a check: exit code 0, and each of the words in the text."""
    return lambda outcome: outcome.code == 0 and all(word in outcome.text for word in words)


def survived(peak_mb: float) -> Callable[[Outcome], bool]:
    """Return a check: the process was not killed, printed no traceback and stayed below a peak of memory."""
    return lambda outcome: outcome.code in (0, 1) and "Traceback" not in outcome.text and outcome.peak_mb < peak_mb


def number_of(outcome: Outcome, pattern: str) -> float:
    """Return the number behind a pattern in the text, -1 if there is none."""
    found = re.search(pattern + r"\s*(-?[0-9.]+)", outcome.text)
    return float(found.group(1)) if found else -1.0


def _lines(outcome: Outcome, name: str = "x.jsonl") -> list[dict[str, object]]:
    path = outcome.out / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _has_size(outcome: Outcome, width: int, height: int) -> bool:
    return [(line["width"], line["height"]) for line in _lines(outcome)] == [(width, height)]


def _keeps_times(outcome: Outcome) -> bool:
    """Whether the last frame is at 5.5 s, and one at 1.0 s."""
    from pose_ros.media.sources import open_source

    times_s = [frame.stamp_ns / 1e9 for frame in open_source(outcome.out / "x.mp4")]
    return outcome.code == 0 and abs(max(times_s, default=0) - 5.5) < 0.3 and any(abs(t - 1.0) < 0.05 for t in times_s)


EVALUATE = "evaluate --data labels.json --images images --results"
INSPECT = "inspect labels.json --images images -n 8 -o OUT/x.jpg"
VIDEO = "2024-05-01T12:30:00.mp4"
FILES = [
    Case("bag without metadata", "bag_no_metadata", "bag bag", "2 frames", accepted(": 2 frames")),
    Case(
        "one broken message",
        "bag_one_broken",
        "bag . --json OUT/x.jsonl",
        "frames 0 and 2, and 1 named",
        lambda o: refused("image 1 of")(o) and [line["index"] for line in _lines(o)] == [0, 2],
    ),
    Case("ROS 1 bag", "bag_ros1", "bag ros1.bag", "named, with the cure", refused("ROS 1 bag", "rosbags-convert")),
    Case("EXIF in a bag", "bag_vs_node", "bag exif --json OUT/x.jsonl", "240 x 320", lambda o: _has_size(o, 240, 320)),
    Case("rgb8 of old publishers", "bag_vs_node", "bag old_rgb8", "1 frame", accepted(": 1 frame in ")),
    Case("depth as png", "bag_vs_node", "bag depth_png", "refused as depth", refused("depth_png", "depth image")),
    Case("compressedDepth", "bag_vs_node", "bag depth_compressed", "refused as depth", refused("depth image")),
    Case("step 0", "bag_vs_node", "bag step0", "refused, bag named", refused("bag step0", "step")),
    Case("0 x 0 pixels", "bag_vs_node", "bag zero_size", "refused, bag named", refused("bag zero_size", "size")),
    Case(
        "colon in a name",
        "video_name_colon",
        f"video {VIDEO} -o OUT/12:30:00.mp4",
        "1 frame",
        accepted(": 1 frame in "),
    ),
    Case("uneven times", "vfr_annotated", "video vfr.mp4 -o OUT/x.mp4", "5.5 s, frame 10 at 1.0 s", _keeps_times),
]
LABELS = [
    Case(
        "empty bbox",
        "coco_bbox_empty",
        f"{EVALUATE} ../coco_bbox_zero/results_right.json",
        "as without bbox, or the annotation named",
        lambda o: (accepted()(o) and number_of(o, r"\nAP ") > 95) or refused("annotation")(o),
    ),
    Case(
        "box of size 0",
        "coco_bbox_zero",
        f"{EVALUATE} results_1px.json",
        "AP near 100",
        lambda o: number_of(o, r"\nAP ") > 90,
    ),
    Case("box of size 0: inspect", "coco_bbox_zero", INSPECT, "people", lambda o: number_of(o, "per sample:") > 0),
    Case("positions as shares", "coco_normalised", INSPECT, "refused: pixels expected", refused("px", "annotation 1")),
    Case("root category", "coco_roboflow_root", INSPECT, "people", lambda o: number_of(o, "per sample:") > 0),
    Case(
        "two kinds of people",
        "coco_two_kinds_of_people",
        f"{INSPECT} --plain",
        "people of both categories, or the others named",
        lambda o: accepted()(o) and (number_of(o, "per sample:") > 3 or "left out" in o.text),
    ),
    Case(
        "YOLO class 1",
        "yolo_cls1",
        "inspect data.yaml --plain -n 8 -o OUT/x.jpg",
        "people",
        lambda o: number_of(o, "per sample:") > 0,
    ),
    Case(
        "area null",
        "evaluate_area_null",
        f"{EVALUATE} results_wrong.json",
        "AP 0, or the annotation named",
        lambda o: number_of(o, r"\nAP ") == 0 or refused("annotation")(o),
    ),
    Case("image without people", "evaluate_background_image", f"{EVALUATE} results.json", "a table", accepted("AP")),
]
HOSTILE = [
    Case(
        "PNG of 41 bytes",
        "hostile",
        "image png41.png",
        "refused, < 1 GB",
        lambda o: refused("png41")(o) and o.peak_mb < 1000,
        is_quick=False,
    ),
    Case(
        "TIFF size in LONG8",
        "hostile",
        "image tiffLONG8_20000.bin",
        "refused, < 1 GB",
        lambda o: refused("tiffLONG8")(o) and o.peak_mb < 1000,
        is_quick=False,
    ),
    Case("PNG of 8192 x 8192", "hostile", "image png8192g8.bin", "no more than 1.5 GB", survived(1500), is_quick=False),
    Case(
        "text that is not UTF-8",
        "hostile",
        "bag bag_SerdeError_1198",
        "5 frames, 1 named",
        refused("image 5 of", "5 frames"),
    ),
    Case(
        "COCO: a number as annotation",
        "hostile",
        "inspect coco_1348.json --images . -o OUT/x.jpg",
        "one line",
        refused("coco_1348.json"),
    ),
    Case(
        "YAML of aliases",
        "hostile",
        "image png41.png --spec bomb.yaml",
        "refused, < 1 GB",
        lambda o: refused("bomb.yaml")(o) and o.peak_mb < 1000,
        is_quick=False,
    ),
    Case(
        "mat: SIGBUS",
        "hostile",
        "inspect scipy_sigbus.mat --images . -o OUT/x.jpg",
        "refused",
        refused("scipy_sigbus"),
        is_quick=False,
    ),
    Case(
        "mat: SIGSEGV",
        "hostile",
        "inspect scipy_segv_lsp.mat --images . -o OUT/x.jpg",
        "refused",
        refused("scipy_segv"),
        is_quick=False,
    ),
]


def make_bad_name(folder: Path) -> None:
    """Write the default model with one byte of a name that is not UTF-8."""
    data = DEFAULT_MODEL.read_bytes()
    name = next(name for name, _ in read_graph(DEFAULT_MODEL).nodes if len(name) > 3).encode()
    (folder / "model.onnx").write_bytes(data.replace(name, name[:1] + b"\xe2" + name[2:], 1))


def make_location(folder: Path) -> None:
    """Write the default model with the path of a device in a value of its metadata."""
    entry = protobuf_fields((1, "note"), (2, b"\x0a\x08location\x12\x12/proc/self/pagemap"))
    (folder / "model.onnx").write_bytes(DEFAULT_MODEL.read_bytes() + protobuf_fields((14, entry)))


def make_huge_onnx(folder: Path) -> None:
    """Write an ONNX file whose only weight has 200,000 dimensions."""
    value = protobuf_fields((1, "x"), (2, protobuf_fields((1, protobuf_fields((1, 1))))))
    weight = protobuf_fields((1, HUGE * 200_000), (2, 1), (8, "w"))
    graph = protobuf_fields((5, weight), (11, value), (12, value))
    (folder / "model.onnx").write_bytes(protobuf_fields((1, 8), (7, graph)))


def make_empty_messages(folder: Path) -> None:
    """Write an ONNX file of 4 MB with two million empty nodes."""
    (folder / "model.onnx").write_bytes(protobuf_fields((1, 8), (7, protobuf_fields((1, b"")) * 2_000_000)))


def make_huge_caffe(folder: Path) -> None:
    """Write a caffemodel whose only blob has 200,000 dimensions."""
    blob = protobuf_fields((7, protobuf_fields((1, HUGE * 200_000))))
    (folder / "model.caffemodel").write_bytes(
        protobuf_fields((100, protobuf_fields((1, "a"), (2, "Convolution"), (7, blob))))
    )


def make_huge_graph(folder: Path) -> None:
    """Write a frozen graph whose only tensor has 200,000 dimensions."""
    size = protobuf_fields((1, 2**62))
    tensor = protobuf_fields((1, 1), (2, protobuf_fields((2, size)) * 200_000))
    attribute = protobuf_fields((1, "value"), (2, protobuf_fields((8, tensor))))
    node = protobuf_fields((1, "a"), (2, "Const"), (5, attribute))
    (folder / "model.pb").write_bytes(protobuf_fields((1, node)))


MADE = [
    Case(
        f"{name}, {runtime}",
        "short_side_capped",
        f"image pano.jpg --model OUT/model.onnx --runtime {runtime} --short-side 64",
        right,
        check,
        make,
        False,
    )
    for name, right, check, make in [
        ("name that is not UTF-8", "refused, or read", survived(1500), make_bad_name),
        ("path of a device in metadata", "read", survived(1500), make_location),
        ("ONNX: 200,000 dimensions", "refused", refused("model.onnx"), make_huge_onnx),
        (
            "ONNX: 2 million empty nodes",
            "refused, < 1 GB",
            lambda o: refused("model.onnx")(o) and o.peak_mb < 1000,
            make_empty_messages,
        ),
    ]
    for runtime in ("onnx", "openvino")
] + [
    Case(
        "ONNX: 200,000 dimensions, show",
        "",
        "models show OUT/model.onnx",
        "refused",
        refused("model.onnx"),
        make_huge_onnx,
        False,
    ),
    Case(
        "ONNX: 2 million empty nodes, show",
        "",
        "models show OUT/model.onnx",
        "refused",
        refused("model.onnx"),
        make_empty_messages,
        False,
    ),
    Case(
        "caffe: 200,000 dimensions",
        "",
        "export OUT/model.caffemodel -o OUT/x.onnx",
        "refused",
        refused("model.caffemodel"),
        make_huge_caffe,
        False,
    ),
    Case(
        "frozen graph: 200,000 dimensions",
        "",
        "export OUT/model.pb -o OUT/x.onnx",
        "refused",
        refused("model.pb"),
        make_huge_graph,
        False,
    ),
]
REQUESTS = [
    Case(
        "short side capped",
        "short_side_capped",
        "image pano.jpg --short-side 576",
        "37 people as without max_long_side, or a line about max_long_side",
        lambda o: number_of(o, "pano.jpg:") > 30 or "max_long_side" in o.text,
        is_quick=False,
    )
]


def _write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"
PLAIN = [
    Case("text named .mp4", "", "video OUT/x.mp4", "named", refused("a text file"), _write("x.mp4", b"no video")),
    Case(
        "playlist named .mp4",
        "",
        "video OUT/x.mp4",
        "not opened",
        refused("a text file"),
        _write("x.mp4", b"#EXTM3U\nhttp://127.0.0.1/\n"),
    ),
    *(
        Case(
            f"{what} named {suffix}",
            "short_side_capped",
            f"image pano.jpg --model OUT/model{suffix}",
            "named, with the cure",
            refused(cure),
            _write(f"model{suffix}", data),
            is_quick=suffix == ".onnx",
        )
        for suffix in (".onnx", ".pth", ".tflite", ".caffemodel", ".pb", ".npz")
        for what, data, cure in (("Git LFS pointer", LFS, "git lfs pull"), ("web page", PAGE, "a web page"))
    ),
    Case(
        "-o out.pdf",
        "short_side_capped",
        "image pano.jpg -o OUT/out.pdf",
        "refused with a list",
        refused(".png", ".jpg"),
    ),
    Case(
        "-o out.gif", "vfr_annotated", "video vfr.mp4 -o OUT/out.gif", "refused with a list", refused(".mp4", ".webm")
    ),
]
CASES = [*FILES, *PLAIN, *LABELS, *REQUESTS, *HOSTILE, *MADE]
