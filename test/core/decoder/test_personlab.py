"""Test the PersonLab decoder with known people."""

from dataclasses import replace

import numpy as np
import pytest
import scene_personlab
from personlab_people import CHAIN_SPEC, chains, decode, ideal_chains, mean_distances
from scene_personlab import POSENET_17

from pose_ros.decoder.personlab_seeds import cast_votes
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import Skeleton


@pytest.mark.parametrize("hough_radius", [0.0, 32.0])
@pytest.mark.parametrize("count", [1, 2, 5, 10, 30])
def test_a_crowd_is_found_completely(count: int, hough_radius: float) -> None:
    fields, truth = scene_personlab.fields(count)
    people = decode(fields, hough_radius=hough_radius)
    assert len(people) == count
    assert mean_distances(people, truth * 16 + 1.5).max() < 0.5  # px, with cells of 16 px
    assert people.visible.mean() > 0.99


@pytest.mark.parametrize("shape_hw", [(24, 70), (70, 24), (33, 33)])
def test_noise_moves_people_little(shape_hw: tuple[int, int]) -> None:
    fields, truth = scene_personlab.fields(4, shape_hw, noise=0.05)
    people = decode(fields, min_person_score=0.3)
    assert len(people) == 4
    assert mean_distances(people, truth * 16 + 1.5).max() < 2


def test_people_who_overlap_stay_two() -> None:
    """Their keypoints b are almost at the same position. The others are apart."""
    people = decode(ideal_chains([[[10, 5], [25, 20], [40, 5]], [[10, 36], [25, 22], [40, 36]]]), CHAIN_SPEC)
    assert len(people) == 2
    assert sorted(people.keypoints[:, 0, 1].round()) == [40, 288]
    assert sorted(people.keypoints[:, 1, 1].round()) == [160, 176]


def test_parallel_people_do_not_mix() -> None:
    people = decode(ideal_chains(chains(10, 14)), CHAIN_SPEC)
    assert len(people) == 2
    assert np.ptp(people.keypoints[..., 1], axis=1).max() < 0.1


def test_people_are_sorted_and_scored() -> None:
    people = decode(scene_personlab.fields(5)[0])
    assert (np.diff(people.person_scores) <= 0).all()
    assert people.person_scores.min() > 0.7 and people.person_scores.max() <= 1
    np.testing.assert_allclose(people.person_scores, people.scores.mean(axis=1), atol=0.02)


def test_hidden_keypoints_are_absent_and_lower_the_score() -> None:
    whole = decode(ideal_chains(chains(10)), CHAIN_SPEC)
    cut = decode(ideal_chains(chains(10), visible=[[1, 1, 0]]), CHAIN_SPEC)
    assert cut.person_scores[0] == pytest.approx(whole.person_scores[0] * 2 / 3, abs=0.02)
    assert cut.scores[0, 2] == 0 and cut.keypoints[0, 2].tolist() == [0, 0]


def test_a_hidden_keypoint_is_a_bridge() -> None:
    """The walk continues from the predicted position of b, although b is not visible."""
    (person,) = decode(ideal_chains(chains(10), visible=[[1, 0, 1]]), CHAIN_SPEC)
    assert person.visible[0].tolist() == [True, False, True]
    np.testing.assert_allclose(person.keypoints[0, [0, 2]], [[80, 80], [320, 80]], atol=0.1)


def test_a_truncated_person_ends_at_the_border() -> None:
    (person,) = decode(ideal_chains([[[50, 20], [58, 20], [70, 20]]], visible=[[1, 1, 0]]), CHAIN_SPEC)
    np.testing.assert_allclose(person.keypoints[0], [[400, 160], [464, 160], [0, 0]], atol=0.1)


