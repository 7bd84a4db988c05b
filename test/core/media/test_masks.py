"""Test how masks are shown: over an image, and as an image of numbers."""

import numpy as np
import pytest

from pose_ros.config import OverlayConfig
from pose_ros.datasets.preview import masks_of
from pose_ros.media.masks import PERSON_COLOURS, draw_masks, label_pixels
from pose_ros.media.overlay import draw
from pose_ros.people import People
from pose_ros.skeleton import COCO_17


def two_people(ids: tuple[int, ...] = (-1, -1)) -> People:
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 5:20, 5:25], masks[1, 10:35, 30:50] = True, True
    return People(np.zeros((2, 17, 2)), np.zeros((2, 17)), np.ones(2), np.array(ids), masks)


def test_masks_are_coloured_and_nothing_else() -> None:
    image, people = np.full((40, 60, 3), 100, np.uint8), two_people()
    drawn = draw(image, people, COCO_17)
    assert np.array_equal((drawn != image).any(axis=2), people.masks.any(axis=0))
    half = np.rint(50 + np.array(PERSON_COLOURS[:2]) / 2)
    assert np.abs(drawn[12, 15] - half[0]).max() <= 1 and np.abs(drawn[20, 40] - half[1]).max() <= 1
    assert np.array_equal(draw(image, people, COCO_17, OverlayConfig(masks=False)), image)


def test_a_person_with_an_id_keeps_the_colour() -> None:
    image, people = np.zeros((40, 60, 3), np.uint8), two_people((7, 3))
    assert np.array_equal(draw(image, people, COCO_17), draw(image, people[::-1], COCO_17))


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="masks: expected 30 x 60 px as the image, got 40 x 60"):
        draw_masks(np.zeros((30, 60, 3), np.uint8), two_people().masks, [0, 1])


def test_numbers_of_pixels() -> None:
    people = two_people()
    numbers = label_pixels(people, (40, 60))
    assert numbers.dtype == np.uint8 and np.array_equal(masks_of(numbers, 2), people.masks)
    assert not label_pixels(people[:0], (40, 60)).any()
    many = People(np.zeros((300, 17, 2)), np.zeros((300, 17)), np.ones(300), masks=np.zeros((300, 4, 4), bool))
    assert label_pixels(many, (4, 4)).dtype == np.uint16
