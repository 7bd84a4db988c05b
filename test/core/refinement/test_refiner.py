"""Test the second stage, which sees the crop of each person."""

import numpy as np
import pytest

from pose_ros.arrays import Image
from pose_ros.consensus import Views
from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.people import People
from pose_ros.refinement import Refiner
from pose_ros.refinement.crops import LEAST_SIDE_PX, MARGIN
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton


class Answer:
    """Estimate of one crop."""

    def __init__(self, people: People) -> None:
        self.people = people


class FakeCropNetwork:
    """Fake network for one person. It finds the bright spot of a crop, at all keypoints but the wrists."""

    skeleton, grouping, model_name = COCO_17, "single", "fake"

    def __init__(self, size_wh: tuple[int, int] | None = (64, 64)) -> None:
        self.spec = ModelSpec("fake", COCO_17, 4, grouping="single", input=InputSpec(size_wh=size_wh))
        self.crops: list[Image] = []

    def process_batch(self, images: list[Image], encodings: list[str], poses: None = None) -> list[Answer]:
        assert set(encodings) == {"bgr"}
        self.crops += images
        return [Answer(self.find(image)) for image in images]

    def find(self, image: Image) -> People:
        bright = image[..., 0].astype(float)
        if bright.max() < 10:
            return People.empty(17)
        centre = [(bright.sum(axis=axis) * np.arange(bright.shape[1 - axis])).sum() / bright.sum() for axis in (0, 1)]
        keypoints = np.tile(np.array(centre, np.float32), (1, 17, 1))
        scores = np.full((1, 17), 0.9, np.float32)
        scores[0, 9:11] = 0
        return People(keypoints, scores, np.array([0.9], np.float32))


def person(x: float, y: float, size: float = 40) -> People:
    """Make a person whose keypoints lie in a square around a point."""
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 6), np.linspace(-0.5, 0.5, 3)), axis=-1).reshape(1, 18, 2)
    keypoints = (np.array([x, y]) + size * grid).astype(np.float32)
    return People(keypoints, np.full((1, 18), 0.8, np.float32), np.array([0.7], np.float32))


def join(*people: People) -> People:
    arrays = zip(*((each.keypoints, each.scores, each.person_scores) for each in people), strict=True)
    return People(*(np.concatenate(array) for array in arrays))


