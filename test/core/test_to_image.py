"""Test the way of people from the grid of the fields to the pixels of an image."""

import numpy as np
import pytest

from pose_ros.fields import ModelSpec
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform
from pose_ros.skeleton import COCO_17
from pose_ros.to_image import enlarge_masks, to_image

TRANSFORM = ImageTransform((300, 200), (150, 100), (160, 112))


def spec_of(stride: float = 8, origin: float = 0.0) -> ModelSpec:
    return ModelSpec("model", COCO_17, stride, origin)


def grid_mask(box: tuple[int, int, int, int], shape_hw: tuple[int, int] = (14, 20)) -> np.ndarray:
    mask = np.zeros((1, *shape_hw), bool)
    mask[0, box[1] : box[3], box[0] : box[2]] = True
    return mask


@pytest.mark.parametrize(("stride", "origin"), [(8, 0.0), (8, 3.5), (4, 1.5)])
def test_a_mask_ends_half_way_between_two_cells(stride: float, origin: float) -> None:
    spec = spec_of(stride, origin)
    mask = enlarge_masks(grid_mask((4, 3, 9, 8)), spec, TRANSFORM)[0]
    assert mask.shape == (200, 300)
    edges = np.array([[3.5, 2.5], [8.5, 7.5]]) * stride + origin  # in the middle between the last cell and the next
    low, high = TRANSFORM.to_image(edges)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    assert abs(columns[0] - low[0]) <= 1 and abs(columns[-1] - high[0]) <= 1
    assert abs(rows[0] - low[1]) <= 1 and abs(rows[-1] - high[1]) <= 1


def test_every_pixel_has_the_value_of_its_nearest_cell_or_lies_near_an_edge() -> None:
    spec, random = spec_of(8, 3.5), np.random.default_rng(0)
    small = np.kron(random.random((5, 4, 5)) < 0.5, np.ones((1, 3, 4), bool))
    masks = enlarge_masks(small, spec, TRANSFORM)
    pixels = np.stack(np.meshgrid(np.arange(300), np.arange(200)), axis=2)
    cells = (TRANSFORM.to_input(pixels) - spec.origin) / spec.stride
    nearest = np.floor(cells + 0.5).astype(int).clip(0, [19, 11])
    expected = small[:, nearest[..., 1], nearest[..., 0]]
    inside = (np.abs(cells - np.floor(cells) - 0.5) > 0.3).all(axis=2)  # near the centre of a cell
    assert np.array_equal(masks[:, inside], expected[:, inside])


def test_masks_without_a_common_cell_share_no_pixel() -> None:
    random = np.random.default_rng(1)
    owners = random.integers(0, 4, (14, 20))
    masks = enlarge_masks(owners[None] == np.arange(4)[:, None, None], spec_of(), TRANSFORM)
    assert masks.sum(axis=0).max() == 1


def test_cells_at_the_border_extend_to_the_border_of_the_image() -> None:
    masks = enlarge_masks(np.ones((1, 14, 20), bool), spec_of(8, 3.5), TRANSFORM)
    assert masks.all()


def test_masks_in_the_padding_and_empty_masks_are_empty() -> None:
    transform = ImageTransform((100, 100), (80, 80), (160, 80))
    masks = np.concatenate([grid_mask((14, 0, 20, 10), (10, 20)), grid_mask((0, 0, 0, 0), (10, 20))])
    assert not enlarge_masks(masks, spec_of(), transform).any()


def test_keypoints_and_masks_are_converted_together() -> None:
    keypoints = np.full((1, 17, 2), 48.0, np.float32)
    people = People(keypoints, np.ones((1, 17)), np.ones(1), masks=grid_mask((5, 5, 8, 8)))
    placed = to_image(people, spec_of(), TRANSFORM)
    x, y = placed.keypoints[0, 0]
    assert (x, y) == pytest.approx((96.5, 96.5)) and placed.masks[0, round(y), round(x)]
    assert to_image(People(keypoints, np.ones((1, 17)), np.ones(1)), spec_of(), TRANSFORM).masks is None
