"""Test the instance masks of PersonLab: each cell belongs to the right person."""

from dataclasses import replace

import numpy as np
import pytest
from personlab_people import CHAIN_SPEC, chains, decode, ideal_chains

from pose_ros.fields import Fields


def with_regions(
    fields: Fields, keypoints: np.ndarray, regions: np.ndarray, offsets_of: list[int] | None = None
) -> Fields:
    """Add long-range offsets and segmentation of people who fill regions (N, H, W)."""
    count, (rows, cols) = keypoints.shape[1], regions.shape[1:]
    cells = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)))  # x, y
    offsets = np.zeros((2 * count, rows, cols), np.float32)
    for person, region in zip(offsets_of or range(len(keypoints)), regions, strict=True):
        to = (keypoints[person][:, :, None, None] - cells) * 8
        offsets[:, region] = to.reshape(2 * count, rows, cols)[:, region]
    return replace(fields, long_offsets=offsets, segmentation=regions.any(axis=0)[None].astype(np.float32))


@pytest.mark.parametrize("shape_hw", [(48, 48), (30, 60), (60, 46)])
def test_masks_are_the_regions_of_the_people(shape_hw: tuple[int, int]) -> None:
    """Masks work for any aspect ratio. The authors' code confuses rows and columns unless they are equal."""
    keypoints = np.array(chains(6, 22), np.float32)
    regions = np.zeros((2, *shape_hw), bool)
    regions[0, 2:11, 5:45], regions[1, 15:28, 8:43] = True, True
    people = decode(with_regions(ideal_chains(keypoints, shape_hw), keypoints, regions), CHAIN_SPEC)
    order = np.argsort(people.keypoints[:, 0, 1])
    assert people.masks.dtype == bool and people.masks.shape == (2, *shape_hw)
    assert np.array_equal(people.masks[order], regions)


def test_touching_people_are_separated() -> None:
    keypoints = np.array(chains(10, 20), np.float32)
    regions = np.zeros((2, 40, 60), bool)
    regions[0, 5:15, 5:45], regions[1, 15:25, 5:45] = True, True
    people = decode(with_regions(ideal_chains(keypoints), keypoints, regions), CHAIN_SPEC)
    assert np.array_equal(people.masks[np.argsort(people.keypoints[:, 0, 1])], regions)


def test_cells_of_a_missed_person_are_in_no_mask() -> None:
    """The second region shows a person without peaks, so no person is found there."""
    keypoints = np.array(chains(8, 32), np.float32)
    regions = np.zeros((2, 40, 60), bool)
    regions[0, 5:15, 5:45], regions[1, 25:38, 5:45] = True, True
    fields = with_regions(ideal_chains(keypoints, visible=[[1, 1, 1], [0, 0, 0]]), keypoints, regions)
    people = decode(fields, CHAIN_SPEC)
    assert len(people) == 1 and np.array_equal(people.masks[0], regions[0])
    assert np.array_equal(decode(fields, CHAIN_SPEC, mask_distance=100.0).masks[0], regions.any(axis=0))


def test_masks_follow_segmentation_and_tolerate_rough_offsets() -> None:
    keypoints = np.array(chains(6, 22), np.float32)
    regions = np.zeros((2, 30, 60), bool)
    regions[0, 2:11, 5:45], regions[1, 15:28, 8:43] = True, True
    fields = with_regions(ideal_chains(keypoints, (30, 60)), keypoints, regions)
    fields.long_offsets[:] += np.random.default_rng(0).normal(0, 6, fields.long_offsets.shape)
    fields.segmentation[:, :, 20:] *= 0.6
    fields.segmentation[:, :, 30:] *= 0.6
    fields.long_offsets[:, 5, 7] = np.nan
    fields.segmentation[:, 6, 7] = np.nan
    people = decode(fields, CHAIN_SPEC)
    expected = regions.copy()
    expected[:, :, 30:], expected[:, 5:7, 7] = False, False
    assert np.array_equal(people.masks[np.argsort(people.keypoints[:, 0, 1])], expected)


def test_masks_need_both_fields_and_people() -> None:
    fields = ideal_chains(chains(10))
    offsets, segmentation = np.zeros((6, 40, 60)), np.ones((1, 40, 60))
    assert decode(fields, CHAIN_SPEC).masks is None
    assert decode(replace(fields, long_offsets=offsets), CHAIN_SPEC).masks is None
    assert decode(replace(fields, segmentation=segmentation), CHAIN_SPEC).masks is None
    no_people = Fields(
        np.zeros((3, 40, 60)), None, None, fields.short_offsets, fields.mid_offsets, offsets, segmentation
    )
    assert decode(no_people, CHAIN_SPEC).masks.shape == (0, 40, 60)
