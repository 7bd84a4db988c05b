"""Test the reading of data sets: all formats, ignored areas, invalid files, labels of a teacher."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from label_files import make_annotation, standing_person, write_coco, write_image, write_yolo
from shared_folder import SHARED

from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.extra import add_extra_labels, read_extra
from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture
from pose_ros.datasets.labels import Gates, map_labels, normalise_names
from pose_ros.datasets.lsp import LSP_NAMES, read_lsp
from pose_ros.datasets.mpii import MPII_NAMES, read_mpii
from pose_ros.datasets.regions import make_region
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.datasets.sets import DataConfig, open_data_set, open_mixture
from pose_ros.datasets.yolo import read_yolo
from pose_ros.skeleton import BODY_25, COCO_17, OPENPOSE_18, Skeleton


def state_of(annotated, name, skeleton, person=0):
    return annotated.states[person, skeleton.index(name)]


def test_given_names_of_keypoints_replace_those_of_the_file(tmp_path):
    xy, names = standing_person(), COCO_17.keypoint_names
    wrong = {"id": 1, "name": "person", "keypoints": list(names[::-1])}
    file = write_coco(tmp_path, [make_annotation(xy=xy)], category=wrong)
    for given, expected in (((), xy[::-1]), (names, xy)):
        (annotated,) = read_coco(file, tmp_path, COCO_17, names=given)
        np.testing.assert_allclose(annotated.keypoints[0], expected, atol=1e-4)


# --- skeletons


def test_labels_are_mapped_by_name_and_the_neck_is_the_mean_of_the_shoulders():
    xy = standing_person()[None].astype(np.float32)
    keypoints, states = map_labels(xy, np.full((1, 17), LABELLED, np.uint8), COCO_17.keypoint_names, OPENPOSE_18)
    for name in COCO_17.keypoint_names:
        np.testing.assert_array_equal(keypoints[0, OPENPOSE_18.index(name)], xy[0, COCO_17.index(name)])
    shoulders = xy[0, [COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")]]
    np.testing.assert_allclose(keypoints[0, OPENPOSE_18.index("neck")], shoulders.mean(axis=0))
    assert (states == LABELLED).all()


def test_without_a_shoulder_the_neck_is_absent_or_uncertain():
    states = np.full((1, 17), LABELLED, np.uint8)
    states[0, COCO_17.index("left_shoulder")] = ABSENT
    _, found = map_labels(standing_person()[None].astype(np.float32), states, COCO_17.keypoint_names, OPENPOSE_18)
    assert found[0, OPENPOSE_18.index("neck")] == ABSENT
    states = np.full((1, 14), LABELLED, np.uint8)
    states[0, LSP_NAMES.index("left_shoulder")] = ABSENT
    _, found = map_labels(np.ones((1, 14, 2), np.float32), states, LSP_NAMES, OPENPOSE_18)
    assert found[0, OPENPOSE_18.index("neck")] == UNCERTAIN


def test_keypoints_missing_in_the_data_set_are_unknown():
    _, states = map_labels(
        np.ones((1, 17, 2), np.float32), np.full((1, 17), LABELLED, np.uint8), COCO_17.keypoint_names, BODY_25
    )
    unknown = {name for name, state in zip(BODY_25.keypoint_names, states[0], strict=True) if state == UNKNOWN}
    assert unknown == {f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")}
    assert states[0, BODY_25.index("pelvis")] == LABELLED


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Left Shoulder", "left_shoulder"), ("head", "head_top"), ("right-knee", "right_knee"), (" Nose ", "nose")],
)
def test_keypoint_names_are_normalised(name, expected):
    assert normalise_names([name]) == (expected,)


# --- COCO


def test_coco_crowds_and_people_without_keypoints_are_ignored(tmp_path):
    visible = np.full(17, 2)
    visible[COCO_17.index("nose")] = 0
    people = [
        make_annotation(1, visible=visible),
        make_annotation(2, visible=0, bbox=[0, 0, 10, 20]),
        make_annotation(3, iscrowd=1, bbox=[100, 80, 20, 20]),
        make_annotation(4, category_id=2),
    ]
    (annotated,) = read_coco(write_coco(tmp_path, people), tmp_path, COCO_17)
    assert len(annotated.boxes) == 1 and len(annotated.ignored) == 2
    assert state_of(annotated, "nose", COCO_17) == ABSENT and state_of(annotated, "left_eye", COCO_17) == LABELLED
    sample = ImageSet("x", COCO_17, [annotated])[0]
    assert sample.ignored[:20, :10].all() and sample.ignored[80:, 100:].all()
    assert sample.ignored.sum() == 10 * 20 + 20 * 20


def test_labelled_people_in_the_box_of_a_crowd_are_not_ignored(tmp_path):
    people = [
        make_annotation(1, bbox=[40, 10, 40, 80]),
        make_annotation(2, iscrowd=1, bbox=[0, 0, 120, 100]),
        make_annotation(3, visible=0, bbox=[50, 50, 10, 10]),
    ]
    (annotated,) = read_coco(write_coco(tmp_path, people), tmp_path, COCO_17)
    expected = np.ones((100, 120), bool)
    expected[10:90, 40:80], expected[50:60, 50:60] = False, True
    np.testing.assert_array_equal(ImageSet("x", COCO_17, [annotated])[0].ignored, expected)


def test_coco_boxes_are_converted_to_pixel_centres(tmp_path):
    (annotated,) = read_coco(write_coco(tmp_path, [make_annotation(bbox=[10, 20, 30, 40])]), tmp_path, COCO_17)
    np.testing.assert_allclose(annotated.boxes, [[9.5, 19.5, 39.5, 59.5]])


def test_masks_become_a_people_map(tmp_path):
    square = [[10, 10, 30, 10, 30, 40, 10, 40]]
    runs = {"size": [100, 120], "counts": [50 * 100 + 60, 20, 80, 20, 120 * 100 - 50 * 100 - 180]}
    people = [make_annotation(1, segmentation=square), make_annotation(2, segmentation=runs)]
    (annotated,) = read_coco(write_coco(tmp_path, people), tmp_path, COCO_17)
    people_map = annotated.to_sample(np.zeros((100, 120, 3), np.uint8)).people_map
    assert (people_map[10:40, 10:30] == 1).all() and abs(int((people_map == 1).sum()) - 600) <= 55
    assert (people_map[60:80, 50:52] == 2).all() and (people_map == 2).sum() == 40


def test_compressed_run_lengths_are_decoded_by_pycocotools():
    mask = np.zeros((40, 30), np.uint8)
    mask[5:20, 8:9] = 1
    coder = pytest.importorskip("pycocotools.mask")
    found = np.zeros_like(mask)
    make_region(np.array([0, 0, 5, 5], np.float32), coder.encode(np.asfortranarray(mask))).paint(found, 1)
    np.testing.assert_array_equal(found, mask)


def test_run_lengths_of_another_image_size_fall_back_to_the_box():
    found = np.zeros((40, 30), np.uint8)
    make_region(np.array([2, 3, 5, 6], np.float32), {"size": [10, 10], "counts": [100]}).paint(found, 1)
    assert found[3:7, 2:6].all() and found.sum() == 16


def test_labels_of_a_network_follow_from_their_scores(tmp_path):
    scores = np.full(17, 0.9)
    scores[:2] = 0.3, 0.05
    people = [
        make_annotation(1, keypoint_scores=scores.tolist()),
        make_annotation(2, keypoint_scores=[0.9] * 2 + [0.2] * 15),
    ]
    (annotated,) = read_coco(write_coco(tmp_path, people), tmp_path, COCO_17)
    assert len(annotated.boxes) == 1 and len(annotated.ignored) == 1
    assert annotated.states[0, :3].tolist() == [UNCERTAIN, ABSENT, LABELLED]


def test_crowdpose_has_a_head_and_no_face(tmp_path):
    names = ["left_shoulder", "right_shoulder", "head", "neck"]
    xy = np.array([[70, 30], [50, 30], [60, 10], [60, 25]], float)
    labels = write_coco(tmp_path, [make_annotation(xy=xy)], category={"id": 1, "name": "person", "keypoints": names})
    (annotated,) = read_coco(labels, tmp_path, OPENPOSE_18)
    # Not the neck of CrowdPose, which is at the chin.
    np.testing.assert_allclose(annotated.keypoints[0, OPENPOSE_18.index("neck")], [60, 30])
    assert state_of(annotated, "nose", OPENPOSE_18) == UNKNOWN


BAD_ANNOTATIONS = {
    "NaN": (make_annotation(7, xy=np.full((17, 2), np.nan), bbox=[1, 1, 5, 5]), "annotation 7.*NaN"),
    "too few numbers": (make_annotation(7, keypoints=[1, 2, 2]), "annotation 7: expected 17 keypoints.*got 3"),
    "another unit": (make_annotation(7, xy=standing_person() * 100), "annotation 7.*x in 0 to 120 and y in 0 to 100"),
    "box": (make_annotation(7, bbox=[1, 2, 3]), r"annotation 7: expected bbox.*\[1, 2, 3\]"),
    "negative box": (make_annotation(7, bbox=[1, 2, -3, 4]), "annotation 7: expected bbox"),
    "words": (make_annotation(7, keypoints=["x"] * 51), "could not convert"),
}


@pytest.mark.parametrize("name", BAD_ANNOTATIONS)
def test_a_bad_annotation_is_reported_or_skipped(tmp_path, name):
    bad, message = BAD_ANNOTATIONS[name]
    labels = write_coco(tmp_path, [bad, make_annotation(8), make_annotation(9)])
    with pytest.raises(ValueError, match=message) as raised:
        read_coco(labels, tmp_path, COCO_17)
    assert str(labels) in str(raised.value)
    with pytest.warns(UserWarning, match="bad entries skipped: 1, the first: "):
        (annotated,) = read_coco(labels, tmp_path, COCO_17, strict=False)
    assert len(annotated.boxes) == 2


def test_keypoints_slightly_outside_are_absent():
    xy, states = np.array([[[5, 5], [-3, 5], [119.6, 5]]], np.float32), np.full((1, 3), LABELLED, np.uint8)
    annotated = AnnotatedImage(Path("a.jpg"), xy, states, np.zeros((1, 4), np.float32))
    assert annotated.to_sample(np.zeros((100, 120, 3), np.uint8)).states.tolist() == [[LABELLED, ABSENT, ABSENT]]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "expected JSON"), ("[]", "'images'"), ('{"images": []}', "'annotations'"), ("[1, 2", "expected JSON")],
)
def test_a_file_in_another_format_is_rejected(tmp_path, content, message):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_coco(tmp_path / "labels.json", tmp_path, COCO_17)


def test_missing_files_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        read_coco(tmp_path / "nothing.json", tmp_path, COCO_17)
    labels = write_coco(tmp_path, [make_annotation()], entry={"file_name": "gone.jpg"})
    with pytest.raises(ValueError, match=r"gone\.jpg"):
        read_coco(labels, tmp_path, COCO_17)


def test_the_image_size_must_match_the_labels(tmp_path):
    images = read_coco(write_coco(tmp_path, [make_annotation()], entry={"width": 240}), tmp_path, COCO_17)
    with pytest.raises(ValueError, match=r"a.jpg.*\(240, 100\).*\(120, 100\)"):
        ImageSet("x", COCO_17, images)[0]


# --- reading images


def test_a_truncated_image_is_reported_or_skipped(tmp_path):
    write_image(tmp_path, "good.jpg", (50, 40))
    whole = write_image(tmp_path, "bad.jpg").read_bytes()
    (tmp_path / "bad.jpg").write_bytes(whole[: len(whole) // 2])
    config = DataConfig("negatives", images=str(tmp_path))
    with pytest.raises(ValueError, match=r"bad\.jpg"):
        open_data_set(config, COCO_17)[0]
    lenient = open_data_set(DataConfig("negatives", images=str(tmp_path), strict=False), COCO_17)
    with pytest.warns(UserWarning, match=r"bad\.jpg"):
        assert lenient[0].size_wh == (50, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # warns only once
        assert lenient[0].size_wh == lenient[1].size_wh == (50, 40)
    assert [file.name for file in lenient.unreadable] == ["bad.jpg"]


def test_a_data_set_without_a_readable_image_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 not an image")
    lenient = open_data_set(DataConfig("negatives", images=str(tmp_path), strict=False), COCO_17)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="cannot be read"):
        lenient[0]


def test_cached_and_pickled_data_sets_return_the_same_samples(tmp_path):
    labels = write_coco(tmp_path, [make_annotation()])
    plain = open_data_set(DataConfig("coco", labels=str(labels)), COCO_17)
    cached = open_data_set(DataConfig("coco", labels=str(labels), cache=True), COCO_17)
    expected = plain[0]
    cached[0]
    (tmp_path / "a.jpg").rename(tmp_path / "moved.jpg")
    for sample in (cached[0], pickle.loads(pickle.dumps(cached))[0]):
        np.testing.assert_array_equal(sample.image_bgr, expected.image_bgr)
        np.testing.assert_array_equal(sample.keypoints, expected.keypoints)
    with pytest.raises(IndexError, match="below 1"):
        cached[1]


# --- LSP, MPII, YOLO


def write_lsp(folder, visible=1.0):
    write_image(folder, "im00001.jpg")
    by_name = {name: standing_person()[COCO_17.index(name)] for name in COCO_17.keypoint_names}
    joints = [[*by_name.get(name, (60, 12)), visible] for name in LSP_NAMES]
    np.savez(folder / "labels.npz", names=["im00001.jpg"], joints=np.array([joints], np.float32))
    return folder / "labels.npz", np.array(joints)


def test_lsp_ignores_the_area_outside_the_labelled_person(tmp_path):
    labels, _ = write_lsp(tmp_path)
    (annotated,) = read_lsp(labels, tmp_path, OPENPOSE_18)
    np.testing.assert_allclose(
        annotated.keypoints[0, OPENPOSE_18.index("left_knee")], standing_person()[COCO_17.index("left_knee")]
    )
    assert state_of(annotated, "nose", OPENPOSE_18) == UNKNOWN and state_of(annotated, "neck", OPENPOSE_18) == LABELLED
    ignored = annotated.to_sample(np.zeros((100, 120, 3), np.uint8)).ignored
    assert ignored[50, 2] and not ignored[50, 60]
    x, y = annotated.keypoints[0][annotated.states[0] == LABELLED].astype(int).T
    assert not ignored[y, x].any()


def test_lsp_others_can_be_declared_absent(tmp_path):
    labels, _ = write_lsp(tmp_path)
    config = DataConfig("lsp", labels=str(labels), images=str(tmp_path), others="none")
    assert open_data_set(config, OPENPOSE_18)[0].ignored is None


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "first set"])
def test_lsp_mat_files_mark_visible_or_hidden_keypoints(tmp_path, extended):
    scipy_io = pytest.importorskip("scipy.io")
    _, joints = write_lsp(tmp_path)
    many = np.repeat(joints[None], 3 if extended else 2000, axis=0)  # (M, 14, 3)
    many[0, 0, 2] = 0 if extended else 1
    many[:, 1:, 2] = 1 if extended else 0
    scipy_io.savemat(tmp_path / "joints.mat", {"joints": many.transpose((1, 2, 0) if extended else (2, 1, 0))})
    if not extended:
        (tmp_path / "im00001.jpg").rename(tmp_path / "im0001.jpg")
    with pytest.warns(UserWarning, match=r"bad entries skipped: \d+"):  # because of missing images
        (annotated,) = read_lsp(tmp_path / "joints.mat", tmp_path, COCO_17, strict=False)
    assert state_of(annotated, "right_ankle", COCO_17) == (ABSENT if extended else LABELLED)
    assert state_of(annotated, "right_knee", COCO_17) == LABELLED


def mpii_people():
    names = dict(zip(COCO_17.keypoint_names, standing_person(), strict=True))
    joints = [names.get(name, (60.0, 20.0)) for name in MPII_NAMES]
    return np.array(joints), np.array([0.0] + [1.0] * 15)


def test_mpii_json(tmp_path):
    write_image(tmp_path)
    joints, visible = mpii_people()
    person = {"image": "a.jpg", "joints": joints.tolist(), "joints_vis": visible.tolist(), "center": [60, 50]}
    unlabelled = {"image": "a.jpg", "joints": [[-1, -1]] * 16, "joints_vis": [0] * 16, "center": [15, 15], "scale": 0.1}
    (tmp_path / "labels.json").write_text(json.dumps([{**person, "scale": 0.4}, unlabelled]))
    (annotated,) = read_mpii(tmp_path / "labels.json", tmp_path, COCO_17)
    assert len(annotated.boxes) == 1 and annotated.ignored[0].box.tolist() == [5, 5, 25, 25]
    assert state_of(annotated, "right_ankle", COCO_17) == ABSENT and state_of(annotated, "nose", COCO_17) == UNKNOWN
    np.testing.assert_allclose(
        annotated.keypoints[0, COCO_17.index("left_wrist")], joints[MPII_NAMES.index("left_wrist")]
    )


def test_mpii_mat(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    write_image(tmp_path)
    joints, visible = mpii_people()
    points = [{"x": x + 1, "y": y + 1, "id": n} for n, (x, y) in enumerate(joints) if visible[n]]
    people = [{"annopoints": {"point": points}, "scale": 0.4, "objpos": {"x": 60, "y": 50}}]
    train, test = {"image": {"name": "a.jpg"}, "annorect": people}, {"image": {"name": "b.jpg"}}
    scipy_io.savemat(tmp_path / "mpii.mat", {"RELEASE": {"annolist": [train, test], "img_train": [1, 0]}})
    (annotated,) = read_mpii(tmp_path / "mpii.mat", tmp_path, COCO_17)
    assert state_of(annotated, "right_ankle", COCO_17) == ABSENT
    np.testing.assert_allclose(
        annotated.keypoints[0, COCO_17.index("left_hip")], joints[MPII_NAMES.index("left_hip")], atol=1e-4
    )


def test_yolo_labels_are_fractions_of_the_image_size(tmp_path):
    first, second = ImageSet("x", OPENPOSE_18, read_yolo(write_yolo(tmp_path), OPENPOSE_18))
    np.testing.assert_allclose(
        first.keypoints[0, OPENPOSE_18.index("right_knee")], standing_person()[COCO_17.index("right_knee")], atol=1e-3
    )
    np.testing.assert_allclose(first.boxes, [[39.5, 9.5, 79.5, 89.5]], atol=1e-4)
    assert len(second.boxes) == 0 and second.ignored is None


YOLO_ERRORS = {
    "short line": ({"line": "0 0.5 0.5 0.1 0.1 0.2"}, "a.txt, line 1: expected 56 numbers, got 6"),
    "no kpt_shape": ({"kpt_shape": None}, "kpt_shape"),
    "names of another set": ({"kpt_shape": [14, 3]}, "expected 14 keypoint names.*set keypoint_names"),
    "mirror pairs": ({"flip_idx": list(range(17))}, "flip_idx"),
    "no such split": ({"train": None}, "'train'"),
    "no such folder": ({"train": "images/gone"}, "gone"),
}


@pytest.mark.parametrize("name", YOLO_ERRORS)
def test_yolo_errors_contain_the_location(tmp_path, name):
    changes, message = YOLO_ERRORS[name]
    with pytest.raises(ValueError, match=message):
        read_yolo(write_yolo(tmp_path, **changes), COCO_17)


# --- labels of a teacher


def write_teacher(folder, *people):
    annotations = [make_annotation(n + 1, xy, keypoint_scores=list(scores)) for n, (xy, scores) in enumerate(people)]
    return write_coco(folder, annotations, name="teacher.json")


def test_a_teacher_labels_unknown_keypoints(tmp_path):
    labels, _ = write_lsp(tmp_path)
    scores = np.full(17, 0.05)
    scores[[COCO_17.index("nose"), COCO_17.index("left_eye")]] = 0.9, 0.3
    scores[5:] = 0.8
    extra = write_teacher(tmp_path, (standing_person() + 1, scores))
    (annotated,) = read_lsp(labels, tmp_path, OPENPOSE_18)
    extras = {"im00001.jpg": read_extra(extra, OPENPOSE_18, Gates())["a.jpg"]}
    (merged,) = add_extra_labels([annotated], extras, OPENPOSE_18, Gates())
    found = {name: state_of(merged, name, OPENPOSE_18) for name in ("nose", "left_eye", "right_eye", "left_knee")}
    assert found == {"nose": LABELLED, "left_eye": UNCERTAIN, "right_eye": ABSENT, "left_knee": LABELLED}
    np.testing.assert_allclose(
        merged.keypoints[0, OPENPOSE_18.index("left_knee")], standing_person()[COCO_17.index("left_knee")]
    )
    np.testing.assert_allclose(
        merged.keypoints[0, OPENPOSE_18.index("nose")], standing_person()[COCO_17.index("nose")] + 1, rtol=1e-5
    )


def test_additional_people_of_a_teacher_are_added_or_ignored(tmp_path):
    labels = write_coco(tmp_path, [make_annotation(1, standing_person(x=30))])
    extra = write_teacher(
        tmp_path,
        (standing_person(x=31), [0.9] * 17),
        (standing_person(x=90), [0.9] * 17),
        (standing_person(x=90, y=5, height=20), [0.9] * 5 + [0.2] * 12),
        (standing_person(x=30), [0.2] * 17),  # the same person again
    )
    config = DataConfig("coco", labels=str(labels), extra=str(extra))
    (annotated,) = open_data_set(config, COCO_17).images
    assert len(annotated.boxes) == 2 and annotated.keypoints[1, 0].tolist() == pytest.approx([90.0, 16.4], abs=0.1)
    assert len(annotated.ignored) == 1 and annotated.ignored[0].box[3] < 30


def test_absent_keypoints_that_the_teacher_finds_are_uncertain(tmp_path):
    visible = np.full(17, 2)
    visible[COCO_17.index("left_wrist")] = 0
    labels = write_coco(tmp_path, [make_annotation(1, visible=visible)])
    config = DataConfig("coco", labels=str(labels), extra=str(write_teacher(tmp_path, (standing_person(), [0.9] * 17))))
    (annotated,) = open_data_set(config, COCO_17).images
    assert state_of(annotated, "left_wrist", COCO_17) == UNCERTAIN


def test_scores_above_one_are_rejected(tmp_path):
    extra = write_coco(tmp_path, [make_annotation(5)])
    with pytest.raises(ValueError, match=r"annotation 5.*scores of at most 1"):
        read_extra(extra, COCO_17, Gates())


# --- selection and mixtures


def test_images_are_selected_by_number_list_and_people(tmp_path):
    labels = write_yolo(tmp_path)
    (tmp_path / "list.txt").write_text("images/train/b.jpg\n")

    def files(**choice):
        return [
            annotated.file.name
            for annotated in open_data_set(DataConfig("yolo", str(labels), **choice), COCO_17).images
        ]

    assert files() == ["a.jpg", "b.jpg"] and files(first=1) == ["a.jpg"]
    assert files(subset=str(tmp_path / "list.txt")) == ["b.jpg"]
    assert files(people="some") == ["a.jpg"] and files(people="none") == ["b.jpg"]
    with pytest.raises(ValueError, match="expected images, got none"):
        files(subset=str(tmp_path / "list.txt"), people="some")


def test_a_mixture_draws_by_weight(tmp_path):
    write_image(tmp_path / "wide", size_wh=(60, 20))
    write_image(tmp_path / "tall", size_wh=(20, 60))
    configs = [
        DataConfig("negatives", images="wide", weight=3.0),
        DataConfig("negatives", images="tall", weight=1.0),
    ]
    mixture = open_mixture(configs, COCO_17, tmp_path)
    rng = np.random.default_rng(0)
    wide = sum(mixture.draw(rng).size_wh == (60, 20) for _ in range(400))
    assert len(mixture) == 2 and 270 < wide < 330


@pytest.mark.parametrize(
    ("data_sets", "weights"), [([], []), ([[1]], [1.0, 2.0]), ([[1]], [0.0]), ([[1], [2]], [2.0, -1.0]), ([[]], [1.0])]
)
def test_a_mixture_needs_sets_and_weights(data_sets, weights):
    with pytest.raises(ValueError, match="expected"):
        Mixture(data_sets, weights)


def test_an_unknown_format_is_rejected():
    with pytest.raises(ValueError, match="format: expected one of coco"):
        DataConfig("cocoa")


# --- real data


@pytest.mark.skipif(not (SHARED / "images").is_dir(), reason="no folder of shared images")
@pytest.mark.parametrize(
    "config",
    [
        DataConfig("coco", "coco_val/person_keypoints.json", "coco_val/images"),
        DataConfig("coco", "coco_train/person_keypoints.json", "coco_train/images"),
        DataConfig("lsp", "lspet/labels.npz"),
    ],
    ids=["coco_val", "coco_train", "lspet"],
)
def test_real_data_sets_are_read_completely(config):
    image_set = open_data_set(config, OPENPOSE_18, SHARED / "images")
    for index in range(0, len(image_set), max(1, len(image_set) // 12)):
        sample = image_set[index]
        labelled = sample.keypoints[sample.states == LABELLED]
        assert ((labelled >= -0.5) & (labelled < sample.size_wh)).all()
    people = sum(len(annotated.boxes) for annotated in image_set.images)
    assert people == {"coco_val": 429, "coco_train": 522, "lspet": 5500}[config.labels.split("/")[0]]


def test_labels_without_a_keypoint_of_the_skeleton_are_rejected() -> None:
    hand = Skeleton("hand", ("wrist", "thumb"), ((0, 1),))
    keypoints, states = np.zeros((1, 2, 2), np.float32), np.full((1, 2), LABELLED, np.uint8)
    with pytest.raises(ValueError, match="expected some of wrist, thumb, got left_hip, right_hip"):
        map_labels(keypoints, states, ("left_hip", "right_hip"), hand)
