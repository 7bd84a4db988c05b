"""Test the combination of several runs on one image: averaged scales and mirror images."""

import numpy as np
import pytest
import scene_tags

from pose_ros.decoder import make_decoder
from pose_ros.decoder.tag_scales import average_scales, flip_back, resize, stack_tags
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

SPEC = ModelSpec("test", COCO_17, stride=4, origin=1.5)
PAIR = Skeleton("pair", ("nose", "left_eye", "right_eye"), ())


def mirror(field: np.ndarray, dims: int = 1) -> np.ndarray:
    """Return the field that a perfect network outputs for the mirror image."""
    by_keypoint = field.reshape(17, dims, *field.shape[1:])[list(COCO_17.flip_order)]
    return by_keypoint.reshape(field.shape)[:, :, ::-1]


def test_resizing_keeps_the_edges_of_the_image() -> None:
    """Cells of the coarse grid lie between cells of the fine grid. A ramp stays the same ramp."""
    coarse = np.broadcast_to(np.arange(8) * 8.0 + 3.5, (2, 4, 8))  # x in pixels, stride 8
    fine = resize(coarse, (8, 16))
    assert fine.shape == (2, 8, 16) and fine.dtype == np.float32
    np.testing.assert_allclose(fine[0, 3, 1:-1], np.arange(1, 15) * 4.0 + 1.5, atol=1e-5)


def test_scales_are_averaged_on_the_finest_grid() -> None:
    coarse, fine = np.full((3, 4, 5), 1.0), np.full((3, 8, 10), 0.5, np.float16)
    mean = average_scales([coarse, fine])
    assert mean.shape == (3, 8, 10) and mean.dtype == np.float32
    np.testing.assert_allclose(mean, 0.75)
    assert np.array_equal(average_scales([fine]), fine) and average_scales([fine]) is not fine


def test_a_coarse_and_a_fine_run_give_the_people_of_the_fine_one() -> None:
    fields, _ = scene_tags.fields(5, (128, 128))
    coarse = resize(fields.heatmaps, (64, 64))
    decoder = make_decoder(SPEC, "tag")
    people = decoder(Fields(heatmaps=average_scales([coarse, fields.heatmaps]), tags=fields.tags))
    expected = decoder(fields)
    assert len(people) == 5
    for person in people.keypoints:
        assert np.abs(expected.keypoints - person).max(axis=(1, 2)).min() < 0.8  # px, with cells of 4 px


@pytest.mark.parametrize("dims", [1, 2])
def test_a_mirrored_field_is_flipped_back(dims: int) -> None:
    fields, _ = scene_tags.fields(3, (32, 48), sigma=1.0, dims=dims)
    assert np.array_equal(flip_back(mirror(fields.heatmaps), COCO_17), fields.heatmaps)
    assert np.array_equal(flip_back(mirror(fields.tags, dims), COCO_17), fields.tags)


def test_left_and_right_are_exchanged() -> None:
    field = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2))
    assert flip_back(field, PAIR)[:, 0, 0].tolist() == [0, 2, 1]


def test_tags_of_two_runs_are_one_tag() -> None:
    one, two = np.full((3, 2, 2), 1.0), np.full((6, 2, 2), 2.0)
    stacked = stack_tags([one, two], 3)
    assert stacked[:, 0, 0].tolist() == [1, 2, 2] * 3


def test_a_second_run_separates_tags_that_the_first_run_confuses() -> None:
    fields, _ = scene_tags.fields(4)
    blind = np.zeros_like(fields.tags)
    tags = stack_tags([blind, flip_back(mirror(fields.tags), COCO_17)], 17)
    people = make_decoder(SPEC, "tag")(Fields(heatmaps=fields.heatmaps, tags=tags))
    assert np.array_equal(people.keypoints, make_decoder(SPEC, "tag")(fields).keypoints)


def test_inputs_stay_unmodified() -> None:
    fields, _ = scene_tags.fields(2, (32, 32))
    before = fields.heatmaps.copy(), fields.tags.copy()
    average_scales([fields.heatmaps, fields.heatmaps])
    stack_tags([fields.tags, flip_back(fields.tags, COCO_17)], 17)
    assert np.array_equal(before[0], fields.heatmaps) and np.array_equal(before[1], fields.tags)


def test_wrong_shapes_are_refused() -> None:
    a, b = np.zeros((3, 4, 4)), np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match=r"maps: expected one or more .*got shapes \[\]"):
        average_scales([])
    with pytest.raises(ValueError, match=r"maps: .*\[\(3, 4, 4\), \(2, 4, 4\)\]"):
        average_scales([a, np.zeros((2, 4, 4))])
    with pytest.raises(ValueError, match=r"maps: .*\[\(4, 4\)\]"):
        average_scales([a[0]])
    with pytest.raises(ValueError, match="tags: expected one or more"):
        stack_tags([], 3)
    with pytest.raises(ValueError, match=r"tags: .* on one grid"):
        stack_tags([a, b], 3)
    with pytest.raises(ValueError, match=r"tags: expected D times 2 channels, .*got \(3, 4, 4\)"):
        stack_tags([a], 2)
    with pytest.raises(ValueError, match="field: expected D times 18 channels"):
        flip_back(a, OPENPOSE_18)
