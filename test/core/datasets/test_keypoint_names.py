"""Test the spellings of keypoint names."""

import numpy as np
import pytest

from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.labels import map_labels
from pose_ros.datasets.sample import LABELLED
from pose_ros.skeleton import BODY_25, COCO_17, Skeleton

STYLES = {
    "l_shoulder": lambda side, part: f"{side[0]}_{part}",
    "leftShoulder": lambda side, part: side + part.title().replace("_", ""),
    "LShoulder": lambda side, part: side[0].upper() + part.title().replace("_", ""),
    "lshoulder": lambda side, part: side[0] + part.replace("_", ""),
    "LEFT_SHOULDER": lambda side, part: f"{side}_{part}".upper(),
    "Left Shoulder": lambda side, part: f"{side} {part}".title().replace("_", " "),
    "shoulder_left": lambda side, part: f"{part}_{side}",
    "shoulder.L": lambda side, part: f"{part}.{side[0].upper()}",
    "ShoulderLeft": lambda side, part: part.title().replace("_", "") + side.title(),
}


def spell(name, style):
    side, _, part = name.partition("_")
    return STYLES[style](side, part) if side in ("left", "right") else name.title().replace("_", "")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("skeleton", [COCO_17, BODY_25], ids=lambda skeleton: skeleton.name)
def test_usual_spellings_are_recognised(skeleton, style):
    assert normalise_names([spell(name, style) for name in skeleton.keypoint_names]) == skeleton.keypoint_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r_sho", "right_shoulder"),
        ("l_elb", "left_elbow"),
        ("MidHip", "pelvis"),
        ("head_bottom", "upper_neck"),
        ("leftHand", "left_hand"),
        ("tail base", "tail_base"),
        ("l", "l"),
    ],
)
def test_other_names_keep_their_words(name, expected):
    assert normalise_names([name]) == (expected,)


def test_two_names_of_one_keypoint_stay_apart():
    assert normalise_names(["head", "head_top"]) == ("head", "head_top")


@pytest.mark.parametrize("own", ["hand_left", "l_hand", "left_hand"])
def test_the_names_of_a_skeleton_may_be_spelled_otherwise_than_those_of_the_labels(own):
    skeleton = Skeleton("own", (own, "nose"), ())
    xy = np.array([[[1, 2], [3, 4]]], np.float32)
    found, states = map_labels(xy, np.full((1, 2), LABELLED, np.uint8), ("LeftHand", "Nose"), skeleton)
    assert found.tolist() == xy.tolist() and (states == LABELLED).all()
