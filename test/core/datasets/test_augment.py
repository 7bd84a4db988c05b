"""Test augmentation: labels move with the pixels, and the same random numbers give the same sample."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.datasets import colour
from pose_ros.datasets.augment import Augmentation, AugmentConfig, TrainingStream, change_colours, fit_sample
from pose_ros.datasets.images import Mixture
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.datasets.warp import GREY, affine, warp
from pose_ros.skeleton import COCO_17, OPENPOSE_18

NO_COLOUR = {"colour": 0.0, "grey": 0.0, "blur": 0.0, "motion_blur": 0.0, "noise": 0.0, "jpeg": 0.0}
PLAIN = AugmentConfig(**NO_COLOUR)
ORDER = COCO_17.flip_order
LEFT, RIGHT = COCO_17.index("left_wrist"), COCO_17.index("right_wrist")


def draw_dots(points, size_wh=(160, 120), radius=3.0):
    """Draw a soft white dot at each point on a black image."""
    y, x = np.mgrid[: size_wh[1], : size_wh[0]]
    squared = np.min([(x - px) ** 2 + (y - py) ** 2 for px, py in points], axis=0)
    grey = np.rint(255 * np.exp(-squared / (2 * radius**2))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def person(points=((80.0, 60.0),), size_wh=(160, 120), states=None, **more):
    """Make a sample of one person with 17 keypoints. ``points`` are the first ones, the others are ABSENT."""
    keypoints, state = np.zeros((1, 17, 2), np.float32), np.full((1, 17), ABSENT, np.uint8)
    keypoints[0, : len(points)], state[0, : len(points)] = points, LABELLED if states is None else states
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    box = np.array([[*(low - 20), *(high + 20)]], np.float32)
    return Sample(draw_dots(points, size_wh), keypoints, state, box, **more)


def centroid(image, near, window=7):
    """Return the centre of brightness around a point."""
    x, y = np.rint(near).astype(int)
    part = image[max(y - window, 0) : y + window + 1, max(x - window, 0) : x + window + 1].mean(axis=2)
    rows, cols = np.mgrid[: part.shape[0], : part.shape[1]]
    found = np.array([(cols * part).sum(), (rows * part).sum()]) / part.sum()
    return found + np.array([max(x - window, 0), max(y - window, 0)])


# --- warp


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.3, 3.0),
    degrees=st.floats(-180, 180),
    mirrored=st.booleans(),
    to_xy=st.tuples(st.floats(40, 90), st.floats(40, 90)),
)
def test_warp_moves_a_dot_with_its_keypoint(scale, degrees, mirrored, to_xy):
    sample = person([(80.3, 60.8)])
    sample = replace(sample, image_bgr=draw_dots([(80.3, 60.8)], radius=3.0 / scale))
    warped = warp(sample, affine(scale, degrees, mirrored, (80.3, 60.8), to_xy), (128, 128), ORDER)
    assert warped.states[0, 0] == LABELLED
    np.testing.assert_allclose(warped.keypoints[0, 0], to_xy, atol=1e-3)
    black = np.where(warped.image_bgr == GREY, 0, warped.image_bgr)
    np.testing.assert_allclose(centroid(black, to_xy, 5), to_xy, atol=0.7)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.3, 3.0), degrees=st.floats(-180, 180), mirrored=st.booleans())
def test_warp_with_the_inverse_map_restores_the_sample(scale, degrees, mirrored):
    sample = person([(70.0, 50.0), (90.0, 70.0), (60.0, 66.0)])
    there = affine(scale, degrees, mirrored, (80, 60), (200, 200))
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    returned = warp(warp(sample, there, (400, 400), ORDER), back, (160, 120), ORDER)
    np.testing.assert_array_equal(returned.states, sample.states)
    np.testing.assert_allclose(returned.keypoints, sample.keypoints, atol=1e-3)


def flip(sample):
    width, height = sample.size_wh
    return warp(sample, np.array([[-1.0, 0, width - 1], [0, 1, 0]]), (width, height), ORDER)


def test_flip_swaps_left_and_right_and_two_flips_cancel_out():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(10, 100, (2, 17, 2)).astype(np.float32)
    states = rng.choice([LABELLED, UNCERTAIN], (2, 17)).astype(np.uint8)
    boxes = np.array([[10, 10, 50, 100], [3, 5, 100, 110]], np.float32)
    image, ignored = rng.integers(0, 256, (120, 160, 3), np.uint8), rng.random((120, 160)) < 0.3
    people_map = rng.integers(0, 3, (120, 160)).astype(np.uint8)
    sample = Sample(image, keypoints, states, boxes, ignored, people_map)
    once, twice = flip(sample), flip(flip(sample))
    np.testing.assert_allclose(once.keypoints[:, LEFT], keypoints[:, RIGHT] * (-1, 1) + (159, 0), rtol=1e-6)
    np.testing.assert_array_equal(once.states[:, LEFT], states[:, RIGHT])
    np.testing.assert_array_equal(once.image_bgr, image[:, ::-1])
    np.testing.assert_array_equal(once.ignored, ignored[:, ::-1])
    np.testing.assert_array_equal(once.people_map, people_map[:, ::-1])
    for name in ("image_bgr", "keypoints", "states", "boxes", "ignored", "people_map"):
        np.testing.assert_allclose(getattr(twice, name), getattr(sample, name), atol=1e-4)


def move(sample, dx, dy=0.0, **more):
    return warp(sample, np.array([[1.0, 0, dx], [0, 1, dy]]), sample.size_wh, ORDER, **more)


def test_keypoints_outside_are_absent_and_people_without_keypoints_are_dropped():
    sample = person([(20.0, 60.0), (80.0, 60.0)])
    left = move(sample, -30)
    assert left.states[0, :3].tolist() == [ABSENT, LABELLED, ABSENT]
    np.testing.assert_allclose(left.boxes, [[-0.5, 40, 70, 80]])
    assert len(move(sample, -85).boxes) == 0 and move(sample, -85).ignored is None


def test_small_or_unknown_people_become_ignored_areas():
    sample = person([(20.0, 60.0), (80.0, 60.0)])
    tiny = move(sample, -70, min_size_px=60)
    assert len(tiny.boxes) == 0 and tiny.ignored[45:75, :25].all() and not tiny.ignored[:, 35:].any()
    states = [LABELLED, UNKNOWN]
    unknown = move(person([(20.0, 60.0), (80.0, 60.0)], states=states), -30)
    assert len(unknown.boxes) == 0 and unknown.ignored[60, 30]


def test_masks_move_with_the_image_and_are_empty_outside():
    ignored, people_map = np.ones((120, 160), bool), np.ones((120, 160), np.uint8)
    right = move(person(ignored=ignored, people_map=people_map), 40, 20)
    for mask in (right.ignored, right.people_map):
        assert not mask[:, :39].any() and not mask[:19].any() and mask[21:, 41:].all()
    assert (right.image_bgr[:, :39] == GREY).all()


def test_people_maps_are_renumbered():
    first, second = person([(20.0, 60.0)]), person([(130.0, 60.0)])
    both = Sample(
        first.image_bgr,
        np.concatenate([first.keypoints, second.keypoints]),
        np.concatenate([first.states, second.states]),
        np.concatenate([first.boxes, second.boxes]),
        people_map=np.repeat(np.repeat(np.array([[1, 2]], np.uint8), 80, axis=1), 120, axis=0),
    )
    left = move(both, -60)  # drops the first person
    assert len(left.boxes) == 1 and set(np.unique(left.people_map)) == {0, 1}
    assert left.people_map[60, 70] == 1 and left.people_map[60, 5] == 0


@pytest.mark.parametrize("degrees", [0, 30, 45, 90])
def test_boxes_of_rotated_people_do_not_grow(degrees):
    sample = person([(80.0, 60.0)])
    rotated = warp(sample, affine(1.0, degrees, False, (80, 60), (80, 60)), (160, 120), ORDER)
    np.testing.assert_allclose(rotated.boxes, [[60, 40, 100, 80]], atol=1e-3)


def test_boxes_of_people_with_unknown_keypoints_contain_the_corners():
    states = [LABELLED, UNKNOWN]
    sample = person([(80.0, 60.0), (80.0, 60.0)], states=states)
    rotated = warp(sample, affine(1.0, 45, False, (80, 60), (80, 60)), (160, 120), ORDER)
    reach = 20 * np.sqrt(2)
    np.testing.assert_allclose(rotated.boxes, [[80 - reach, 60 - reach, 80 + reach, 60 + reach]], atol=1e-3)


def test_downscaling_averages_pixels():
    fine = np.indices((128, 128)).sum(axis=0) % 2 * 255  # chessboard with squares of one pixel
    sample = replace(person(size_wh=(128, 128)), image_bgr=np.repeat(fine[..., None], 3, axis=2).astype(np.uint8))
    small = warp(sample, affine(0.25, 0, False, (63.5, 63.5), (15.5, 15.5)), (32, 32), ORDER)
    assert np.abs(small.image_bgr.astype(int) - 127).max() <= 1


# --- augmentation


def samples(count, ignored=False, people_map=False, seed=0):
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        points = rng.uniform((40, 30), (120, 90), (5, 2))
        more = {"ignored": rng.random((120, 160)) < 0.1} if ignored else {}
        more |= {"people_map": np.ones((120, 160), np.uint8)} if people_map else {}
        result.append(person(points, **more))
    return result


@pytest.mark.parametrize("count", [1, 2, 4])
def test_dots_stay_at_keypoints_in_mosaics(count):
    augment = Augmentation(replace(PLAIN, person_low_px=200.0, person_high_px=400.0), COCO_17)
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        points = [[tuple(point)] for point in rng.uniform((70, 50), (90, 70), (count, 2))]
        result = augment([person(p) for p in points], (256, 192), rng)
        assert result.image_bgr.shape == (192, 256, 3) and len(result.boxes) <= count
        for keypoint in result.keypoints[result.states == LABELLED]:
            inside = (keypoint > 15).all() and (keypoint < (240, 176)).all()
            if inside:
                black = np.where(result.image_bgr == GREY, 0, result.image_bgr)
                assert np.linalg.norm(centroid(black, keypoint, 4) - keypoint) < 1
                seen += 1
    assert seen >= 8


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("masks", [False, True])
def test_the_same_seed_gives_the_same_sample(count, masks):
    augment = Augmentation(AugmentConfig(), COCO_17)
    a, b, c = (augment(samples(count, masks, masks), (128, 128), np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name in ("image_bgr", "keypoints", "states", "boxes", "ignored", "people_map"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert not np.array_equal(a.image_bgr, c.image_bgr)
    assert (a.ignored is not None) == (a.people_map is not None) == masks or len(a.boxes) == 0


def test_inputs_are_not_modified():
    (sample,) = samples(1, True, True)
    kept = pickle.loads(pickle.dumps(sample))
    Augmentation(AugmentConfig(), COCO_17)([sample], (96, 96), np.random.default_rng(0))
    for name in ("image_bgr", "keypoints", "states", "boxes", "ignored", "people_map"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(kept, name))


def test_logarithms_of_person_sizes_are_uniform():
    augment = Augmentation(replace(PLAIN, rotation_deg=0.0, shift=0.0, most_zoom=100.0, least_fill=0.0), COCO_17)
    sizes = []
    for seed in range(200):
        result = augment([person([(80.0, 60.0)])], (1024, 1024), np.random.default_rng(seed))
        sizes.append((result.boxes[0, 2:] - result.boxes[0, :2]).max())
    assert 89 < min(sizes) < 100 and 300 < max(sizes) < 331
    assert np.median(sizes) == pytest.approx(np.sqrt(90 * 330), rel=0.15)


def test_an_image_covers_its_tile_if_it_can():
    augment = Augmentation(replace(PLAIN, rotation_deg=0.0, person_low_px=200.0, person_high_px=300.0), COCO_17)
    corner = replace(person([(25.0, 25.0)], size_wh=(160, 160)), image_bgr=np.zeros((160, 160, 3), np.uint8))
    for seed in range(20):
        result = augment([corner], (256, 256), np.random.default_rng(seed))
        assert (result.image_bgr < 100).all() and len(result.boxes) == 1


@pytest.mark.parametrize("count", [1, 2, 4])
def test_images_without_people_are_accepted(count):
    no_people = np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.uint8), np.zeros((0, 4), np.float32)
    empty = Sample(np.full((50, 70, 3), 9, np.uint8), *no_people)
    augment = Augmentation(AugmentConfig(), COCO_17)
    result = augment([empty] * count, (64, 64), np.random.default_rng(0))
    assert len(result.boxes) == 0 and result.ignored is None and result.size_wh == (64, 64)


def test_numbers_of_images_follow_the_probabilities():
    augment, rng = Augmentation(AugmentConfig(two_pictures=0.5, four_pictures=0.2), COCO_17), np.random.default_rng(0)
    counts = np.bincount([augment.draw_count(rng) for _ in range(2000)], minlength=5) / 2000
    np.testing.assert_allclose(counts, [0, 0.3, 0.5, 0, 0.2], atol=0.04)


def test_other_numbers_of_images_are_rejected():
    with pytest.raises(ValueError, match="expected 1, 2 or 4, got 3"):
        Augmentation(PLAIN, COCO_17)(samples(3), (64, 64), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"two_pictures": 0.8, "four_pictures": 0.4}, "sum of at most 1"),
        ({"person_low_px": 500.0}, "person_low_px: expected at most 330"),
        ({"flip": 2.0}, "flip: expected 0.0 to 1.0"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**changes)


def test_stream_depends_on_seed_epoch_and_index_only():
    mixture = Mixture([samples(3), samples(2, seed=5)], [1.0, 2.0])
    stream = TrainingStream(mixture, Augmentation(AugmentConfig(), COCO_17), (96, 64), seed=3)
    expected = stream.sample(2, 7)
    again = pickle.loads(pickle.dumps(stream)).sample(2, 7)
    np.testing.assert_array_equal(again.image_bgr, expected.image_bgr)
    np.testing.assert_array_equal(again.keypoints, expected.keypoints)
    for other in (stream.sample(3, 7), stream.sample(2, 8), replace(stream, seed=4).sample(2, 7)):
        assert not np.array_equal(other.image_bgr, expected.image_bgr)


def test_fit_sample_centres_the_whole_image():
    whole = fit_sample(person([(0.0, 0.0), (159.0, 119.0)]), (320, 320), COCO_17)
    np.testing.assert_allclose(whole.keypoints[0, :2], [[0.5, 40.5], [318.5, 278.5]])
    assert (whole.image_bgr[:39] == GREY).all() and whole.states[0, :2].tolist() == [LABELLED] * 2


STILL = replace(PLAIN, rotation_deg=0.0, shift=0.0, flip=0.0, most_zoom=100.0, least_fill=0.0)


def longer_sides(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def test_in_a_mosaic_people_are_scaled_with_their_tiles():
    augment = Augmentation(replace(STILL, person_low_px=100.0, person_high_px=100.0), COCO_17)
    for seed in range(5):
        result = augment([person() for _ in range(4)], (512, 512), np.random.default_rng(seed))
        assert ((longer_sides(result.boxes) / 100) ** 2).sum() == pytest.approx(1, abs=0.02)  # the areas of the tiles


def test_a_mirrored_image_has_left_and_right_swapped():
    sample = person()
    keypoints, states = sample.keypoints * 0, np.full_like(sample.states, ABSENT)
    keypoints[0, LEFT], states[0, LEFT] = (80, 60), LABELLED
    augment = Augmentation(replace(STILL, flip=1.0), COCO_17)
    result = augment([replace(sample, keypoints=keypoints, states=states)], (256, 256), np.random.default_rng(0))
    assert (result.states[0, RIGHT], result.states[0, LEFT]) == (LABELLED, ABSENT)


@pytest.mark.parametrize(
    ("changes", "size_wh", "size_px"),
    [
        ({"person_low_px": 4.0, "person_high_px": 4.0, "least_fill": 0.6}, (256, 192), 0.6 * 1.6 * 40),
        ({"person_low_px": 4.0, "person_high_px": 4.0, "least_fill": 0.6}, (200, 240), 0.6 * 1.25 * 40),
        ({"person_low_px": 4.0, "person_high_px": 4.0, "least_fill": 0.6}, (400, 180), 0.6 * 1.5 * 40),
        ({"person_low_px": 4000.0, "person_high_px": 4000.0, "most_zoom": 2.0}, (256, 192), 2 * 40),
    ],
    ids=["least_fill", "least_fill, narrow", "least_fill, wide", "most_zoom"],
)
def test_the_scale_of_an_image_is_limited(changes, size_wh, size_px):
    augment = Augmentation(replace(STILL, **changes), COCO_17)
    result = augment([person()], size_wh, np.random.default_rng(0))
    assert longer_sides(result.boxes) == pytest.approx([size_px], abs=0.01)


def test_the_scale_of_an_image_without_people_is_limited():
    no_people = np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.uint8), np.zeros((0, 4), np.float32)
    sample = Sample(np.zeros((50, 70, 3), np.uint8), *no_people)
    result = Augmentation(replace(STILL, most_zoom=2.0), COCO_17)([sample], (640, 640), np.random.default_rng(0))
    assert (result.image_bgr < GREY).all(axis=2).sum() == pytest.approx(100 * 140, rel=0.05)


def test_small_people_of_the_result_are_ignored():
    config = replace(STILL, person_low_px=40.0, person_high_px=40.0)
    large, small = (
        Augmentation(replace(config, least_person_px=least), COCO_17)([person()], (256, 192), np.random.default_rng(0))
        for least in (39.0, 41.0)
    )
    assert (len(large.boxes), large.ignored, len(small.boxes)) == (1, None, 0) and small.ignored.any()


def test_a_person_is_chosen_by_the_number_of_keypoints():
    one, many = person([(20.0, 60.0)]), person([(100.0 + i, 60.0) for i in range(9)])
    names = ("keypoints", "states", "boxes")
    both = replace(one, **{name: np.concatenate([getattr(one, name), getattr(many, name)]) for name in names})
    augment, rng = Augmentation(STILL, COCO_17), np.random.default_rng(0)
    places = [augment._draw_framing(both, 1.0, (160, 120), rng)[1][0] for _ in range(300)]
    assert np.mean(np.array(places) > 60) == pytest.approx(0.9, abs=0.06)


def test_labels_of_all_tiles_are_joined():
    augment = Augmentation(replace(STILL, person_low_px=80.0, person_high_px=80.0), COCO_17)
    image = np.zeros((120, 160, 3), np.uint8)
    for count in (2, 4):
        masks = {"ignored": np.ones((120, 160), bool), "people_map": np.ones((120, 160), np.uint8)}
        parts = [replace(person(**masks), image_bgr=image) for _ in range(count)]
        result = augment(parts, (256, 256), np.random.default_rng(1))
        inside = (result.image_bgr == 0).all(axis=2)
        assert len(result.boxes) == count and result.ignored[inside].all()
        assert set(np.unique(result.people_map[inside])) == set(range(1, count + 1))
        assert (result.keypoints[result.states == ABSENT] == 0).all()


def test_more_people_than_a_people_map_can_hold_have_none():
    def crowd(count):
        sample = person(people_map=np.ones((120, 160), np.uint8))
        return replace(
            sample, **{n: np.repeat(getattr(sample, n), count, axis=0) for n in ("keypoints", "states", "boxes")}
        )

    augment = Augmentation(STILL, COCO_17)
    for count, is_known in ((127, True), (128, False)):
        result = augment([crowd(count), crowd(count)], (256, 256), np.random.default_rng(0))
        assert len(result.boxes) == 2 * count and (result.people_map is not None) == is_known


# --- colours


def test_neutral_parameters_keep_the_colours():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(colour.recolour(image, colour.colour_matrix(0, 1, 1, 0)), image)
    np.testing.assert_array_equal(colour.apply_gamma(image, 1.0), image)
    np.testing.assert_array_equal(change_colours(image, PLAIN, np.random.default_rng(0)), image)


def test_each_colour_parameter_has_its_effect():
    image = np.full((8, 8, 3), (40, 80, 120), np.uint8)
    brighter = colour.recolour(image, colour.colour_matrix(0.1, 1, 1, 0))
    np.testing.assert_allclose(brighter[0, 0], [65.5, 105.5, 145.5], atol=0.5)
    grey = colour.recolour(image, colour.colour_matrix(0, 1, 0, 0))
    assert np.ptp(grey[0, 0]) == 0 and abs(int(grey[0, 0, 0]) - (0.114 * 40 + 0.587 * 80 + 0.299 * 120)) <= 0.5
    rotated = colour.recolour(image, colour.colour_matrix(0, 1, 1, 120))
    assert sorted(rotated[0, 0]) == [40, 80, 120] and rotated[0, 0].tolist() != [40, 80, 120]
    flatter = colour.recolour(image, colour.colour_matrix(0, 0.5, 1, 0))
    np.testing.assert_allclose(flatter[0, 0], [83.75, 103.75, 123.75], atol=0.5)
    assert (colour.apply_gamma(image, 2.0) < image).all()


@pytest.mark.parametrize("degrees", [0, 45, 90, 137])
@pytest.mark.parametrize("length", [1.5, 6.0, 9.7])
def test_motion_blur_follows_its_line_and_keeps_brightness(length, degrees):
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    blurred = colour.motion_blur(image, length, degrees).astype(float)[..., 0]
    assert blurred.sum() == pytest.approx(255, rel=0.1)
    rows, cols = np.nonzero(blurred)
    across = (cols - 20) * np.sin(np.deg2rad(degrees)) - (rows - 20) * np.cos(np.deg2rad(degrees))
    assert np.abs(across).max() <= 1.6 and np.hypot(rows - 20, cols - 20).max() <= length / 2 + 1.8


@pytest.mark.parametrize("shape", [(64, 64, 3), (900, 700, 3)])
def test_noise_has_the_requested_standard_deviation(shape):
    image = np.full(shape, 128, np.uint8)
    noisy = colour.add_noise(image, 8.0, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(8, rel=0.08) and noisy.mean() == pytest.approx(128, abs=0.5)


def test_jpeg_keeps_the_image_approximately():
    image = draw_dots([(30, 30)], (64, 64), 12.0)
    compressed = colour.compress_jpeg(image, 30)
    assert compressed.shape == image.shape and 0 < np.abs(compressed.astype(int) - image).mean() < 8


def test_openpose_uses_its_own_flip_order():
    keypoints = np.zeros((1, 18, 2), np.float32)
    keypoints[0, OPENPOSE_18.index("left_ear")] = 10, 10
    states = np.where(keypoints.any(axis=2), LABELLED, ABSENT).astype(np.uint8)
    sample = Sample(np.zeros((40, 40, 3), np.uint8), keypoints, states, np.array([[5, 5, 15, 15]], np.float32))
    mirror = np.array([[-1.0, 0, 39], [0, 1, 0]])
    result = warp(sample, mirror, (40, 40), OPENPOSE_18.flip_order)
    assert result.states[0, OPENPOSE_18.index("right_ear")] == LABELLED and result.states.sum() == LABELLED


def test_a_grey_image_needs_no_other_change_of_colours():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    grey = change_colours(image, replace(PLAIN, grey=1.0), np.random.default_rng(0))
    assert np.ptp(grey, axis=2).max() == 0