def image_with_spot(x: int, y: int, shape_hw: tuple[int, int] = (120, 160)) -> Image:
    image = np.zeros((*shape_hw, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return image


@pytest.mark.parametrize(("x", "y"), [(80, 60), (12, 9), (150, 110)])
def test_keypoints_come_back_to_the_image(x: int, y: int) -> None:
    refined = Refiner(FakeCropNetwork(), OPENPOSE_18).refine(image_with_spot(x, y), person(x + 5, y - 4))
    np.testing.assert_allclose(refined.keypoints[0, OPENPOSE_18.index("nose")], (x, y), atol=0.5)
    assert refined.person_scores[0] == np.float32(0.7)


def test_a_keypoint_that_is_not_found_keeps_its_place_with_half_its_score() -> None:
    before = person(80, 60)
    refined = Refiner(FakeCropNetwork(), OPENPOSE_18).refine(image_with_spot(80, 60), before)
    wrist = OPENPOSE_18.index("left_wrist")
    np.testing.assert_array_equal(refined.keypoints[0, wrist], before.keypoints[0, wrist])
    assert refined.scores[0, wrist] == pytest.approx(0.4) and refined.scores[0, 0] == pytest.approx(0.9)


def test_a_crop_without_a_person_changes_only_the_scores() -> None:
    before = person(80, 60)
    refined = Refiner(FakeCropNetwork(), OPENPOSE_18).refine(np.zeros((120, 160, 3), np.uint8), before)
    np.testing.assert_array_equal(refined.keypoints, before.keypoints)
    np.testing.assert_allclose(refined.scores, before.scores / 2)


def test_the_crop_is_a_margin_larger_than_the_person() -> None:
    network = FakeCropNetwork()
    image = np.full((400, 400, 3), 200, np.uint8)
    Refiner(network, OPENPOSE_18).refine(image, join(person(200, 200, 100), person(100, 100, 1)))
    assert [crop.shape for crop in network.crops] == [(64, 64, 3)] * 2
    edge = person(0, 200, 100)
    Refiner(network, OPENPOSE_18).refine(image, edge)
    outside = (network.crops[2][32, :, 0] == 0).mean()
    assert outside == pytest.approx(0.5, abs=0.03)
    assert LEAST_SIDE_PX >= 8 and MARGIN == 1.4


def test_no_people_need_no_network() -> None:
    network = FakeCropNetwork()
    assert len(Refiner(network, OPENPOSE_18).refine(image_with_spot(80, 60), People.empty(18))) == 0
    assert network.crops == []


@pytest.mark.parametrize("fault", ["grouping", "size"])
def test_a_network_for_whole_images_is_refused(fault: str) -> None:
    network = FakeCropNetwork(None if fault == "size" else (64, 64))
    network.grouping = "paf" if fault == "grouping" else "single"
    with pytest.raises(ValueError, match="model fake: expected a network for crops of one person"):
        Refiner(network, OPENPOSE_18)


class FakeEstimator:
    """Fake estimator of two people, of which only the second is at the spot."""

    skeleton, grouping, model_name = OPENPOSE_18, "paf", "fake"

    def estimate(self, image_bgr: Image) -> People:
        return join(person(30, 30), person(80, 60))


def test_views_refine_and_sort_by_the_new_scores() -> None:
    views = Views([FakeEstimator()], OPENPOSE_18, flip=False, refine_with=FakeCropNetwork())
    people = views.estimate(image_with_spot(80, 60))
    np.testing.assert_allclose(people.keypoints[0, 0], (80, 60), atol=0.5)
    expected = [np.sqrt(0.7 * scores.mean()) for scores in people.scores]
    np.testing.assert_allclose(people.person_scores, expected, rtol=1e-5)
    assert people.person_scores[0] > people.person_scores[1]


def test_people_whose_crops_show_the_same_person_are_one() -> None:
    views = Views([FakeEstimator()], OPENPOSE_18, flip=False, refine_with=FakeCropNetwork())
    once = views.estimate(image_with_spot(80, 60))
    views._estimators[0].estimate = lambda image: join(person(30, 30), person(80, 60), person(90, 70))
    assert len(once) == len(views.estimate(image_with_spot(80, 60))) == 2


@pytest.mark.parametrize("size", [300, 700, 1500])
def test_a_large_person_is_averaged_not_sampled(size: int) -> None:
    network = FakeCropNetwork()
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8)
    Refiner(network, OPENPOSE_18).refine(noise, person(800, 800, size))
    averaged = 74 / (MARGIN * size / 64)  # standard deviation of a mean of so many pixels
    assert network.crops[0][8:-8, 8:-8].std() < 1.2 * averaged


@pytest.mark.parametrize(("x", "y"), [(803, 777), (20, 1590), (1599, 0)])
def test_keypoints_of_a_large_person_come_back_to_the_image(x: int, y: int) -> None:
    image = np.zeros((1600, 1600, 3), np.uint8)
    image[max(y - 20, 0) : y + 21, max(x - 20, 0) : x + 21] = 255
    expected = np.argwhere(image[..., 0] > 0).mean(axis=0)[::-1]
    refined = Refiner(FakeCropNetwork(), OPENPOSE_18).refine(image, person(x + 31, y - 17, 900))
    np.testing.assert_allclose(refined.keypoints[0, 0], expected, atol=0.15 * MARGIN * 900 / 64)


def test_a_person_without_keypoints_and_an_empty_image_stay_as_they_are() -> None:
    nobody = People(np.zeros((1, 18, 2), np.float32), np.zeros((1, 18), np.float32), np.array([0.5], np.float32))
    both = join(nobody, person(80, 60))
    refined = Refiner(FakeCropNetwork(), OPENPOSE_18).refine(image_with_spot(80, 60), both)
    assert not refined.scores[0].any() and refined.scores[1].any()
    empty = np.zeros((0, 0, 3), np.uint8)
    assert Refiner(FakeCropNetwork(), OPENPOSE_18).refine(empty, person(80, 60)).scores.max() == np.float32(0.8)


class UprightNetwork(FakeCropNetwork):
    """Fake network that only knows people who stand. It puts a standing body at the bright spot of the crop."""

    def find(self, image: Image) -> People:
        spot = super().find(image)
        body = (COCO_17.standing - COCO_17.standing.mean(axis=0)) * 40
        return spot.with_keypoints(spot.keypoints + body.astype(np.float32))


@pytest.mark.parametrize("degrees", [0, 37, 90, 180, -120])
def test_a_lying_person_comes_back_as_a_standing_one(degrees: int) -> None:
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    body = (COCO_17.standing - COCO_17.standing.mean(axis=0)) * 150

    def refine(turn: np.ndarray, rotate: bool) -> np.ndarray:
        """Return the keypoints after the refinement, turned back."""
        spot = np.rint(turn @ (30, 20)).astype(int)
        person = People((200 + body @ turn.T)[None], np.ones((1, 17)), np.ones(1))
        image = image_with_spot(*(200 + spot), (400, 400))
        keypoints, scores = Refiner(UprightNetwork(), COCO_17).estimate(image, person, np.array([0]), rotate=rotate)
        assert (scores[0] > 0).sum() == 15
        return ((keypoints[0] - 200) @ turn)[scores[0] > 0]

    upright = refine(np.eye(2), rotate=True)
    np.testing.assert_allclose(refine(matrix, rotate=True), upright, atol=2.0)
    if degrees:
        assert np.abs(refine(matrix, rotate=False) - upright).max() > 20


def test_a_network_without_a_common_keypoint_is_refused() -> None:
    network = FakeCropNetwork()
    network.skeleton = Skeleton("animal", ("tail", "horn"), ((0, 1),))
    with pytest.raises(ValueError, match="expected keypoints of openpose_18, got none of them in animal"):
        Refiner(network, OPENPOSE_18)
