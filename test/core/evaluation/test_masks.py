"""Test the comparison of masks with the outlines of labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from pose_ros.datasets.synthetic.file import write_scenes
from pose_ros.datasets.synthetic.scene import SyntheticImages, SyntheticScene
from pose_ros.evaluation.data import DataSet, read_coco
from pose_ros.evaluation.masks import mask_ious
from pose_ros.evaluation.model import run_model
from pose_ros.evaluation.report import main_table
from pose_ros.evaluation.scores import evaluate_results
from pose_ros.people import People
from pose_ros.skeleton import COCO_17

SCENES, SIZE_WH = 3, (160, 120)


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticScene]:
    images = SyntheticImages(COCO_17, SCENES, SIZE_WH, 3, seed=4)
    return [images.scene(index) for index in range(SCENES)]


@pytest.fixture(scope="module")
def labels(scenes: list[SyntheticScene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, scenes, COCO_17)
    return folder / "labels.json"


@pytest.fixture(scope="module")
def data(labels: Path) -> DataSet:
    return read_coco(labels)


def people_of(scene: SyntheticScene, with_masks: bool = True) -> People:
    """Return the labelled people of a scene as detections, the last one as the best."""
    seen = np.flatnonzero(scene.visible.any(axis=1))[::-1]
    scores = scene.inside[seen].astype(np.float32)
    keypoints = np.where(scores[..., None] > 0, scene.keypoints_px[seen], 0)
    person_scores = np.linspace(0.9, 0.5, len(seen))
    return People(keypoints, scores, person_scores, masks=scene.masks[seen] if with_masks else None)


class Answers:
    """Model that returns given people, one image after another."""

    skeleton = COCO_17

    def __init__(self, people: list[People]) -> None:
        self._people = iter(people)

    def detect(self, image_bgr: np.ndarray) -> dict[str, tuple[People, dict[str, float]]]:
        return {"some": (next(self._people), {})}


def evaluate(data: DataSet, people: list[People]):
    return evaluate_results(data, run_model(Answers(people), data)["some"])


def test_the_masks_of_the_labels_are_perfect(scenes: list[SyntheticScene], data: DataSet) -> None:
    evaluation = evaluate(data, [people_of(scene) for scene in scenes])
    count = sum(len(image) for image in data.images)
    assert (evaluation.masks.people, evaluation.masks.matched) == (count, count)
    assert evaluation.masks.mean_iou == evaluation.masks.mean_iou_of_all == 1
    assert ["mask IoU, matched people", "100.0"] in main_table({"some": evaluation})
    assert evaluation.numbers()["masks"]["mean_iou"] == 1


def test_masks_are_compared_in_the_order_of_the_scores(scenes: list[SyntheticScene], data: DataSet) -> None:
    scene, image = max(zip(scenes, data.images, strict=True), key=lambda pair: len(pair[1]))
    people = people_of(scene)
    assert len(people) > 1
    assert np.array_equal(mask_ious(people, image), mask_ious(people[::-1], image))


def test_half_a_mask_counts_half(scenes: list[SyntheticScene], data: DataSet) -> None:
    halves = []
    for scene in scenes:
        people = people_of(scene)
        for mask in people.masks:
            rows, columns = mask.nonzero()
            mask[rows[::2], columns[::2]] = False
        halves.append(people)
    assert evaluate(data, halves).masks.mean_iou == pytest.approx(0.5, abs=0.01)


def test_a_missed_person_counts_only_among_all(scenes: list[SyntheticScene], data: DataSet) -> None:
    found = [people_of(scene) for scene in scenes]
    found[0] = found[0][:0]
    masks = evaluate(data, found).masks
    assert masks.people - masks.matched == len(data.images[0])
    assert masks.mean_iou == 1 and masks.mean_iou_of_all == masks.matched / masks.people


def test_without_masks_or_outlines_there_is_no_score(
    scenes: list[SyntheticScene], data: DataSet, labels: Path, tmp_path: Path
) -> None:
    assert evaluate(data, [people_of(scene, with_masks=False) for scene in scenes]).masks is None
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    plain = read_coco(tmp_path / "labels.json", labels.parent)
    people = [people_of(scene) for scene in scenes]
    assert [mask_ious(*pair) for pair in zip(people, plain.images, strict=True)] == [None] * SCENES
    assert evaluate(plain, people).masks is None


def test_a_bad_outline_is_named(labels: Path, tmp_path: Path) -> None:
    content = json.loads(labels.read_text())
    content["annotations"][1]["segmentation"] = [[1, 2, 3, 4, "x", 6]]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    number = content["annotations"][1]["id"]
    with pytest.raises(ValueError, match=rf"annotation {number}: segmentation"):
        read_coco(tmp_path / "labels.json", labels.parent)