@pytest.mark.parametrize("edge", range(len(POSENET_17.limbs)))
@pytest.mark.parametrize("backward", [False, True])
def test_every_edge_leads_both_ways(edge: int, backward: bool) -> None:
    """One end of the edge has the peak that starts the person, and only this edge has an offset.

    An older version of the authors' decoder misread the first backward edge (number 16 of 32).
    """
    limb = POSENET_17.limbs[edge]
    source, target = limb[::-1] if backward else limb
    heatmaps, short = np.zeros((17, 15, 17), np.float32), np.zeros((34, 15, 17), np.float32)
    mid = np.zeros((64, 15, 17), np.float32)
    heatmaps[source, 4, 4], heatmaps[target, 9, 11] = 0.9, 0.8
    channel = 2 * edge + 32 * backward
    mid[channel], mid[channel + 1] = 7 * 16, 5 * 16
    people = decode(Fields(heatmaps, short_offsets=short, mid_offsets=mid), max_people=1)
    np.testing.assert_allclose(people.keypoints[0, [source, target]] - 1.5, [[64, 64], [176, 144]], atol=1e-3)
    np.testing.assert_allclose(people.scores[0, [source, target]], [0.9, 0.8], atol=1e-6)


def test_refinement_corrects_long_offsets() -> None:
    fields, truth = scene_personlab.fields(3, noise=0)
    rough = replace(fields, mid_offsets=fields.mid_offsets + 6)
    errors = [mean_distances(decode(rough, refinement_steps=n), truth * 16 + 1.5).mean() for n in (0, 1, 5)]
    assert errors[0] > 5 and errors[1] < 1 and errors[2] < 0.2


def test_a_skeleton_with_a_loop_uses_the_better_path() -> None:
    """Two edges lead to c. One of them is wrong."""
    loop = Skeleton("loop", ("a", "b", "c"), ((0, 1), (1, 2), (0, 2)))
    fields = scene_personlab.ideal_fields(np.array(chains(10), np.float32), loop.limbs, (40, 60), 8)
    fields.mid_offsets[4:6] += 100
    (person,) = decode(fields, ModelSpec("loop", loop, stride=8), refinement_steps=0)
    np.testing.assert_allclose(person.keypoints[0], [[80, 80], [200, 80], [320, 80]], atol=0.1)


def test_keypoints_that_no_edge_reaches_are_absent() -> None:
    part = Skeleton("part", ("a", "b", "c"), ((0, 1),))
    fields = scene_personlab.ideal_fields(np.array(chains(10), np.float32), part.limbs, (40, 60), 8)
    people = decode(fields, ModelSpec("part", part, stride=8))
    assert sorted(people.visible.sum(axis=1).tolist()) == [1, 2]


def test_a_keypoint_counts_for_the_better_person() -> None:
    """The second person has no b. It ends at the b of the first person, and keeps only a."""
    fields = ideal_chains([*chains(10), [[10, 30], [25, 10], [40, 10]]], visible=[[1, 1, 1], [1, 0, 0]])
    people = decode(fields, CHAIN_SPEC)
    assert len(people) == 2
    assert people.person_scores[1] == pytest.approx(people.scores[1, 0] / 3, abs=1e-4)
    assert len(decode(fields, CHAIN_SPEC, min_person_score=0.5)) == 1


def test_nms_radius_is_in_pixels() -> None:
    fields = ideal_chains(chains(10, 12))
    assert len(decode(fields, CHAIN_SPEC, nms_radius=15.0)) == 2
    assert len(decode(fields, CHAIN_SPEC, nms_radius=17.0)) == 1


def test_limits_keep_the_best() -> None:
    fields = ideal_chains(chains(5, 15, 25, 35))
    fields.heatmaps[:, 20:30] *= 0.5
    assert len(decode(fields, CHAIN_SPEC)) == 4
    best = decode(fields, CHAIN_SPEC, max_people=3)
    assert sorted(best.keypoints[:, 0, 1].round().tolist()) == [40, 120, 280]
    assert len(decode(fields, CHAIN_SPEC, max_people=1)) == 1
    assert len(decode(fields, CHAIN_SPEC, max_peaks=3)) == 3
    assert len(decode(fields, CHAIN_SPEC, min_person_score=0.8)) == 3
    assert len(decode(fields, CHAIN_SPEC, score_threshold=0.6)) == 3
    many = decode(scene_personlab.fields(30)[0], max_people=20)
    assert len(many) == 20 and many.visible.mean() > 0.99


