"""Test the counts of repaired and spoiled keypoints, with refiners whose effect is known."""

from __future__ import annotations

import numpy as np

from pose_ros.datasets.pose_errors import GOOD, INVERSION, JITTER, KINDS, MISS, SWAP, ErrorRates
from pose_ros.datasets.sample import LABELLED, UNKNOWN, Sample
from pose_ros.evaluation.repairs import Repairs, count_repairs, make_wrong_people, measure_repairs
from pose_ros.people import People
from pose_ros.skeleton import COCO_17

RATES = ErrorRates(np.tile([0.2, 0.15, 0.15, 0.15], (17, 1)), absent=0.3)
MIRROR = list(COCO_17.flip_order)


def make_sample(*centres: float) -> Sample:
    keypoints = np.array([COCO_17.standing * 200 + (x, 40) for x in centres], np.float32).reshape(-1, 17, 2)
    boxes = np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
    return Sample(np.zeros((300, 600, 3), np.uint8), keypoints, np.full((len(centres), 17), LABELLED, np.uint8), boxes)


class Known:
    """Refiner with a known answer: the pose itself, the label, or the mirrored label."""

    skeleton = COCO_17

    def __init__(self, samples: list[Sample], answer: str) -> None:
        self._samples, self._answer = {id(sample.image_bgr): sample for sample in samples}, answer

    def estimate(self, image: np.ndarray, people: People, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        truth = self._samples[id(image)].keypoints
        places = {"pose": people.keypoints, "label": truth, "mirrored": truth[:, MIRROR]}[self._answer][chosen]
        return places, np.full(places.shape[:2], 0.9, np.float32)

    def refine(self, image: np.ndarray, people: People) -> People:
        if len(people) == 0:
            return people
        keypoints, scores = self.estimate(image, people, np.arange(len(people)))
        kept = (people.scores > 0) | (self._answer != "pose")
        return People(keypoints, scores * kept, people.person_scores)


def measure(answer: str, merged: bool = False) -> Repairs:
    samples = [make_sample(150, 240), make_sample(), make_sample(300)]
    return measure_repairs(Known(samples, answer), samples, RATES, merged=merged)


def test_the_labels_repair_everything() -> None:
    repairs = measure("label")
    assert [repairs.repaired(kind) for kind in (JITTER, INVERSION, SWAP, MISS)] == [1.0] * 4
    assert repairs.spoiled == 0 and repairs.counts.sum() == 3 * 17
    assert repairs.counts[:, GOOD].sum() == 3 * 17


def test_the_pose_itself_repairs_and_spoils_nothing() -> None:
    repairs = measure("pose")
    np.testing.assert_array_equal(repairs.counts, np.diag(np.diag(repairs.counts)))
    assert [repairs.repaired(kind) for kind in (JITTER, INVERSION, SWAP, MISS)] == [0.0] * 4 and repairs.spoiled == 0


def test_mirrored_labels_spoil_the_good_keypoints_that_have_a_side() -> None:
    repairs = measure("mirrored")
    sided = np.array([k != mirror for k, mirror in enumerate(MIRROR)])
    assert repairs.counts[GOOD, INVERSION] > 0 and repairs.spoiled > 0.5 and sided.sum() == 16
    assert repairs.repaired(INVERSION) == 0


def test_the_rules_of_merging_apply_only_if_asked() -> None:
    """A keypoint of the second network that is far away is not merged, but taken without the rules."""
    taken, merged = measure("mirrored"), measure("mirrored", merged=True)
    assert merged.spoiled < taken.spoiled


def test_keypoints_that_are_not_labelled_do_not_count() -> None:
    sample = make_sample(150)
    sample.states[0, :5] = UNKNOWN
    wrong = make_wrong_people(sample, RATES, COCO_17, 5, np.random.default_rng(0))
    assert (wrong.kinds[0, :5] == -1).all() and not wrong.people.visible[0, :5].any()
    assert count_repairs(sample, wrong, wrong.people, COCO_17).counts.sum() == 12


def test_nothing_measured_is_nan() -> None:
    nothing = Repairs(np.zeros((5, 5), np.int64))
    assert np.isnan(nothing.repaired(SWAP)) and np.isnan(nothing.spoiled)
    assert (nothing + Repairs(np.eye(5, dtype=np.int64))).counts.sum() == 5 == len(KINDS)


def test_a_seed_gives_the_same_counts() -> None:
    np.testing.assert_array_equal(measure("mirrored").counts, measure("mirrored").counts)
