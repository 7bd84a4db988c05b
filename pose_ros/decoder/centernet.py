"""CenterNet: a person is a peak of the map of centres, and every keypoint an offset from there.

Where there are heatmaps, each keypoint then snaps to the nearest peak, if that is near enough and inside the
person's box. Networks of this form, and the fields that their outputs are:

    CenterNet   hm: centres. hps: keypoint_offsets. reg: centre_offsets. wh: sizes. hm_hp: heatmaps.
                hp_offset: heatmap_offsets
    DEKR        last heatmap: centres. Other heatmaps: heatmaps. Offsets, which are centre minus keypoint, negated:
                keypoint_offsets
    DirectPose  classification times centre-ness: centres. Regressed vectors, in cells: keypoint_offsets. Each level
                of its pyramid is decoded by itself

References:
    Zhou et al., Objects as Points, arXiv:1904.07850: "Preliminary" (a point p is drawn at the cell floor(p / stride),
    the offset is the remainder), "From points to bounding boxes", "Human pose estimation" (snapping).
    Geng et al., Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression (DEKR), arXiv:2104.02300.
    Tian et al., DirectPose: Direct End-to-End Multi-Person Pose Estimation, arXiv:1911.07451.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.duplicates import distinct
from pose_ros.decoder.jit import COMPILED, jit
from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People

BOX_MARGIN = 0.1
"""How far people without sizes reach beyond their keypoints, relative to the longer side of these."""


class CenterNetDecoder:
    """Reads people off their centres. Immutable and safe in any thread."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._on_average = 0.5 if config.half_cell else 0.0  # from a cell to the points that are drawn there

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        A keypoint on a heatmap's peak has the score of the peak, any other that of its person's centre; it may lie
        outside of the image. A keypoint without a finite offset is absent.

        Args:
            fields: ``centres`` (1, H, W) and ``keypoint_offsets`` (2 K, H, W), any real type and memory layout; where
                the network has them, ``centre_offsets``, ``sizes``, ``heatmaps`` and ``heatmap_offsets``.

        Returns:
            The people, the best first, in network-input pixels.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        return self.people_and_boxes(fields)[0]

    def people_and_boxes(self, fields: Fields) -> tuple[People, FloatArray]:
        """Decode one image: the people, and the box (N, 4) that the network gives each of them.

        A box is x_min, y_min, x_max, y_max in network-input pixels, not cut to the image. Without ``sizes`` it is that
        of the regressed keypoints and a margin.
        """
        config, spec = self._config, self._spec
        centres = field_array("centres", fields.centres, 1)
        shape_hw, keypoint_count = centres.shape[1:], len(spec.skeleton)
        peaks = find_peaks(centres, config.centre_threshold, config.max_peaks, "none")
        cells, person_scores = _cells(centres, peaks)[0], peaks.scores[0, : peaks.counts[0]]
        offsets = _vectors("keypoint_offsets", fields.keypoint_offsets, keypoint_count, shape_hw, cells)
        keypoints, present = cells[:, None] + offsets, np.isfinite(offsets[..., 0])
        boxes = self._boxes(fields, shape_hw, cells, keypoints)
        scores = np.where(present, person_scores[:, None], np.float32(0))
        if fields.heatmaps is not None:
            self._snap(fields, shape_hw, boxes, keypoints, scores)
        pixels = np.where(present[..., None], keypoints * spec.stride + spec.origin, 0).astype(np.float32)
        chosen = self._choose(pixels, scores, person_scores)
        people = People(pixels[chosen], scores[chosen], person_scores[chosen])
        return people, (boxes[chosen] * spec.stride + spec.origin).astype(np.float32)

    def _boxes(self, fields: Fields, shape_hw: tuple[int, ...], cells: LongArray, keypoints: AnyArray) -> AnyArray:
        """(N, 4) in cells; NaN for a person without size and keypoints."""
        low, high = np.fmin.reduce(keypoints, axis=1), np.fmax.reduce(keypoints, axis=1)
        margin = BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
        around = np.concatenate([low - margin, high + margin], axis=1)
        if fields.sizes is None:
            return around
        middle = self._points("centre_offsets", fields.centre_offsets, shape_hw, cells)
        half = 0.5 * _vectors("sizes", fields.sizes, 1, shape_hw, cells)[:, 0]
        known = (half > 0).all(axis=1, keepdims=True)
        return np.where(known, np.concatenate([middle - half, middle + half], axis=1), around)

    def _points(self, name: str, offsets: AnyArray | None, shape_hw: tuple[int, ...], cells: LongArray) -> AnyArray:
        """(N, 2), the points that are drawn at cells; without an offset where they are on average."""
        points: AnyArray = cells.astype(np.float64) + self._on_average
        if offsets is not None:
            vectors = _vectors(name, offsets, 1, shape_hw, cells)[:, 0]
            points = np.where(np.isfinite(vectors), cells + vectors, points)
        return points

    def _snap(
        self,
        fields: Fields,
        shape_hw: tuple[int, ...],
        boxes: AnyArray,
        keypoints: AnyArray,
        scores: FloatArray,
    ) -> None:
        """Move keypoints (N, K, 2) to the peaks of the heatmaps, and take over their scores (N, K)."""
        points, peaks = self._peaks(fields, shape_hw)
        if len(keypoints) == 0 or peaks.counts.max() == 0:
            return
        arrays = np.ascontiguousarray(keypoints), np.ascontiguousarray(points)  # each layout would be compiled anew
        nearest = (_nearest if COMPILED else _nearest_numpy)(*arrays, peaks.counts)
        columns = np.arange(len(points))
        targets = points[columns, nearest]
        # Only the nearest peak may be taken: with one outside of the box, the next is another person's.
        inside = ((boxes[:, None, :2] <= targets) & (targets <= boxes[:, None, 2:])).all(axis=2)
        reach = self._config.snap_distance * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
        moved = (nearest >= 0) & inside & (np.hypot(*np.moveaxis(targets - keypoints, 2, 0)) <= reach)
        keypoints[moved] = targets[moved]
        scores[moved] = peaks.scores[columns, nearest][moved]

    def _peaks(self, fields: Fields, shape_hw: tuple[int, ...]) -> tuple[AnyArray, Peaks]:
        """The peaks of the heatmaps, and the points (K, M, 2) in cells that they stand for."""
        config, offsets = self._config, fields.heatmap_offsets
        heatmaps = _on_grid("heatmaps", field_array("heatmaps", fields.heatmaps, len(self._sigmas)), shape_hw)
        method = config.subpixel if offsets is None and not config.half_cell else "none"
        peaks = find_peaks(heatmaps, config.snap_threshold, config.max_peaks, method, config.dark_kernel)
        if offsets is None:
            return peaks.xy.astype(np.float64) + self._on_average, peaks
        cells = _cells(heatmaps, peaks)
        points = self._points("heatmap_offsets", offsets, shape_hw, cells.reshape(-1, 2))
        return points.reshape(cells.shape), peaks

    def _choose(self, pixels: FloatArray, scores: FloatArray, person_scores: FloatArray) -> LongArray:
        """The people to report, of those given, the best first."""
        config = self._config
        enough = (scores > 0).sum(axis=1) >= config.min_keypoints
        likely = np.flatnonzero(enough & (person_scores >= config.min_person_score))
        different = distinct(pixels[likely], scores[likely], self._sigmas, config.duplicate_oks)
        return likely[different][: config.max_people]


