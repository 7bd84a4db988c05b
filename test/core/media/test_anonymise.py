"""Test that heads are found and covered, in images and in raw camera images of every encoding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from known_people import standing_people

from pose_ros.config import OverlayConfig
from pose_ros.media.anonymise import Anonymiser, Plane, cover_heads
from pose_ros.media.encodings import ENCODINGS
from pose_ros.media.heads import HOLD_S, HeadMemory, find_heads
from pose_ros.media.image_messages import decode_raw, to_bgr
from pose_ros.media.image_planes import raw_planes
from pose_ros.media.overlay import draw
from pose_ros.media.regions import IgnoredRegion
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, CROWDPOSE_14, MPII_16, OPENPOSE_18, SKELETONS, Skeleton

SIZE_WH = (320, 240)
HEIGHT_PX = 160.0
WAYS = ("blur", "pixelate", "black")


def body(skeleton: Skeleton, *hidden: str, x: float = 100.0, y: float = 40.0) -> People:
    """Make a person of ``HEIGHT_PX`` with the top of the head at x, y. Hidden keypoints are given by parts of names."""
    keypoints = np.nan_to_num(skeleton.standing)[None] * HEIGHT_PX + (x, y)
    scores = np.array([[0.0 if any(word in name for word in hidden) else 0.9 for name in skeleton.keypoint_names]])
    return People(np.where(scores[..., None] > 0, keypoints, 0), scores, [0.9])


@pytest.mark.parametrize(
    ("skeleton", "hidden"),
    [
        *(pytest.param(skeleton, (), id=f"{name}") for name, skeleton in SKELETONS.items()),
        pytest.param(COCO_17, ("nose", "eye"), id="ears: from behind"),
        pytest.param(COCO_17, ("right_ear", "right_eye"), id="profile"),
        pytest.param(COCO_17, ("eye", "ear"), id="nose"),
        pytest.param(COCO_17, ("nose", "eye", "ear"), id="no face"),
        pytest.param(COCO_17, ("nose", "eye", "ear", "hip", "knee", "ankle"), id="shoulders and arms"),
        pytest.param(COCO_17, ("nose", "eye", "ear", "left_shoulder", "knee", "ankle"), id="one shoulder"),
        pytest.param(OPENPOSE_18, ("nose", "eye", "ear", "shoulder"), id="neck"),
        pytest.param(COCO_17, ("nose", "eye", "ear", "shoulder", "elbow", "wrist"), id="legs"),
        pytest.param(MPII_16, ("head_top",), id="upper neck"),
        pytest.param(CROWDPOSE_14, ("neck", "shoulder", "elbow"), id="top of the head"),
    ],
)
def test_the_head_of_a_standing_person_is_covered(skeleton: Skeleton, hidden: tuple[str, ...]) -> None:
    """The face of the person reaches from 0.02 to 0.13 of the height, and 0.05 to both sides."""
    ((x, y, radius),) = find_heads(body(skeleton, *hidden), skeleton, OverlayConfig().head_margin)
    corners = np.array([(sx * 0.05, sy) for sx in (-1, 1) for sy in (0.02, 0.13)]) * HEIGHT_PX + (100, 40)
    assert np.linalg.norm(corners - (x, y), axis=1).max() <= radius
    assert radius <= 0.3 * HEIGHT_PX


def test_a_person_who_lies_is_covered_above_the_shoulders() -> None:
    standing = body(COCO_17, "nose", "eye", "ear")
    turned = np.where(standing.visible[..., None], standing.keypoints[..., ::-1], 0)  # feet to the right, head left
    ((x, y, _),) = find_heads(People(turned, standing.scores, standing.person_scores), COCO_17)
    assert abs(y - 100) < 5 and x < 40 + 0.13 * HEIGHT_PX


def test_keypoints_of_several_people_joined_by_mistake_do_not_cover_the_image() -> None:
    """A weak person with a nose here and an ear there has small circles, like the head of the clear person."""
    clear, keypoints, scores = body(COCO_17), np.zeros((1, 17, 2)), np.zeros((1, 17))
    places = {"nose": (20, 200), "left_ear": (300, 30), "left_hip": (300, 230)}
    for name, place in places.items():
        keypoints[0, COCO_17.index(name)], scores[0, COCO_17.index(name)] = place, 0.3
    heads = find_heads(clear.append(People(keypoints, scores, [0.05])), COCO_17)
    assert heads[1:, 2].max() <= heads[0, 2]
    assert {tuple(map(round, head[:2].tolist())) for head in heads} >= {(20, 200), (300, 30)}
    assert len(HeadMemory(COCO_17).update(clear.append(People(keypoints, scores, [0.05])), 0.0)) == len(heads)


def test_without_keypoints_there_is_no_head() -> None:
    assert find_heads(People.empty(17), COCO_17).shape == (0, 3)
    nobody = People(np.zeros((1, 17, 2)), np.zeros((1, 17)), [0.5])
    assert find_heads(nobody, COCO_17)[0, 2] == 0
    assert len(HeadMemory(COCO_17).update(nobody, 0.0)) == 0


def test_a_head_stays_covered_while_its_person_is_lost_and_moves_on() -> None:
    memory = HeadMemory(COCO_17)
    for index in range(5):
        memory.update(body(COCO_17, x=100 + 10 * index), 0.1 * index)
    empty = People.empty(17)
    (lost,) = memory.update(empty, 0.6)
    assert 145 < lost[0] < 165 and lost[2] > find_heads(body(COCO_17), COCO_17)[0, 2]
    assert len(memory.update(empty, 0.4 + HOLD_S)) == 1
    assert len(memory.update(empty, 0.5 + HOLD_S)) == 0


def test_a_person_who_is_found_again_has_one_head_and_others_are_forgotten_after_a_jump() -> None:
    memory = HeadMemory(COCO_17)
    memory.update(body(COCO_17), 0.0)
    memory.update(People.empty(17), 0.3)
    assert len(memory.update(body(COCO_17, x=110), 0.5)) == 1
    assert len(memory.update(People.empty(17), 100.0)) == 0
    memory.update(body(COCO_17), 101.0)
    assert len(memory.update(People.empty(17), 0.0)) == 0


def test_people_with_ids_keep_their_heads_apart() -> None:
    memory = HeadMemory(COCO_17)
    two = body(COCO_17, x=100).append(body(COCO_17, x=250))
    both = People(two.keypoints, two.scores, two.person_scores, ids=[4, 7])
    memory.update(both, 0.0)
    heads = memory.update(both[1], 0.1)
    assert sorted(round(float(x)) for x in heads[:, 0]) == [100, 250]


def noise(size_wh: tuple[int, int] = SIZE_WH, channels: int = 3) -> np.ndarray:
    shape = (size_wh[1], size_wh[0], channels) if channels > 1 else (size_wh[1], size_wh[0])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_head_is_covered(way: str, channels: int) -> None:
    image = noise(channels=channels)
    before = image.copy()
    people = body(COCO_17)
    ((x, y, radius),) = find_heads(people, COCO_17, 1.6)
    covered = Anonymiser(COCO_17).cover(image, people, 0.0, OverlayConfig(anonymise=way))
    assert np.array_equal(image, before)
    rows, columns = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    distance = np.hypot(columns - x, rows - y)
    assert np.array_equal(covered[distance > radius + 2], image[distance > radius + 2])
    inside = covered[distance < radius - 1].astype(float)
    original = image[distance < radius - 1].astype(float)
    assert inside.std() < 0.25 * original.std()  # the noise is gone
    assert abs(np.corrcoef(inside.ravel(), original.ravel())[0, 1]) < 0.35 if way != "black" else inside.max() == 0


@pytest.mark.parametrize(("way", "is_smooth"), [("blur", True), ("pixelate", False)])
def test_a_head_of_squares_has_few_values_and_a_blurred_one_many(way: str, is_smooth: bool) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (100, 100), np.uint16)
    assert cover_heads(Plane(samples), np.array([[50, 50, 40]], np.float32), way)
    values = len(np.unique(samples[22:78, 22:78]))
    assert values > 1000 if is_smooth else 9 <= values <= 36


def test_a_detail_of_a_face_does_not_survive() -> None:
    """Two faces that differ in one eye are the same after covering, up to small grey values."""
    one, two = np.full((240, 320, 3), 128, np.uint8), np.full((240, 320, 3), 128, np.uint8)
    cv2.circle(two, (103, 50), 1, (0, 0, 0), -1)
    for way in ("blur", "pixelate"):
        a, b = (
            Anonymiser(COCO_17).cover(each, body(COCO_17), 0.0, OverlayConfig(anonymise=way)) for each in (one, two)
        )
        assert np.abs(a.astype(int) - b).max() < 40


def test_heads_at_the_border_and_outside() -> None:
    image = noise((40, 30))
    for circle in ([-5, -5, 9], [39, 29, 6], [20, 15, 500], [-100, 0, 5], [20, 15, 0.2]):
        copy = image.copy()
        is_covered = cover_heads(Plane(copy), np.array([circle], np.float32), "black")
        assert is_covered == (circle[0] > -100)
        assert is_covered == (not np.array_equal(copy, image))


def test_the_overlay_covers_heads_below_the_skeleton() -> None:
    image, people = noise(), body(COCO_17)
    config = OverlayConfig(anonymise="black", score_threshold=1.0)
    drawn = draw(image, people, COCO_17, config)
    assert drawn[40 + 8, 100].max() == 0
    kept = draw(image, people, COCO_17, config, is_anonymous=True)
    assert np.array_equal(kept[40 + 8, 100], image[48, 100])


def test_off_returns_the_same_image() -> None:
    image = noise()
    assert Anonymiser(COCO_17).cover(image, body(COCO_17), 0.0, OverlayConfig()) is image


def test_an_ignored_region_is_covered_too() -> None:
    mask = np.zeros((24, 32), bool)
    mask[:, 20:] = True
    image = noise()
    covered = Anonymiser(COCO_17, IgnoredRegion(mask)).cover(
        image, People.empty(17), 0.0, OverlayConfig(anonymise="black")
    )
    assert covered[:, 200:].max() == 0 and np.array_equal(covered[:, :200], image[:, :200])


class Message:
    """``sensor_msgs/Image`` of noise with padded rows."""

    def __init__(self, encoding: str, is_bigendian: bool = False) -> None:
        self.encoding, self.is_bigendian = encoding, is_bigendian
        form = ENCODINGS[encoding]
        self.width, self.height = SIZE_WH
        self.step = form.row_bytes(self.width) + 4
        self.data = np.random.default_rng(1).integers(0, 256, self.step * form.rows(self.height), np.uint8)


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_raw_images_are_covered_in_their_encoding(encoding: str, is_bigendian: bool) -> None:
    """Outside the head, each byte stays. Inside, the image of the message is black."""
    message = Message(encoding, is_bigendian)
    before = message.data.copy()
    head = np.array([[120, 90, 30]], np.float32)
    image = to_bgr(*decode_raw(message))
    for plane in raw_planes(message, message.data):
        assert cover_heads(plane, head, "black")
    covered = to_bgr(*decode_raw(message))
    rows, columns = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    distance = np.hypot(columns - 120, rows - 90)
    assert covered[distance < 26].max() <= 12  # YUV has rounding
    assert np.array_equal(covered[distance > 35], image[distance > 35])
    padding = before.reshape(-1, message.step)[:, -4:]
    assert np.array_equal(message.data.reshape(-1, message.step)[:, -4:], padding)


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("way", ["blur", "pixelate"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_raw_images_are_coarse_in_the_head(encoding: str, way: str, is_bigendian: bool) -> None:
    message = Message(encoding, is_bigendian)
    for plane in raw_planes(message, message.data):
        cover_heads(plane, np.array([[120, 90, 30]], np.float32), way)
    covered = decode_raw(message)[0]
    inside = covered[75:105, 105:135].astype(float)
    assert np.abs(np.diff(inside, axis=0)).mean() < 15


def test_standing_people_of_the_other_tests_have_heads() -> None:
    people = standing_people((0.0, 0.0, 3.0), (0.5, 0.0, 3.0))
    assert (find_heads(people, COCO_17)[:, 2] > 0).all()