def test_the_votes_of_a_disk_add_up_to_one() -> None:
    """Eq. 1 is normalised by the area of the disk."""
    fields = ideal_chains([[[20, 20], [30, 20], [40, 20]]])
    rows, cols = np.mgrid[:40, :60]
    disks = [(cols - x) ** 2 + (rows - 20) ** 2 <= 5**2 for x in (20, 30, 40)]
    votes = cast_votes(np.array(disks, np.float32), fields.short_offsets, 1 / 8, 5.0)
    assert np.unravel_index(votes[0].argmax(), votes[0].shape) == (20, 20)
    assert votes[0, 20, 20] == pytest.approx(1, abs=0.05)
    assert votes[0].sum() == pytest.approx(votes[0, 20, 20], abs=1e-4)


def test_votes_are_shared_by_the_cells_around() -> None:
    heatmaps, offsets = np.zeros((1, 4, 6), np.float32), np.zeros((2, 4, 6), np.float32)
    heatmaps[0, 1, 1], offsets[0, 1, 1], offsets[1, 1, 1] = 1, 8 * 2.25, 8 * 1.5
    votes = cast_votes(heatmaps, offsets, 1 / 8, 1 / np.sqrt(np.pi))
    expected = np.zeros((4, 6))
    expected[2:4, 3:5] = [[0.375, 0.125], [0.375, 0.125]]
    np.testing.assert_allclose(votes[0], expected, atol=1e-6)


def test_votes_find_people_where_heatmaps_are_flat() -> None:
    """A heatmap that is high everywhere has no peaks, but its offsets still point at keypoints."""
    fields = ideal_chains(chains(10, 30))
    flat = replace(fields, heatmaps=np.full_like(fields.heatmaps, 0.9))
    assert len(decode(flat, CHAIN_SPEC)) == 0
    people = decode(flat, CHAIN_SPEC, hough_radius=32.0)
    assert len(people) == 2
    assert mean_distances(people, np.array(chains(10, 30)) * 8).max() < 0.1


def test_votes_and_peaks_agree() -> None:
    fields, _ = scene_personlab.fields(6)
    by_peaks, by_votes = decode(fields), decode(fields, hough_radius=32.0)
    assert mean_distances(by_votes, by_peaks.keypoints).max() < 0.5


def test_the_best_people_are_kept_and_not_the_first() -> None:
    """The first chain has the strongest keypoint of all, and the second one the higher score."""
    fields = ideal_chains(chains(10, 30))
    fields.heatmaps[1:, :20] *= 0.3
    fields.heatmaps[:, 20:] *= 0.9
    (person,) = decode(fields, CHAIN_SPEC, max_people=1)
    assert person.keypoints[0, :, 1].round().tolist() == [240, 240, 240]


def test_unlikely_people_do_not_count_to_the_number_of_people() -> None:
    """Single strong keypoints are found first."""
    fields = ideal_chains(chains(*range(3, 39, 3)), visible=[[1, 1, 1], *[[1, 0, 0]] * 11])
    fields.heatmaps[:, :5] *= 0.9
    (person,) = decode(fields, CHAIN_SPEC, max_people=1, min_person_score=0.5, nms_radius=8.0)
    assert person.visible.all()


def test_a_heatmap_of_zero_is_no_keypoint_at_any_threshold() -> None:
    (person,) = decode(ideal_chains(chains(10), visible=[[1, 1, 0]]), CHAIN_SPEC, score_threshold=1e-8)
    assert person.visible[0].tolist() == [True, True, False]
