"""Test that the work on one image is limited, whatever the settings: noise must not stop the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pose_ros.config import DecoderConfig
from pose_ros.decoder import personlab_masks, snapping
from pose_ros.decoder.front import read_front
from pose_ros.decoder.limits import MEAN_PEAKS, limit_peaks
from pose_ros.decoder.peaks import find_keypoint_peaks, find_peaks
from pose_ros.decoder.subpixel import Refinement
from pose_ros.fields import Fields

NO_REFINEMENT = Refinement("none")


def noise(channels: int, seed: int = 0) -> np.ndarray:
    """Make maps in which every second cell of every second row is a peak."""
    maps = np.zeros((channels, 80, 80), np.float32)
    maps[:, ::2, ::2] = np.random.default_rng(seed).uniform(0.1, 1, (channels, 40, 40))
    return maps


@pytest.mark.parametrize("high", [10, 400, 1001])
def test_the_mean_number_of_peaks_is_limited(high: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        counts = random.integers(0, high, random.integers(1, 30))
        most = limit_peaks(counts)
        assert np.mean(np.minimum(counts, most) ** 2) <= MEAN_PEAKS**2
        assert most == counts.max() or np.mean(np.minimum(counts, most + 1) ** 2) > MEAN_PEAKS**2
    assert limit_peaks(np.zeros(0, np.int64)) == 0


def test_the_strongest_peaks_of_noise_are_kept() -> None:
    heatmaps = noise(3)
    heatmaps[2, 10:] = 0
    fields, config = Fields(heatmaps=heatmaps), DecoderConfig(max_peaks=1000, score_threshold=0.05, subpixel="none")
    peaks = find_keypoint_peaks(fields, 3, config)[1]
    assert peaks.counts.tolist() == [339, 339, 200]
    for k in range(2):
        strongest = np.sort(heatmaps[k], axis=None)[::-1][:339]
        np.testing.assert_array_equal(peaks.scores[k], [*strongest, *np.zeros(661)])
    cols, rows = peaks.xy[0, :339].astype(int).T
    np.testing.assert_array_equal(heatmaps[0, rows, cols], peaks.scores[0, :339])


def test_an_image_of_a_crowd_loses_no_peak() -> None:
    heatmaps = noise(2)
    heatmaps[0, 50:], heatmaps[1, 5:] = 0, 0  # 1000 and 120 peaks
    assert find_peaks(heatmaps, 0.05, 1000, NO_REFINEMENT).counts.tolist() == [406, 120]
    heatmaps[0, 20:] = 0
    assert find_peaks(heatmaps, 0.05, 1000, NO_REFINEMENT).counts.tolist() == [400, 120]


def test_the_links_of_a_decode_front_are_limited() -> None:
    peaks = np.zeros((2, 500, 3), np.float32)
    peaks[..., 2] = np.linspace(1, 0.5, 500)
    fields = Fields(peaks=peaks, limb_scores=np.ones((1, 500, 500), np.float32))
    config = DecoderConfig(max_peaks=1000, score_threshold=0.1)
    found, links, values = read_front(fields, np.array([[0, 1]]), 2, config)
    assert found.counts.tolist() == [MEAN_PEAKS, MEAN_PEAKS]
    assert len(links) == len(values) == MEAN_PEAKS**2 and links[:, 1:].max() == MEAN_PEAKS - 1


@pytest.mark.parametrize("is_scaled", [False, True])
def test_the_best_people_search_their_cells_first(monkeypatch: pytest.MonkeyPatch, is_scaled: bool) -> None:
    random = np.random.default_rng(0)
    boxes = np.tile(np.float64([[0, 0, 80, 80]]), (5, 1))
    keypoints = random.uniform(10, 70, (5, 3, 2))
    whole = snapping.find_best_cells(noise(3), boxes, keypoints, is_scaled)
    monkeypatch.setattr(snapping, "MAX_SEARCHED_CELLS", 3 * 3 * 80 * 80)
    cells, values = snapping.find_best_cells(noise(3), boxes, keypoints, is_scaled)
    assert (whole[1] > 0).all()
    np.testing.assert_array_equal(cells[:3], whole[0][:3])
    np.testing.assert_array_equal(values, np.where(np.arange(5)[:, None] < 3, whole[1], 0))


def test_the_best_people_get_their_masks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    xy = np.float32([[[10, 10], [20, 10]], [[10, 30], [20, 30]], [[60, 60], [70, 60]]])
    long_offsets = np.zeros((4, 80, 80), np.float32)  # every cell points at itself
    arguments: Any = (long_offsets, long_offsets, np.ones((1, 80, 80)), xy, np.ones((3, 2), np.float32), 1, 5, 0.5, 2.0)
    whole = personlab_masks.instance_masks(*arguments)
    assert whole.any(axis=(1, 2)).all()
    monkeypatch.setattr(personlab_masks, "MAX_MASK_DISTANCES", 2 * 2 * 80 * 80)
    masks = personlab_masks.instance_masks(*arguments)
    assert masks.shape == whole.shape and not masks[2].any()
    assert masks[0].sum() >= whole[0].sum() > 0
    monkeypatch.setattr(personlab_masks, "MAX_MASK_DISTANCES", 1)
    assert not personlab_masks.instance_masks(*arguments).any()