def _on_grid(name: str, field: FloatArray, shape_hw: tuple[int, ...]) -> FloatArray:
    if field.shape[1:] != shape_hw:
        raise ValueError(f"{name}: expected the grid of the centres, {shape_hw}, got {field.shape[1:]}")
    return field


def _vectors(name: str, field: AnyArray | None, count: int, shape_hw: tuple[int, ...], cells: LongArray) -> AnyArray:
    """(N, count, 2) vectors at cells (N, 2) of a field (2 count, H, W); NaN if not finite or longer than the map."""
    array = _on_grid(name, field_array(name, field, 2 * count), shape_hw)
    vectors = array[:, cells[:, 1], cells[:, 0]].T.reshape(len(cells), count, 2).astype(np.float64)
    length = np.hypot(vectors[..., :1], vectors[..., 1:])
    return np.where(length <= sum(shape_hw), vectors, np.nan)


def _cells(maps: FloatArray, peaks: Peaks) -> LongArray:
    """The cells (K, most of a channel, 2) of peaks that are not refined; of a plateau, that nearest to its centre."""
    xy, scores = peaks.xy[:, : peaks.counts.max()], peaks.scores[:, : peaks.counts.max()]
    cells = xy.astype(np.int64)
    values = np.minimum(maps[np.arange(len(maps))[:, None], cells[..., 1], cells[..., 0]], 1)
    for k, m in np.argwhere((values != scores) & (scores > 0)):
        plateau = np.argwhere(np.minimum(maps[k], 1) == scores[k, m])[:, ::-1]
        cells[k, m] = plateau[((plateau - xy[k, m]) ** 2).sum(axis=1).argmin()]
    return cells


@jit
def _nearest(keypoints: Any, points: Any, counts: Any) -> Any:
    """Index (N, K) of the peak that each keypoint is nearest to, the first of equal ones; -1 where there is none."""
    nearest = np.full((keypoints.shape[0], keypoints.shape[1]), -1, np.int64)
    for n in range(keypoints.shape[0]):
        for k in range(keypoints.shape[1]):
            least = np.inf
            for m in range(counts[k]):
                dx, dy = points[k, m, 0] - keypoints[n, k, 0], points[k, m, 1] - keypoints[n, k, 1]
                squared = dx * dx + dy * dy
                if squared < least:
                    least, nearest[n, k] = squared, m
    return nearest


def _nearest_numpy(keypoints: AnyArray, points: AnyArray, counts: LongArray) -> LongArray:
    """The same as ``_nearest`` where there is no compiler."""
    squared = ((points - keypoints[:, :, None]) ** 2).sum(axis=3)  # (N, K, M)
    used = (np.arange(points.shape[1]) < counts[:, None]) & (squared < np.inf)
    nearest = np.where(used, squared, np.inf).argmin(axis=2)
    return np.where(used.any(axis=2), nearest, -1)
