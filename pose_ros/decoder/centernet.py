"""Decode CenterNet: a person is a peak of the map of centres, and its keypoints are offsets from there.

If the model has heatmaps, each keypoint then snaps to its heatmap, by the rule of the model (``snapping``). Networks of
this form and the fields of their outputs:

    CenterNet   hm: centres. hps: keypoint_offsets. reg: centre_offsets. wh: sizes. hm_hp: heatmaps.
                hp_offset: heatmap_offsets
    MoveNet     center: centres. kpt_regress: keypoint_offsets. box_offset: centre_offsets. box_scale: sizes.
                kpt_heatmap: heatmaps. kpt_offset: heatmap_offsets, with a pair of channels for each keypoint
    DEKR        last heatmap: centres. Other heatmaps: heatmaps. Negated offsets (they are centre minus keypoint):
                keypoint_offsets
    DirectPose  classification times centre-ness: centres. Regressed vectors, in cells: keypoint_offsets. Each level
                of its pyramid is decoded separately

References:
    Zhou et al., Objects as Points, arXiv:1904.07850: "Preliminary" (a point p is drawn at the cell floor(p / stride),
    the offset is the remainder), "From points to bounding boxes", "Human pose estimation" (snapping).
    Geng et al., Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression (DEKR), arXiv:2104.02300.
    Tian et al., DirectPose: Direct End-to-End Multi-Person Pose Estimation, arXiv:1911.07451.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder import choose_method
from pose_ros.decoder.duplicates import find_distinct
from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.decoder.snapping import find_best_cells, find_nearest_peaks
from pose_ros.decoder.subpixel import Refinement, read_offsets, refine_cells
from pose_ros.fields import Fields, ModelSpec, field_array, heatmap_array
from pose_ros.people import People

BOX_MARGIN = 0.1
"""Margin of a box around keypoints without sizes, relative to the longer side of their extent."""


class CenterNetDecoder:
    """Decoder of people from their centres. Immutable and thread-safe.

    Args:
        spec: Description of the model.
        config: Settings.
        only_snapped: Whether keypoints that do not snap to their heatmap are absent.
    """

    def __init__(self, spec: ModelSpec, config: DecoderConfig, only_snapped: bool = False) -> None:
        self._spec, self._only_snapped = spec, only_snapped
        self._config = config
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._mean_offset = 0.5 if config.half_cell else 0.0  # from a cell to the mean of the points drawn at it

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        A keypoint that snaps to its heatmap has the score of the heatmap. Any other keypoint has the score of the
        person's centre, and may lie outside the image. A keypoint without a finite offset is absent. With nearest
        snapping, the score of a person is that of the centre. Otherwise it is the geometric mean of the score of the
        centre and the mean score of the keypoints.

        Args:
            fields: ``centres`` (1, H, W) and ``keypoint_offsets`` (2 K, H, W), any real type and memory layout.
                Optional: ``centre_offsets``, ``sizes``, ``heatmaps`` and ``heatmap_offsets``.

        Returns:
            The people in network-input pixels, sorted by score, the best first.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        return self.people_and_boxes(fields)[0]

    def people_and_boxes(self, fields: Fields) -> tuple[People, FloatArray]:
        """Decode one image to people and boxes.

        Args:
            fields: The same fields as for a call of the decoder.

        Returns:
            The people, and their boxes (N, 4) x_min, y_min, x_max, y_max in network-input pixels, not clipped to the
            image. Without ``sizes``, a box is the extent of the regressed keypoints and a margin.
        """
        config, spec = self._config, self._spec
        centres = field_array("centres", fields.centres, 1)
        shape_hw, keypoint_count = centres.shape[1:], len(spec.skeleton)
        peaks = find_peaks(centres, config.centre_threshold, config.most_peaks, Refinement("none"))
        cells, person_scores = _cells(centres, peaks)[0], peaks.scores[0, : peaks.counts[0]]
        offsets = _read_vectors("keypoint_offsets", fields.keypoint_offsets, keypoint_count, shape_hw, cells)
        keypoints, present = cells[:, None] + offsets, np.isfinite(offsets[..., 0])
        boxes = self._boxes(fields, shape_hw, cells, keypoints)
        scores = np.where(present, person_scores[:, None], np.float32(0))
        if fields.heatmaps is not None:
            snapped = self._snap(fields, shape_hw, boxes, keypoints, scores)
            scores = np.where(snapped, scores, 0) if self._only_snapped else scores
            if spec.snapping != "nearest":
                person_scores = np.sqrt(person_scores * scores.mean(axis=1))
        pixels = np.where(present[..., None], keypoints * spec.stride + spec.origin, 0).astype(np.float32)
        chosen = self._select(pixels, scores, person_scores)
        people = People(pixels[chosen], scores[chosen], person_scores[chosen])
        return people, (boxes[chosen] * spec.stride + spec.origin).astype(np.float32)

    def _boxes(self, fields: Fields, shape_hw: tuple[int, ...], cells: LongArray, keypoints: AnyArray) -> AnyArray:
        """Return the boxes (N, 4) in cells. NaN for a person without size and keypoints."""
        low, high = np.fmin.reduce(keypoints, axis=1), np.fmax.reduce(keypoints, axis=1)
        margin = BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
        around = np.concatenate([low - margin, high + margin], axis=1)
        if fields.sizes is None:
            return around
        middle = self._points("centre_offsets", fields.centre_offsets, shape_hw, cells)
        half = 0.5 * _read_vectors("sizes", fields.sizes, 1, shape_hw, cells)[:, 0]
        known = (half > 0).all(axis=1, keepdims=True)
        return np.where(known, np.concatenate([middle - half, middle + half], axis=1), around)

    def _points(self, name: str, offsets: AnyArray | None, shape_hw: tuple[int, ...], cells: LongArray) -> AnyArray:
        """Return the points (N, 2) that are drawn at cells. Without an offset, return their mean position."""
        points: AnyArray = cells.astype(np.float64) + self._mean_offset
        if offsets is not None:
            vectors = _read_vectors(name, offsets, 1, shape_hw, cells)[:, 0]
            points = np.where(np.isfinite(vectors), cells + vectors, points)
        return points

    def _snap(
        self,
        fields: Fields,
        shape_hw: tuple[int, ...],
        boxes: AnyArray,
        keypoints: AnyArray,
        scores: FloatArray,
    ) -> BoolArray:
        """Move keypoints (N, K, 2) to their heatmaps, and copy the scores (N, K) from there. Return which moved."""
        config, with_offsets = self._config, fields.heatmap_offsets is not None
        heatmaps = _check_grid("heatmaps", heatmap_array(fields.heatmaps, len(self._sigmas)), shape_hw)
        method = choose_method(config.subpixel, with_offsets)
        offsets = read_offsets(fields.heatmap_offsets, heatmaps) if method == "offsets" else None
        refinement = Refinement("none" if offsets is not None or config.half_cell else method, config.dark_kernel)
        if self._spec.snapping != "nearest":
            cells, values = find_best_cells(heatmaps, boxes, keypoints, self._spec.snapping == "scaled")
            targets = self._refine(heatmaps, cells, offsets, refinement)
        else:
            peaks = find_peaks(heatmaps, config.snap_threshold, config.most_peaks, refinement)
            points = peaks.xy.astype(np.float64) + self._mean_offset
            if offsets is not None:
                points = self._move_by_offsets(offsets, _cells(heatmaps, peaks))
            targets, values = find_nearest_peaks(points, peaks, boxes, keypoints, config.snap_distance)
        moved = np.asarray(values > 0)
        keypoints[moved] = targets[moved]
        scores[moved] = values[moved]
        return moved

    def _refine(
        self, heatmaps: FloatArray, cells: LongArray, offsets: FloatArray | None, refinement: Refinement
    ) -> AnyArray:
        """Return the points (N, K, 2) that cells (N, K, 2) of the heatmaps mark."""
        by_keypoint = cells.swapaxes(0, 1)
        if offsets is not None:
            return self._move_by_offsets(offsets, by_keypoint).swapaxes(0, 1)
        channels = np.repeat(np.arange(len(heatmaps)), len(cells))
        cols, rows = by_keypoint.reshape(-1, 2).T
        refined = refine_cells(heatmaps, channels, rows, cols, refinement) + self._mean_offset
        return refined.reshape(by_keypoint.shape).swapaxes(0, 1)

    def _move_by_offsets(self, offsets: FloatArray, cells: LongArray) -> AnyArray:
        """Return the points (K, M, 2) that are drawn at cells (K, M, 2), by offsets (2 or 2 K, H, W)."""
        vectors = offsets.reshape(-1, 2, *offsets.shape[1:])
        channels = np.arange(len(cells))[:, None] if len(vectors) > 1 else 0
        moves = vectors[channels, :, cells[..., 1], cells[..., 0]].astype(np.float64)
        usable = np.hypot(moves[..., :1], moves[..., 1:]) <= sum(offsets.shape[1:])
        return cells + np.where(usable, moves, self._mean_offset)

    def _select(self, pixels: FloatArray, scores: FloatArray, person_scores: FloatArray) -> LongArray:
        """Select the people to report. Return their indices, the best first."""
        config = self._config
        enough = (scores > 0).sum(axis=1) >= config.min_keypoints
        order = np.argsort(-person_scores, kind="stable")
        likely = order[(enough & (person_scores >= config.min_person_score))[order]]
        different = find_distinct(pixels[likely], scores[likely], self._sigmas, config.duplicate_oks)
        return likely[different][: config.most_people]


def _check_grid(name: str, field: FloatArray, shape_hw: tuple[int, ...]) -> FloatArray:
    if field.shape[1:] != shape_hw:
        raise ValueError(f"{name}: expected the grid of the centres, {shape_hw}, got {field.shape[1:]}")
    return field


def _read_vectors(
    name: str, field: AnyArray | None, count: int, shape_hw: tuple[int, ...], cells: LongArray
) -> AnyArray:
    """Return vectors (N, count, 2) at cells (N, 2) of a field (2 count, H, W).

    A vector is NaN if it is not finite or longer than the map.
    """
    array = _check_grid(name, field_array(name, field, 2 * count), shape_hw)
    vectors = array[:, cells[:, 1], cells[:, 0]].T.reshape(len(cells), count, 2).astype(np.float64)
    length = np.hypot(vectors[..., :1], vectors[..., 1:])
    return np.where(length <= sum(shape_hw), vectors, np.nan)


def _cells(maps: FloatArray, peaks: Peaks) -> LongArray:
    """Return the cells (K, largest number of peaks of a channel, 2) of peaks that are not refined.

    The cell of a plateau is the one nearest to its centre.
    """
    xy, scores = peaks.xy[:, : peaks.counts.max()], peaks.scores[:, : peaks.counts.max()]
    cells = xy.astype(np.int64)
    values = np.minimum(maps[np.arange(len(maps))[:, None], cells[..., 1], cells[..., 0]], 1)
    for k, m in np.argwhere((values != scores) & (scores > 0)):
        plateau = np.argwhere(np.minimum(maps[k], 1) == scores[k, m])[:, ::-1]
        cells[k, m] = plateau[((plateau - xy[k, m]) ** 2).sum(axis=1).argmin()]
    return cells
