"""Test the objects of supervision and Rerun with the packages themselves."""

from __future__ import annotations

import numpy as np
import pytest

from pose_ros.exchange.rerun import log_people
from pose_ros.exchange.supervision import to_supervision
from pose_ros.people import People
from pose_ros.skeleton import COCO_17


def make_people(ids: tuple[int, ...] = (3, 4)) -> People:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.2, 1, (2, 17)).astype(np.float32)
    scores[1, 5] = 0
    keypoints = np.where(scores[:, :, None] > 0, rng.uniform(0, 90, (2, 17, 2)), 0)
    points = rng.uniform(0, 3, (2, 17, 3)).astype(np.float32)
    points[0, 2] = np.nan
    masks = np.zeros((2, 100, 100), bool)
    masks[0, :50] = masks[1, 50:] = True
    return People(keypoints, scores, np.array([0.9, 0.4]), np.array(ids), masks, keypoints_3d=points)


def test_supervision_draws_the_people():
    supervision = pytest.importorskip("supervision", reason="needs supervision")
    people = make_people()
    keypoints, detections = to_supervision(people)
    np.testing.assert_array_equal(keypoints.xy, people.keypoints)
    np.testing.assert_array_equal(detections.xyxy, people.boxes())
    np.testing.assert_array_equal(detections.tracker_id, [3, 4])
    np.testing.assert_array_equal(detections.mask, people.masks)
    scene = supervision.VertexAnnotator(radius=2).annotate(np.zeros((100, 100, 3), np.uint8), keypoints)
    x, y = people.keypoints[0, 0].astype(int)
    assert scene[y, x].any()
    assert to_supervision(make_people((3, -1)))[1].tracker_id is None
    assert len(to_supervision(make_people()[:0])[1]) == 0


def test_rerun_stores_the_people(tmp_path):
    rerun = pytest.importorskip("rerun", reason="needs rerun-sdk")
    recording = rerun.RecordingStream("test")
    recording.save(tmp_path / "people.rrd")
    log_people(make_people(), COCO_17, "camera/people", recording)
    recording.flush()
    recording.disconnect()
    content = (tmp_path / "people.rrd").read_bytes()
    assert content.startswith(b"RRF")
    for name in (b"camera/people/keypoints", b"camera/people/limbs_3d", b"camera/people/boxes"):
        assert name in content


@pytest.mark.parametrize(("module", "call"), [("supervision", to_supervision), ("rerun", log_people)])
def test_a_missing_package_is_named(monkeypatch, module, call):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    arguments = (make_people(), COCO_17) if module == "rerun" else (make_people(),)
    with pytest.raises(ImportError, match=f"{module}: expected the package, got.*pip install {module}"):
        call(*arguments)
