"""Test the files of other tools against their published forms."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_runner import run

from pose_ros.exchange.convert import convert_people
from pose_ros.exchange.stored_people import read_people
from pose_ros.exchange.trajectories import collect_trajectories
from pose_ros.exchange.trc import to_opensim_axes, write_trc
from pose_ros.media.results import JsonLines
from pose_ros.media.sources import Frame
from pose_ros.people import People
from pose_ros.skeleton import BODY_25, COCO_17, Skeleton

NAMES = COCO_17.keypoint_names
HIPS = [COCO_17.index("left_hip"), COCO_17.index("right_hip")]


def make_people(count: int = 1, seed: int = 0, ids: tuple[int, ...] | None = None, metres: bool = False) -> People:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 1, (count, 17)).astype(np.float32)
    scores[:, 3] = 0
    keypoints = np.where(scores[:, :, None] > 0, rng.uniform(0, 300, (count, 17, 2)), 0)
    points = rng.uniform(-2, 4, (count, 17, 3)).astype(np.float32) if metres else None
    if points is not None:
        points[:, 3] = np.nan
    return People(keypoints, scores, np.full(count, 0.5), None if ids is None else np.array(ids), keypoints_3d=points)


def write_lines(path: Path, frames: list[People], step_ns: int = 50_000_000) -> Path:
    image = np.zeros((240, 320, 3), np.uint8)
    with JsonLines(path, COCO_17, "model") as file:
        for index, people in enumerate(frames):
            file.write(Frame(image, index, path.stem, index * step_ns), people)
    return path


def test_stored_people_are_read_back(tmp_path):
    written = [make_people(2, ids=(4, -1), metres=True), make_people(0), make_people(1, seed=1)]
    frames = list(read_people(write_lines(tmp_path / "walk.jsonl", written)))
    assert [(frame.name, frame.index, frame.stamp_ns) for frame in frames] == [
        ("walk", 0, 0),
        ("walk", 1, 50_000_000),
        ("walk", 2, 100_000_000),
    ]
    assert frames[0].size_wh == (320, 240)
    assert frames[0].skeleton.keypoint_names == NAMES
    for frame, people in zip(frames, written, strict=True):
        np.testing.assert_allclose(frame.people.keypoints, people.keypoints, atol=1e-4)
        np.testing.assert_allclose(frame.people.scores, people.scores, atol=1e-4)
        np.testing.assert_array_equal(frame.people.ids, people.ids)
    np.testing.assert_allclose(frames[0].people.keypoints_3d, written[0].keypoints_3d, atol=1e-4)
    assert frames[2].people.keypoints_3d is None


def test_openpose_files_have_the_published_form(tmp_path):
    people = make_people(2, ids=(7, 9))
    lines = write_lines(tmp_path / "walk.jsonl", [people, make_people(0)])
    result = run("convert", lines, "--to", "openpose", "-o", tmp_path / "out")
    assert "2 files" in result.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["walk_000000000000_keypoints.json", "walk_000000000001_keypoints.json"]
    first, second = (json.loads((tmp_path / "out" / name).read_text()) for name in names)
    assert second == {"version": 1.3, "people": []}
    assert [person["person_id"] for person in first["people"]] == [[7], [9]]
    triples = np.array(first["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    for name in ("nose", "left_wrist", "right_ankle"):
        column = COCO_17.index(name)
        wanted = [*people.keypoints[0, column], people.scores[0, column]]
        np.testing.assert_allclose(triples[BODY_25.index(name)], wanted, atol=1e-4)
    np.testing.assert_allclose(triples[BODY_25.index("pelvis"), :2], people.keypoints[0, HIPS].mean(0), atol=1e-4)
    assert triples[BODY_25.index("pelvis"), 2] == pytest.approx(people.scores[0, HIPS].min(), abs=1e-4)
    np.testing.assert_array_equal(triples[BODY_25.index("left_ear")], people_triple_absent())
    np.testing.assert_array_equal(triples[BODY_25.index("left_heel")], people_triple_absent())
    assert first["people"][0]["face_keypoints_2d"] == []


def people_triple_absent() -> list[float]:
    return [0.0, 0.0, 0.0]


def test_an_absent_hip_leaves_no_pelvis(tmp_path):
    people = make_people()
    people.scores[0, HIPS[0]] = 0
    people.keypoints[0, HIPS[0]] = 0
    convert_people([write_lines(tmp_path / "a.jsonl", [people])], tmp_path / "out", "openpose")
    (file,) = (tmp_path / "out").iterdir()
    triples = np.array(json.loads(file.read_text())["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    np.testing.assert_array_equal(triples[BODY_25.index("pelvis")], people_triple_absent())


def test_pose2sim_gets_a_folder_per_camera(tmp_path):
    cameras = [write_lines(tmp_path / f"{name}.jsonl", [make_people()] * 3) for name in ("cam01", "cam02")]
    assert convert_people(cameras, tmp_path / "project", "pose2sim") == 6
    folders = sorted((tmp_path / "project/pose").iterdir())
    assert [folder.name for folder in folders] == ["cam01_json", "cam02_json"]
    file = folders[0] / "cam01_000000000002_keypoints.json"
    values = json.loads(file.read_text())["people"][0]["pose_keypoints_2d"]
    np.testing.assert_allclose(np.reshape(values, (17, 3))[:, :2], make_people().keypoints[0], atol=1e-4)


def test_cameras_of_different_lengths_are_refused(tmp_path):
    cameras = [write_lines(tmp_path / f"cam{n}.jsonl", [make_people()] * n) for n in (2, 3)]
    with pytest.raises(ValueError, match="same number of frames for each camera, got cam2: 2, cam3: 3"):
        convert_people(cameras, tmp_path / "project", "pose2sim")
    assert not (tmp_path / "project").exists()
    assert not list(tmp_path.glob(".*"))


def test_trc_has_the_header_of_opensim_and_one_row_per_frame(tmp_path):
    frames = [make_people(2, seed, ids=(5, 8), metres=True) for seed in range(3)]
    frames.insert(1, make_people(1, 9, ids=(8,), metres=True))
    lines = write_lines(tmp_path / "walk.jsonl", frames)
    assert convert_people([lines], tmp_path / "out", "trc") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walk_person5.trc", "walk_person8.trc"]
    text = (tmp_path / "out/walk_person5.trc").read_text().split("\n")
    assert text[0] == "PathFileType\t4\t(X/Y/Z)\twalk_person5.trc"
    assert text[2] == "20\t20\t4\t17\tm\t20\t1\t4"
    assert text[3].split("\t")[:6] == ["Frame#", "Time", "nose", "", "", "left_eye"]
    assert text[4].split("\t")[2:8] == ["X1", "Y1", "Z1", "X2", "Y2", "Z2"]
    assert text[5] == ""
    rows = [row.split("\t") for row in text[6:-1]]
    assert [row[:2] for row in rows] == [[str(n + 1), f"{0.05 * n:.6f}"] for n in range(4)]
    assert {len(row) for row in rows} == {2 + 3 * 17}
    assert rows[1][2:] == [""] * 51
    x, y, z = frames[0].keypoints_3d[0, 0]
    np.testing.assert_allclose([float(value) for value in rows[0][2:5]], [z, -y, x], atol=1e-4)
    assert rows[0][2 + 9 : 2 + 12] == ["", "", ""]


def test_axes_of_opensim():
    forward_up_right = to_opensim_axes(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    np.testing.assert_array_equal(forward_up_right, [[0, 0, 1], [0, -1, 0], [1, 0, 0]])


def test_trc_refuses_other_shapes_and_times(tmp_path):
    body = Skeleton("two", ("a", "b"), ())
    with pytest.raises(ValueError, match=r"points: expected shape \(1, 2, 3\)"):
        write_trc(tmp_path / "x.trc", [0.0], np.zeros((1, 3, 3)), body, 30)
    with pytest.raises(ValueError, match="times_s: expected increasing"):
        write_trc(tmp_path / "x.trc", [0.0, 0.0], np.zeros((2, 2, 3)), body, 30)
    assert not list(tmp_path.iterdir())


def test_without_metres_or_ids_there_is_no_trajectory(tmp_path):
    lines = write_lines(tmp_path / "flat.jsonl", [make_people(1, ids=(1,)), make_people(1, metres=True)])
    with pytest.raises(ValueError, match="expected people with ids and keypoints in metres, got none"):
        collect_trajectories(read_people(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line[: len(line) // 2], "line 2: expected the people of one image"),
        (lambda line: "[]", "got a list"),
        (lambda line: line.replace('"width":320', '"width":"wide"'), "width 'wide'"),
        (lambda line: line.replace('"width":320,', ""), "no entry 'width'"),
        (lambda line: line.replace('"nose"', '"snout"'), "other keypoint_names"),
        (lambda line: line.replace('"score":0.5', '"score":NaN'), "score nan"),
        (lambda line: line.replace('"score":0.5', '"score":2'), "score 2"),
        (lambda line: line.replace('"id":-1', '"id":4294967296'), "id 4294967296"),
        (lambda line: line.replace('"keypoints":[[', '"keypoints":[["x",'), "not three numbers"),
        (lambda line: re.sub(r'"keypoints":\[\[[0-9.]+', '"keypoints":[[1e39', line), "not three numbers"),
        (lambda line: line.replace("null", "[1,2,-1]", 1), "scores: expected values in"),
        (lambda line: "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_damaged_line_is_named_and_leaves_nothing(tmp_path, change, message):
    lines = write_lines(tmp_path / "walk.jsonl", [make_people(), make_people()])
    first, second, _ = lines.read_text().split("\n")
    lines.write_text(first + "\n" + change(second) + "\n")
    with pytest.raises(ValueError, match=message):
        convert_people([lines], tmp_path / "out", "openpose")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_kept(tmp_path):
    lines = write_lines(tmp_path / "walk.jsonl", [make_people()])
    (tmp_path / "out").mkdir()
    result = run("convert", lines, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "--output: expected a new folder" in result.output
    assert not list((tmp_path / "out").iterdir())


def test_frames_with_equal_numbers_are_refused(tmp_path):
    lines = write_lines(tmp_path / "walk.jsonl", [make_people()])
    lines.write_text(lines.read_text() * 2)
    with pytest.raises(ValueError, match="expected each frame once, got 0 again"):
        convert_people([lines], tmp_path / "out", "openpose")


def test_equal_names_and_unknown_formats_are_refused(tmp_path):
    lines = write_lines(tmp_path / "walk.jsonl", [make_people()])
    with pytest.raises(ValueError, match="files of different names"):
        convert_people([lines, lines], tmp_path / "out", "pose2sim")
    with pytest.raises(ValueError, match="format: expected openpose, pose2sim, trc"):
        convert_people([lines], tmp_path / "out", "bvh")
    assert run("convert", lines, "--to", "trc", "--skeleton", "coco_17", "-o", tmp_path / "x").exit_code == 1
