"""The plots of a report, as PNG files in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pose_ros.arrays import LongArray
from pose_ros.evaluation.errors import KINDS

COLOURS = {"good": "#009e73", "jitter": "#56b4e9", "inversion": "#e69f00", "swap": "#cc79a7", "miss": "#999999"}
"""Okabe and Ito's, which stay apart under every common colour blindness."""
_OTHER = "#0072b2"


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"report: expected matplotlib, got {error}; pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def errors_plot(counts: LongArray, names: Sequence[str]) -> bytes:
    """Shares of KINDS, of all keypoints and of each.

    Args:
        counts: (K, 5).
        names: K.
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
    axes.set(xlim=(0, 100), xlabel="share of the labelled keypoints of people found, %")
    figure.legend(loc="outside upper center", ncols=len(KINDS), frameon=False)
    return _png(figure)


def gains_plot(gains: Mapping[str, float | None]) -> bytes:
    """What AP would gain without each kind of error."""
    known = {kind: 100 * gain for kind, gain in gains.items() if gain is not None}
    figure = new_figure(8, 0.9 + 0.3 * len(known))
    axes = figure.subplots()
    bars = axes.barh(list(known), list(known.values()), color=[COLOURS.get(kind, _OTHER) for kind in known])
    axes.bar_label(bars, fmt="%+.1f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="AP gained if it were right, points")
    return _png(figure)


def _png(figure: Any) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
