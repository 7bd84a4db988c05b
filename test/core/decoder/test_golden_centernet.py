"""Test agreement with the published decoder of CenterNet on its own outputs: people, keypoints and boxes."""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

from pose_ros.config import DecoderConfig
from pose_ros.decoder.centernet import CenterNetDecoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17

SYNTHETIC = golden.cases("centernet_synthetic")
ADVERSARIAL = [case for case in golden.cases("adversarial") if case["decoder"] == "centernet"]
pytestmark = pytest.mark.skipif(
    not SYNTHETIC, reason=f"no golden cases in {golden.FOLDER} (POSE_ROS_GOLDEN selects another)"
)
FIELDS = {
    "centre_heat": "centres",
    "reg": "centre_offsets",
    "wh": "sizes",
    "hps": "keypoint_offsets",
    "hm_hp": "heatmaps",
    "hp_offset": "heatmap_offsets",
}
TOLERANCE_PX = 0.02


def decode(case: dict[str, Any], data: dict[str, np.ndarray]) -> tuple[People, np.ndarray]:
    decoder = CenterNetDecoder(ModelSpec(case["id"], COCO_17, stride=case["stride"]), DecoderConfig())
    return decoder.people_and_boxes(Fields(**{FIELDS[name]: data[name] for name in FIELDS if name in data}))


@pytest.mark.parametrize("case", SYNTHETIC, ids=lambda case: case["id"])
def test_the_same_people_keypoints_and_boxes(case: dict[str, Any]) -> None:
    assert tuple(case["skeleton"]["keypoints"]) == COCO_17.keypoint_names
    data = golden.arrays(case)
    people, boxes = decode(case, data)
    expected, expected_scores = data["expected_centernet"], data["expected_centernet_person_score"]
    assert people.visible.all()
    np.testing.assert_allclose(people.person_scores, expected_scores, atol=1e-6)
    np.testing.assert_allclose(people.keypoints, expected[..., :2], atol=TOLERANCE_PX)
    np.testing.assert_allclose(boxes, data["expected_centernet_boxes_xyxy"], atol=TOLERANCE_PX)


@pytest.mark.parametrize("case", ADVERSARIAL, ids=lambda case: case["id"])
def test_adversarial(case: dict[str, Any]) -> None:
    data = golden.arrays(case)
    before = {name: array.copy() for name, array in data.items()}
    people, boxes = decode(case, data)
    again, _ = decode(case, data)
    assert np.isfinite(people.keypoints).all() and np.isfinite(boxes).all()
    assert np.array_equal(people.keypoints, again.keypoints)
    assert all(np.array_equal(before[name], data[name], equal_nan=True) for name in data)
    for check in case["checks"]:
        assert check["type"] in ("no_crash", "finite", "num_people"), "unknown check"
        if check["type"] == "num_people":
            assert check["min"] <= len(people) <= check["max"]
