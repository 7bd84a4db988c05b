"""A report of evaluations: one HTML file with everything in it, and the numbers as JSON."""

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
from pose_ros.evaluation.detections import coco_entries
from pose_ros.evaluation.errors import KINDS, counted
from pose_ros.evaluation.failures import failure_sheets
from pose_ros.evaluation.plots import errors_plot, gains_plot
from pose_ros.evaluation.scores import Evaluation

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1400px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd }
td { text-align: right; font-variant-numeric: tabular-nums } td:first-child, th:first-child { text-align: left }
img { max-width: 100%; display: block; margin: .5em 0 1.5em } h2 { margin-top: 2em; border-top: 2px solid #222 }
"""
_LEGEND = (
    "Left: labels. Right: what was found. The person's own left side is orange, the right one sky blue; "
    "rings mark the keypoints in question."
)


def write_report(
    folder: Path, title: str, evaluations: Mapping[str, Evaluation], pictures: bool = True, notes: Sequence[str] = ()
) -> Path:
    """Write ``report.html``, ``evaluation.json``, and the results in COCO's form, ``results_<name>.json``.

    Args:
        folder: Where to; it is made where it is missing.
        title: Above the report.
        evaluations: By name.
        pictures: Whether to show failures, which needs the images.
        notes: To write below the title.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: If an image is missing.
        ImportError: If matplotlib is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": title, "notes": list(notes), "evaluations": {n: e.numbers() for n, e in evaluations.items()}}
    (folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name, evaluation in evaluations.items():
        entries = json.dumps(coco_entries(evaluation.data, evaluation.found))
        (folder / f"results_{name}.json").write_text(entries + "\n", encoding="utf-8")
    html = folder / "report.html"
    html.write_text("\n".join(_page(title, evaluations, pictures, notes)) + "\n", encoding="utf-8")
    return html


def main_table(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """The main numbers, a row of names first: in percent, and ms."""
    columns = {name: dict(_main_numbers(evaluation)) for name, evaluation in evaluations.items()}
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    return [["scores in %", *columns], *([row, *(column.get(row, "–") for column in columns.values())] for row in rows)]


def _main_numbers(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    numbers = evaluation.numbers()
    for name, score in numbers["scores"].items():
        yield name, _percent(score)
    for name, pck in numbers["pck"].items():
        yield name, _percent(pck["all"])
    judged = max(sum(numbers["errors"].values()), 1)
    for kind, count in numbers["errors"].items():
        yield kind, _percent(count / judged)
    for what in ("images", "labelled_people", "found_people", "missed_people", "false_people"):
        yield what.replace("_", " "), str(numbers[what])
    for stage, times in numbers["times_ms"].items():
        yield f"{stage}, ms (median, p95)", f"{times['median']:.1f}, {times['p95']:.1f}"


def _page(title: str, evaluations: Mapping[str, Evaluation], pictures: bool, notes: Sequence[str]) -> Iterator[str]:
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    yield from (f"<p>{escape(note)}</p>" for note in notes)
    yield _table(main_table(evaluations))
    for name, evaluation in evaluations.items():
        yield f"<h2>{escape(name)}</h2>"
        yield from _section(evaluation, pictures)
    yield "</body></html>"


def _section(evaluation: Evaluation, pictures: bool) -> Iterator[str]:
    names = evaluation.data.skeleton.keypoint_names
    counts = counted(evaluation.errors, len(names))
    if evaluation.lacking:
        yield f"<p>The model has no {escape(', '.join(evaluation.lacking))}: absent in all results.</p>"
    yield "<h3>Errors by keypoint</h3>" + _picture(errors_plot(counts, names), "png")
    yield _table([["keypoint", *KINDS, *evaluation.pck], *_by_keypoint(evaluation, counts)])
    if any(gain is not None for gain in evaluation.gains.values()):
        yield "<h3>What the errors cost</h3>" + _picture(gains_plot(evaluation.gains), "png")
    if pictures:
        yield f"<h3>Failures</h3><p>{_LEGEND}</p>"
        sheets = failure_sheets(evaluation.data, evaluation.found, evaluation.errors)
        yield from (f"<h4>{escape(kind)}</h4>" + _picture(_jpeg(sheet), "jpeg") for kind, sheet in sheets.items())


def _by_keypoint(evaluation: Evaluation, counts: Any) -> Iterator[list[str]]:
    shares = [pck.by_keypoint for pck in evaluation.pck.values()]
    for k, name in enumerate(evaluation.data.skeleton.keypoint_names):
        yield [name.replace("_", " "), *map(str, counts[k]), *(_percent(share[k]) for share in shares)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><tr>{head}</tr>{body}</table>"


def _picture(data: bytes, format: str) -> str:
    return f'<img alt="" src="data:image/{format};base64,{base64.b64encode(data).decode()}">'


def _jpeg(image: Image) -> bytes:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()


def _percent(share: float | None) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f}"
