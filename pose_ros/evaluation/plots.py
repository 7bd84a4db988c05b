"""Draw the plots of a report as PNG data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pose_ros.arrays import LongArray
from pose_ros.datasets.pose_errors import KINDS

COLOURS = {"good": "#009e73", "jitter": "#56b4e9", "inversion": "#e69f00", "swap": "#cc79a7", "miss": "#999999"}
"""Palette of Okabe and Ito, which is distinguishable with every common form of colour blindness."""
_OTHER = "#0072b2"
_LABELS = {"false people": "false positives"}  # the key is part of the format of evaluation.json


def new_figure(width: float, height: float) -> Any:
    """Make an empty figure of this size, inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"report: expected matplotlib, got {error}; pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def errors_plot(counts: LongArray, names: Sequence[str]) -> bytes:
    """Plot the percentage of each of KINDS, for all keypoints and for each one.

    Args:
        counts: (K, 5), number of keypoints of each kind.
        names: K keypoint names.
    """
    rows = np.concatenate([counts.sum(axis=0, keepdims=True), counts])
    totals = rows.sum(axis=1)
    shares = 100 * rows / np.maximum(totals, 1)[:, None]
    labels = [f"{name.replace('_', ' ')} ({total})" for name, total in zip(["all", *names], totals, strict=True)]
    figure = new_figure(8, 1 + 0.26 * len(rows))
    axes = figure.subplots()
    starts = np.cumsum(shares, axis=1) - shares
    for index, kind in enumerate(KINDS):
        axes.barh(labels, shares[:, index], left=starts[:, index], color=COLOURS[kind], label=kind, height=0.8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="labelled keypoints of detected people, %")
    figure.legend(loc="outside upper center", ncols=len(KINDS), frameon=False)
    return _encode_png(figure)


def gains_plot(gains: Mapping[str, float | None]) -> bytes:
    """Plot how much AP would increase without each kind of error."""
    known = {kind: 100 * gain for kind, gain in gains.items() if gain is not None}
    figure = new_figure(8, 0.9 + 0.3 * len(known))
    axes = figure.subplots()
    names = [_LABELS.get(kind, kind) for kind in known]
    bars = axes.barh(names, list(known.values()), color=[COLOURS.get(kind, _OTHER) for kind in known])
    axes.bar_label(bars, fmt="%+.1f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="AP gain if this kind of error were corrected, points")
    return _encode_png(figure)


def sizes_plot(short_sides: Sequence[int], scores: Sequence[float], times_ms: Sequence[float], name: str) -> bytes:
    """Plot the score of each input size against its time.

    Args:
        short_sides: Shorter sides of the network input, px.
        scores: Score of each size.
        times_ms: Time of each size, ms.
        name: Name of the score.
    """
    figure = new_figure(6, 4)
    axes = figure.subplots()
    axes.plot(times_ms, scores, "o-", color=_OTHER)
    for side, score, time_ms in zip(short_sides, scores, times_ms, strict=True):
        axes.annotate(f"{side} px", (time_ms, score), (6, -12), textcoords="offset points")
    axes.margins(x=0.15, y=0.15)
    axes.set(xlabel="time per image, ms", ylabel=name)
    return _encode_png(figure)


def _encode_png(figure: Any) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
