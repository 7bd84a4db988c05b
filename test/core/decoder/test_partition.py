"""Test partition matching: the optimum against brute force, known scenes, and what happens at its limits."""

import sys

import numpy as np
import pytest
import scene
import scene_tags
from decoders import assert_same, assert_shareable
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder, partition_links, partition_tags
from pose_ros.decoder import partition as partition_module
from pose_ros.decoder.partition import Hypotheses, can_solve, partition
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

pytest.importorskip("scipy.optimize")

CHAIN_SPEC = ModelSpec("chain", Skeleton("chain", ("a", "b", "c"), ((0, 1), (1, 2))), stride=1)
SIDES_SPEC = ModelSpec("sides", Skeleton("sides", ("neck", "left_hip", "right_hip"), ((0, 1), (0, 2))), stride=1)


def decode(fields: Fields, spec: ModelSpec, grouping: str = "paf", **config: object) -> People:
    return make_decoder(spec, grouping, DecoderConfig(partition_ms=0.0, **config))(fields)


def random_hypotheses(seed: int, count: int) -> Hypotheses:
    """Make hypotheses, of which some share a candidate, with a random share of pairs that have a cost."""
    random = np.random.default_rng(seed)
    places = np.where(random.random(count) < 0.3, random.integers(0, count, count), np.arange(count))
    costs = random.normal(random.normal(0, 0.7), 1.5, (count, count)) * (
        random.random((count, count)) < random.random()
    )
    upper = np.triu(costs, 1)
    labels = random.integers(0, random.integers(2, 6), count)
    return Hypotheses(labels, places, random.normal(-1, 1.5, count), upper + upper.T)


def is_allowed(hypotheses: Hypotheses, groups: np.ndarray) -> bool:
    """Return whether candidates have one label, and people have one candidate of each label."""
    people = groups[groups >= 0], hypotheses.labels[groups >= 0]
    places = hypotheses.places[groups >= 0]
    return len(np.unique(places)) == len(places) == len(np.unique(np.stack(people), axis=1).T)


def lowest_cost(hypotheses: Hypotheses) -> float:
    """Search all partitions and labels."""

    def search(groups: list[int], cost: float) -> float:
        n = len(groups)
        if n == len(hypotheses.labels):
            return cost
        best = search([*groups, -1], cost)
        if any(groups[m] >= 0 and hypotheses.places[m] == hypotheses.places[n] for m in range(n)):
            return best
        for group in range(max(groups, default=-1) + 2):
            mates = [m for m in range(n) if groups[m] == group]
            if all(hypotheses.labels[m] != hypotheses.labels[n] for m in mates):
                more = hypotheses.costs[n] + sum(hypotheses.pair_costs[n, m] for m in mates)
                best = min(best, search([*groups, group], cost + more))
        return best

    return search([], 0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_optimum_equals_brute_force(seed: int, count: int) -> None:
    hypotheses = random_hypotheses(seed, count)
    groups = partition(hypotheses, np.full(count, -1), 0)
    assert is_allowed(hypotheses, groups)
    assert hypotheses.cost(groups) == pytest.approx(lowest_cost(hypotheses), abs=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.01], ids=["large costs", "small costs"])
@pytest.mark.parametrize("links", [(-2, -1), (-2, -1, -2)], ids=["3 keypoints", "4 keypoints"])
def test_ends_of_a_chain_that_repel_are_separated(links: tuple[int, ...], scale: float) -> None:
    """The pair of the ends is in no program at first. The chain is cut at its weakest pair."""
    count = len(links) + 1
    pair_costs = scale * np.diag(links, 1)
    pair_costs[0, -1] = 5 * scale
    hypotheses = Hypotheses(np.arange(count), np.arange(count), np.full(count, -scale), pair_costs + pair_costs.T)
    groups = partition(hypotheses, np.zeros(count, np.int64), 0)
    assert groups[0] == groups[1] != groups[2] == groups[-1]


def larger_problem() -> tuple[Hypotheses, np.ndarray]:
    """Make a problem that needs several rounds, with the start that is always allowed."""
    random = np.random.default_rng(5)
    upper = np.triu(random.normal(-0.3, 1, (12, 12)) * (random.random((12, 12)) < 0.5), 1)
    return Hypotheses(np.arange(12) % 6, np.arange(12), np.full(12, -0.1), upper + upper.T), np.arange(12)


def together(groups: np.ndarray) -> np.ndarray:
    """Return which hypotheses (n, n) are selected and in one person."""
    return (groups[:, None] == groups) & (groups >= 0)


def test_the_result_is_allowed_and_repeatable() -> None:
    hypotheses, start = larger_problem()
    groups = partition(hypotheses, start, 0)
    assert is_allowed(hypotheses, groups) and hypotheses.cost(groups) < hypotheses.cost(start) - 1
    np.testing.assert_array_equal(groups, partition(hypotheses, start, 0))
    np.testing.assert_array_equal(together(groups), together(partition(hypotheses, groups, 0)))


