"""Write evaluation reports: one self-contained HTML file, and the numbers as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import Image
from pose_ros.datasets.pose_errors import KINDS
from pose_ros.evaluation.detections import coco_entries
from pose_ros.evaluation.errors import count_kinds
from pose_ros.evaluation.failures import failure_sheets
from pose_ros.evaluation.plots import errors_plot, gains_plot
from pose_ros.evaluation.scores import Evaluation
from pose_ros.files import atomic_write

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1400px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd }
td { text-align: right; font-variant-numeric: tabular-nums } td:first-child, th:first-child { text-align: left }
img { max-width: 100%; display: block; margin: .5em 0 1.5em } h2 { margin-top: 2em; border-top: 2px solid #222 }
h1, p, li { overflow-wrap: anywhere } div.wide { overflow-x: auto } dt { float: left; clear: left; font-weight: bold }
dd { margin-left: 9em }
@media (max-width: 600px) { body { margin: 1em auto } table { font-size: 13px } td, th { padding: .2em .3em } }
"""
_COUNTS = {
    "images": "images",
    "labelled people": "labelled_people",
    "detections": "found_people",
    "missed people": "missed_people",
    "false positives": "false_people",
}
"""Rows of counts in the main table, and their keys in ``evaluation.json``."""
_WORDS = {
    "good": "as near to its label as people who label an image are to each other",
    "jitter": "near its label",
    "inversion": "at the other side of the same person",
    "swap": "on another person",
    "miss": "near none of these, or absent",
    "missed people": "labelled people without a detection",
    "false positives": "detections without a labelled person",
}
"""Words of the main table. The first five are the kinds of each labelled keypoint of a detected person."""
_LEGEND = (
    "Left: labels. Right: detections. The left side of a person is orange, the right side is sky blue. "
    "Rings mark the wrong keypoints."
)


def write_report(
    folder: Path,
    title: str,
    evaluations: Mapping[str, Evaluation],
    show_failures: bool = True,
    notes: Sequence[str] = (),
) -> Path:
    """Write ``report.html``, ``evaluation.json``, and COCO results ``results_<name>.json``.

    Args:
        folder: Output folder. It is created if missing.
        title: Title of the report.
        evaluations: Evaluations by name.
        show_failures: Whether to show failures, which requires the images.
        notes: Lines of text below the title, such as the settings.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: If an image is missing.
        ImportError: If matplotlib is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": title, "notes": list(notes), "evaluations": {n: e.numbers() for n, e in evaluations.items()}}
    _write_text(folder / "evaluation.json", json.dumps(content, indent=2))
    for name, evaluation in evaluations.items():
        entries = json.dumps(coco_entries(evaluation.data, evaluation.detections))
        _write_text(folder / f"results_{name}.json", entries)
    html = folder / "report.html"
    _write_text(html, "\n".join(_page(title, evaluations, show_failures, notes)))
    return html


def _write_text(file: Path, text: str) -> None:
    with atomic_write(file) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def main_table(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """Return the main numbers as rows of text, header first. Scores are in percent, times in ms."""
    columns = {name: dict(_main_numbers(evaluation)) for name, evaluation in evaluations.items()}
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    return [["scores in %", *columns], *([row, *(column.get(row, "–") for column in columns.values())] for row in rows)]


def _main_numbers(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    numbers = evaluation.numbers()
    for name, score in numbers["scores"].items():
        yield name, _format_percent(score)
    for name, pck in numbers["pck"].items():
        yield name, _format_percent(pck["all"])
    if masks := numbers["masks"]:
        yield "mask IoU, matched people", _format_percent(masks["mean_iou"])
        yield "mask IoU, all people", _format_percent(masks["mean_iou_of_all"])
    judged = max(sum(numbers["errors"].values()), 1)
    for kind, count in numbers["errors"].items():
        yield kind, _format_percent(count / judged)
    for row, key in _COUNTS.items():
        yield row, str(numbers[key])
    for stage, times in numbers["times_ms"].items():
        yield f"{stage}, ms (median, p95)", f"{times['median']:.1f}, {times['p95']:.1f}"


def _page(
    title: str, evaluations: Mapping[str, Evaluation], show_failures: bool, notes: Sequence[str]
) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    if notes:
        yield "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
    yield _table(main_table(evaluations))
    yield "<dl>" + "".join(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in _WORDS.items()) + "</dl>"
    for name, evaluation in evaluations.items():
        yield f"<h2>{escape(name)}</h2>"
        yield from _section(evaluation, show_failures)
    yield "</body></html>"


def _section(evaluation: Evaluation, show_failures: bool) -> Iterator[str]:
    names = evaluation.data.skeleton.keypoint_names
    counts = count_kinds(evaluation.errors, len(names))
    if evaluation.unknown_keypoints:
        unknown = escape(", ".join(evaluation.unknown_keypoints))
        yield f"<p>The model does not detect {unknown}. These keypoints are absent in all results.</p>"
    yield "<h3>Errors by keypoint</h3>" + _embed_image(errors_plot(counts, names), "png")
    yield _table([["keypoint", *KINDS, *evaluation.pck], *_keypoint_rows(evaluation, counts)])
    if any(gain is not None for gain in evaluation.gains.values()):
        yield "<h3>AP gain without each kind of error</h3>" + _embed_image(gains_plot(evaluation.gains), "png")
    if show_failures:
        yield f"<h3>Failures</h3><p>{_LEGEND}</p>"
        sheets = failure_sheets(evaluation.data, evaluation.detections, evaluation.errors)
        yield from (
            f"<h4>{escape(kind)}</h4>" + _embed_image(_encode_jpeg(sheet), "jpeg") for kind, sheet in sheets.items()
        )


def _keypoint_rows(evaluation: Evaluation, counts: Any) -> Iterator[list[str]]:
    shares = [pck.by_keypoint for pck in evaluation.pck.values()]
    for k, name in enumerate(evaluation.data.skeleton.keypoint_names):
        yield [name.replace("_", " "), *map(str, counts[k]), *(_format_percent(share[k]) for share in shares)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _embed_image(data: bytes, format: str) -> str:
    return f'<img alt="" src="data:image/{format};base64,{base64.b64encode(data).decode()}">'


def _encode_jpeg(image: Image) -> bytes:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()


def _format_percent(share: float | None) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f}"
