"""Choose the cells of a feature pyramid that predict each person, and make their targets.

A cell predicts a person if it is near the centre of the box of the person and if the level fits the size of the person.
Of several people, it predicts the one with the smallest box.

References:
    Tian et al., DirectPose, arXiv:1911.07451, section 3 (offsets from a cell to all keypoints).
    Tian et al., FCOS, arXiv:1904.01355, section 3.2 (levels), eq. 3 (centre-ness), and the code of its authors (only
    cells near the centre).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, LongArray
from pose_ros.datasets.sample import UNCERTAIN, UNKNOWN
from pose_ros.fields import ModelSpec
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.grid import GridLabels
from pose_ros.training.targets.heatmaps import Target

NO_PERSON = -1
"""Index of cells without a person."""


@dataclass(frozen=True)
class PyramidCells:
    """The P cells of all levels, row by row, the finest level first.

    Attributes:
        xy: (P, 2), position in cells of the finest level.
        scales: (P,), cells of the finest level per cell.
    """

    xy: DoubleArray
    scales: DoubleArray


def people(labels: GridLabels, spec: ModelSpec, config: TargetConfig) -> dict[str, Target]:
    """Make the targets of all cells.

    People without a labelled keypoint have no targets: their cells are unknown.

    Args:
        labels: Labels on the grid of the finest level.
        spec: Description of the network. Its coarsest level has one cell for ``input.multiple`` pixels.
        config: Settings of the choice of cells.

    Returns:
        ``person_scores`` (1, P) 1 at cells of people. ``centreness`` (1, P) in [0, 1]. ``person_offsets`` (2 K, P) x
        and y from a cell to the keypoints, in cells of the level. ``keypoint_scores`` (K, P) 1 where labelled.
    """
    levels = round(math.log2(spec.input.multiple / spec.stride)) + 1
    cells = _cells(labels.shape_hw, levels)
    owners, sides = _owners(labels, cells, levels, config)
    taught = np.append(labels.labelled.any(axis=1), False)[owners]  # the last is that of NO_PERSON
    known = np.where(owners == NO_PERSON, _is_valid(labels, cells), taught).astype(np.uint8)
    chosen = np.flatnonzero(taught)
    states, labelled = labels.states[owners[chosen]], labels.labelled[owners[chosen]]
    offsets = (labels.keypoints_xy[owners[chosen]] - cells.xy[chosen, None]) / cells.scales[chosen, None, None]
    offsets = np.where(labelled[..., None], offsets, 0).reshape(len(chosen), 2 * labels.states.shape[1])
    is_known = (states != UNKNOWN) & (states != UNCERTAIN)
    count = len(cells.xy)
    return {
        "person_scores": (taught[None].astype(np.float32), known[None]),
        "centreness": _place(_centreness(sides[chosen])[:, None], np.ones((len(chosen), 1), np.bool_), chosen, count),
        "person_offsets": _place(offsets, np.repeat(labelled, 2, axis=1), chosen, count),
        "keypoint_scores": _place(labelled.astype(np.float64), is_known, chosen, count),
    }


def _cells(shape_hw: tuple[int, int], levels: int) -> PyramidCells:
    places, scales = [], []
    for scale in (2**level for level in range(levels)):
        rows, cols = np.mgrid[: shape_hw[0] // scale, : shape_hw[1] // scale]
        xy = np.stack([cols.ravel(), rows.ravel()], axis=1) * scale + (scale - 1) / 2
        places.append(xy)
        scales.append(np.full(len(xy), float(scale)))
    return PyramidCells(np.concatenate(places), np.concatenate(scales))


def _owners(
    labels: GridLabels, cells: PyramidCells, levels: int, config: TargetConfig
) -> tuple[LongArray, DoubleArray]:
    """Return the person of each cell (P,), and the distances (P, 4) from the cell to the sides of its box."""
    boxes = labels.boxes
    if not len(boxes):
        return np.full(len(cells.xy), NO_PERSON, np.int64), np.zeros((len(cells.xy), 4))
    low, high = cells.xy[:, None] - boxes[:, :2], boxes[:, 2:] - cells.xy[:, None]
    sides = np.concatenate([low, high], axis=2)  # (P, N, 4)
    longest, first = sides.max(axis=2), config.level_px / labels.stride
    scales = cells.scales[:, None]
    above = (longest > first * scales / 2) | (scales == 1)
    below = (longest <= first * scales) | (scales == 2 ** (levels - 1))
    from_centre = np.abs(cells.xy[:, None] - (boxes[:, :2] + boxes[:, 2:]) / 2).max(axis=2)
    possible = above & below & (sides.min(axis=2) > 0) & (from_centre < config.centre_cells * scales)
    areas = np.where(possible, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), np.inf)
    nearest = areas.argmin(axis=1)
    owners = np.where(np.isfinite(areas.min(axis=1)), nearest, NO_PERSON)
    return owners, sides[np.arange(len(nearest)), nearest]


def _centreness(sides: DoubleArray) -> DoubleArray:
    """Compute the centre-ness (M,) of cells from their distances (M, 4) to the sides of a box, eq. 3 of FCOS."""
    pairs = sides.reshape(-1, 2, 2)
    return np.sqrt((pairs.min(axis=1) / pairs.max(axis=1)).prod(axis=1))


def _is_valid(labels: GridLabels, cells: PyramidCells) -> BoolArray:
    """Return whether each cell (P,) is outside ignored areas."""
    cols, rows = np.floor(cells.xy).astype(np.int64).T
    return labels.valid[rows, cols].astype(np.bool_)


def _place(values: DoubleArray, known: BoolArray, chosen: LongArray, count: int) -> Target:
    """Make a field (C, count) with values (M, C) at the chosen cells (M,), and its weights."""
    field, weights = np.zeros((values.shape[1], count), np.float32), np.zeros((values.shape[1], count), np.uint8)
    field[:, chosen], weights[:, chosen] = values.T, known.T
    return field, weights