@pytest.mark.parametrize(("limit", "value"), [("MAX_ROUNDS", 1), ("MAX_BRANCHES", 1), ("MAX_CUTS", 1)])
def test_a_limit_of_the_search_costs_no_constraint(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    hypotheses, start = larger_problem()
    optimum = hypotheses.cost(partition(hypotheses, start, 0))
    monkeypatch.setattr(partition_module, limit, value)
    groups = partition(hypotheses, start, 0)
    assert is_allowed(hypotheses, groups)
    assert optimum - 1e-6 <= hypotheses.cost(groups) <= hypotheses.cost(start)


def test_a_time_limit_and_a_large_cluster_keep_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    hypotheses, start = larger_problem()
    np.testing.assert_array_equal(together(partition(hypotheses, start, 1e-6)), together(start))
    monkeypatch.setattr(partition_module, "MAX_HYPOTHESES", 11)
    np.testing.assert_array_equal(together(partition(hypotheses, start, 0)), together(start))


def swapped_people() -> Fields:
    """Make two people a-b-c. The a of the first has a better link to the b of the second than to its own."""
    peaks = np.zeros((3, 2, 3), np.float32)
    peaks[..., 0], peaks[..., 1], peaks[..., 2] = np.array([5, 15, 25])[:, None], [10, 14], 0.9
    limb_scores = np.zeros((2, 2, 2), np.float32)
    limb_scores[0] = [[0.6, 0.7], [0, 0.6]]
    limb_scores[1] = [[0.8, 0], [0, 0.8]]
    return Fields(peaks=peaks, limb_scores=limb_scores)


def test_partition_is_right_where_greedy_is_wrong() -> None:
    greedy = decode(swapped_people(), CHAIN_SPEC)
    assert len(greedy) == 1 and greedy.keypoints[0, :, 1].tolist() == [10, 14, 14]
    people = decode(swapped_people(), CHAIN_SPEC, matching="partition")
    assert sorted(people.keypoints[:, :, 1].tolist()) == [[10, 10, 10], [14, 14, 14]]


def test_a_candidate_has_one_label() -> None:
    """The same peak in the maps of the left and right hip is the hip with the better link."""
    peaks = np.zeros((3, 1, 3), np.float32)
    peaks[:, 0] = [[10, 5, 0.9], [12, 25, 0.7], [12.2, 25, 0.8]]
    limb_scores = np.array([[[0.9]], [[0.4]]], np.float32)
    fields = Fields(peaks=peaks, limb_scores=limb_scores)
    assert decode(fields, SIDES_SPEC, min_keypoints=2).visible.tolist() == [[True, True, True]]
    people = decode(fields, SIDES_SPEC, min_keypoints=2, matching="partition")
    assert people.visible.tolist() == [[True, True, False]]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_a_crowd_is_found_completely(count: int) -> None:
    for grouping, fields in (("paf", scene.fields(count)[0]), ("tag", scene_tags.fields(count)[0])):
        spec = ModelSpec("test", OPENPOSE_18 if grouping == "paf" else COCO_17, stride=4)
        people = decode(fields, spec, grouping, matching="partition")
        assert len(people) == count and people.visible.mean() > 0.98, grouping


def test_without_scipy_the_result_is_greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = decode(swapped_people(), CHAIN_SPEC)
    assert len(decode(swapped_people(), CHAIN_SPEC, matching="partition")) != len(greedy)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    assert not can_solve()
    assert_same(decode(swapped_people(), CHAIN_SPEC, matching="partition"), greedy, 0)


def test_after_the_time_limit_the_keypoints_are_those_of_greedy() -> None:
    fields, _ = scene.fields(5)
    spec = ModelSpec("test", OPENPOSE_18, stride=4)
    fields.pafs[:] += np.random.default_rng(0).normal(0, 0.2, fields.pafs.shape)
    late = make_decoder(spec, "paf", DecoderConfig(matching="partition", partition_ms=1e-6))(fields)
    greedy = make_decoder(spec, "paf", DecoderConfig())(fields)
    np.testing.assert_array_equal(np.sort(late.keypoints, axis=0), np.sort(greedy.keypoints, axis=0))


def test_noise_is_left_to_greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("noise must not reach the solver")

    monkeypatch.setattr(partition_links, "partition", refuse)
    monkeypatch.setattr(partition_tags, "partition", refuse)
    random = np.random.default_rng(0)
    heatmaps = random.random((18, 60, 60), np.float32)
    for grouping, more in (("paf", {"pafs": np.ones((38, 60, 60))}), ("tag", {"tags": np.zeros((18, 60, 60))})):
        fields, spec = Fields(heatmaps=heatmaps, **more), ModelSpec("test", OPENPOSE_18, stride=4)
        people = decode(fields, spec, grouping, matching="partition")
        assert_same(people, decode(fields, spec, grouping), 0)


def test_a_wrong_tag_in_the_torso_does_not_mix_people() -> None:
    """All pairs of tags count. Two tags between those of two people do not start a third."""
    skeleton = Skeleton("row", ("neck", "nose", "a", "b", "c", "d"), ())
    xy = np.array([[[5 + 8 * k, y] for k in range(6)] for y in (10, 30)], np.int64)
    heatmaps, tags = np.zeros((6, 40, 60), np.float32), np.zeros((6, 40, 60), np.float32)
    for person, tag in enumerate((1.0, 1.9)):
        for k in range(6):
            x, y = xy[person, k]
            heatmaps[k, y, x], tags[k, y, x] = 0.9, tag
    tags[0, 10, 5] = 1.65  # the neck of the first person has almost the tag of the second
    heatmaps[0, 30, 5] = 0
    people = decode(Fields(heatmaps, tags=tags), ModelSpec("row", skeleton, 1), "tag", matching="partition")
    assert len(people) == 2
    for person in people.keypoints[:, 1:]:
        assert np.ptp(person[:, 1]) == 0


def test_threads_may_share_a_decoder() -> None:
    config = DecoderConfig(matching="partition", partition_ms=0.0)
    assert_shareable(make_decoder(CHAIN_SPEC, "paf", config), [swapped_people()])


def test_empty_fields_have_no_people() -> None:
    heatmaps = np.zeros((18, 8, 8), np.float32)
    for grouping, more in (("paf", {"pafs": np.zeros((38, 8, 8))}), ("tag", {"tags": np.zeros((18, 8, 8))})):
        assert (
            len(decode(Fields(heatmaps, **more), ModelSpec("test", OPENPOSE_18, 4), grouping, matching="partition"))
            == 0
        )
