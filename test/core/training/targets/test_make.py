"""Test the targets of samples: every field and its weights."""

from dataclasses import replace

import numpy as np
import pytest
from target_samples import CENTERNET, PERSONLAB, SPEC, channels_at, make_sample, spec_with_heads

from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.skeleton import Skeleton
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets


def test_shapes_and_types() -> None:
    targets = make_targets(make_sample([[30, 30], [60, 40], [90, 80]]), SPEC, TargetConfig(most_people=4))
    assert {name: (array.shape, str(array.dtype)) for name, array in targets.items()} == {
        "heatmaps": ((3, 12, 16), "float32"),
        "heatmaps_weights": ((3, 12, 16), "uint8"),
        "pafs": ((4, 12, 16), "float32"),
        "pafs_weights": ((4, 12, 16), "uint8"),
        "tag_cells": ((4, 3), "int32"),
    }


@pytest.mark.parametrize("names", [PERSONLAB, CENTERNET], ids=["personlab", "centernet"])
@pytest.mark.parametrize("people", [0, 1, 2])
def test_every_field_has_weights_on_its_grid(names: tuple[str, ...], people: int) -> None:
    example = make_sample(*[[[30, 30], [60, 40], [90, 80]]] * people, people_map=np.ones((96, 128), np.uint8))
    targets = make_targets(example, spec_with_heads(*names), TargetConfig(heatmap_form="centernet"))
    for name in names:
        field, weights = targets[name], targets[f"{name}_weights"]
        assert field.dtype == np.float32 and weights.dtype == np.uint8 and weights.max(initial=0) <= 1
        assert field.shape[1:] == weights.shape[1:] == (12, 16) and len(weights) in (1, len(field))
        assert np.isfinite(field).all() and field.any() == (people > 0 or name == "segmentation")


def test_keypoints_are_drawn_relative_to_the_origin() -> None:
    maps = make_targets(make_sample([[27.5, 35.5], [60, 40], [90, 80]]), SPEC, TargetConfig())["heatmaps"]
    assert maps[0, 4, 3] == 1 and maps[0].max() == 1  # 3 * 8 + 3.5, 4 * 8 + 3.5
    assert np.isclose(channels_at(maps, 60, 40)[1], np.exp(-((59.5 - 60) ** 2 + (43.5 - 40) ** 2) / (2 * 7**2)))


@pytest.mark.parametrize(
    ("form", "cell"), [("rounded", (4, 3)), ("centernet", (3, 3)), ("disk", (4, 3)), ("gaussian", None)]
)
def test_forms_of_heatmaps(form: str, cell: tuple[int, int] | None) -> None:
    config = TargetConfig(heatmap_form=form, disk_radius=4)
    maps = make_targets(make_sample([[29, 34], [60, 40], [90, 80]]), SPEC, config)["heatmaps"]
    assert [tuple(at) for at in np.argwhere(maps[0] == 1)] == ([cell] if cell else [])


@pytest.mark.parametrize(
    ("place", "expected"),
    [((30.0, 40.0), (30.0, 40.0)), ((31.5, 43.5), (31.5, 43.5)), ((127.0, 95.0), (123.5, 91.5)), ((0, 0), (3.5, 3.5))],
    ids=["between cells", "on a cell", "beyond the last cell", "before the first cell"],
)
def test_a_bilinear_target_is_a_distribution_with_the_keypoint_as_its_mean(place, expected) -> None:
    sample = make_sample([place, [60, 40], [90, 80]])
    heatmap = make_targets(sample, SPEC, TargetConfig(heatmap_form="bilinear"))["heatmaps"][0]
    rows, cols = np.mgrid[:12, :16]
    assert heatmap.sum() == pytest.approx(1) and (heatmap > 0).sum() <= 4
    mean = (heatmap * cols).sum() * 8 + 3.5, (heatmap * rows).sum() * 8 + 3.5
    np.testing.assert_allclose(mean, expected, atol=1e-4)


@pytest.mark.parametrize("state", [ABSENT, UNCERTAIN, UNKNOWN])
def test_a_keypoint_without_label_has_no_bilinear_target(state: int) -> None:
    sample = make_sample([[30, 30], [60, 40], [90, 80]])
    sample = replace(sample, states=np.array([[state, LABELLED, LABELLED]], np.uint8))
    heatmaps = make_targets(sample, SPEC, TargetConfig(heatmap_form="bilinear"))["heatmaps"]
    assert heatmaps.sum(axis=(1, 2)).round(6).tolist() == [0, 1, 1]


def test_background_and_its_weights() -> None:
    example = make_sample([[30, 30], [60, 40], [90, 80]], states=[LABELLED, UNCERTAIN, LABELLED])
    targets = make_targets(example, SPEC, TargetConfig(background=True))
    maps, weights = targets["heatmaps"], targets["heatmaps_weights"]
    assert maps.shape == weights.shape == (4, 12, 16)
    np.testing.assert_allclose(maps[3], 1 - maps[:3].max(axis=0))
    assert (weights[3] == weights[:3].min(axis=0)).all() and not weights.all()


def test_weights_are_0_in_ignored_areas_except_at_labelled_keypoints() -> None:
    ignored = np.zeros((96, 128), bool)
    ignored[:, 64:] = True
    targets = make_targets(make_sample([[30, 30], [40, 40], [90, 80]], ignored=ignored), SPEC, TargetConfig())
    heat, paf = targets["heatmaps_weights"], targets["pafs_weights"]
    assert heat[:, :, :8].all() and paf[:, :, :8].all()
    assert not heat[:2, :, 8:].any()
    assert channels_at(heat, 90, 80)[2] == 1 and heat[2, :, 8:].sum() < 20
    on_limb = targets["pafs"][2:].any(axis=0)
    assert (paf[2:, :, 8:] == on_limb[:, 8:]).all() and on_limb[:, 8:].any()


def test_an_uncertain_keypoint_clears_the_weights_of_a_disk_and_of_its_limb_boxes() -> None:
    example = make_sample([[30, 30], [60, 40], [100, 80]], states=[UNCERTAIN, LABELLED, LABELLED])
    targets = make_targets(example, SPEC, TargetConfig(uncertain_radius=16))
    heat, paf = targets["heatmaps_weights"], targets["pafs_weights"]
    rows, cols = np.mgrid[:12, :16] * 8 + 3.5
    assert (heat[0] == (np.hypot(cols - 30, rows - 30) > 16)).all() and heat[1:].all()
    margin = 16 + 6.5
    around = (abs(cols - 45) <= 15 + margin) & (abs(rows - 35) <= 5 + margin)
    assert (paf[:2] == ~around).all() and paf[2:].all()
    assert not targets["heatmaps"][0].any() and not targets["pafs"][:2].any()


@pytest.mark.parametrize("other", [LABELLED, UNCERTAIN, ABSENT, UNKNOWN])
def test_an_unknown_keypoint_clears_the_weights_in_the_box_of_the_person(other: int) -> None:
    targets = make_targets(
        make_sample([[0, 0], [60, 40], [90, 80]], states=[UNKNOWN, other, LABELLED]), SPEC, TargetConfig()
    )
    rows, cols = np.mgrid[:12, :16] * 8 + 3.5
    inside = (cols >= 20) & (cols <= 100) & (rows >= 20) & (rows <= 90)
    assert (targets["heatmaps_weights"][0] == ~inside).all() and targets["heatmaps_weights"][2].all()
    assert (targets["pafs_weights"][:2] == ~inside).all()


def test_the_label_of_another_person_has_priority() -> None:
    people = [[35.5, 43.5], [67.5, 43.5], [90, 80]]
    doubtful = make_sample(people, people, states=[[UNKNOWN] * 3, [LABELLED] * 3])
    targets = make_targets(doubtful, SPEC, TargetConfig())
    heat, paf = targets["heatmaps_weights"], targets["pafs_weights"]
    assert [channels_at(heat, 35.5 + away, 43.5)[0] for away in (0, 8, 16)] == [1, 1, 0]  # two sigma are 14 px
    assert (paf[:2] >= targets["pafs"][:2].any(axis=0)).all() and channels_at(paf, 51.5, 43.5)[0] == 1
    assert channels_at(paf, 51.5, 70)[0] == 0


def test_absent_keypoints_have_empty_targets_with_weight_1() -> None:
    targets = make_targets(make_sample([[30, 30], [60, 40], [90, 80]], states=[ABSENT] * 3), SPEC, TargetConfig())
    assert targets["heatmaps_weights"].all() and targets["pafs_weights"].all()
    assert not targets["heatmaps"].any() and not targets["pafs"].any() and (targets["tag_cells"] == -1).all()


def test_tag_cells_are_nearest_to_labelled_keypoints_on_the_map() -> None:
    absent = [[30, 30], [60, 40], [90, 80]]
    example = make_sample(
        *(absent, [[27.5, 35.5], [31, 35.5], [130, 20]], [[30, 30], [0, 94], [90, 80]]),
        states=[[ABSENT] * 3, [LABELLED] * 3, [UNCERTAIN, LABELLED, UNKNOWN]],
    )
    cells = make_targets(example, SPEC, TargetConfig(most_people=5))["tag_cells"]
    assert cells.tolist() == [[4 * 16 + 3, 4 * 16 + 3, -1], [-1, 11 * 16, -1], *[[-1] * 3] * 3]


def test_people_with_the_most_keypoints_get_tags() -> None:
    person = [[30, 30], [60, 40], [90, 80]]
    states = [[LABELLED, ABSENT, ABSENT], [LABELLED, LABELLED, ABSENT], [LABELLED] * 3]
    cells = make_targets(make_sample(person, person, person, states=states), SPEC, TargetConfig(most_people=2))[
        "tag_cells"
    ]
    assert (cells >= 0).sum(axis=1).tolist() == [2, 3]


def test_disks_belong_to_the_nearest_person_and_point_along_edges() -> None:
    targets = make_targets(
        make_sample(
            [[20, 40], [60, 40], [90, 80]], [[44, 40], [60, 20], [90, 20]], states=[[LABELLED] * 3, [1, 1, ABSENT]]
        ),
        *(spec_with_heads(*PERSONLAB), TargetConfig(heatmap_form="disk", disk_radius=20)),
    )
    rows, cols = np.mgrid[:12, :16] * 8 + 3.5
    first, second = np.hypot(cols - 20, rows - 40), np.hypot(cols - 44, rows - 40)
    disk, nearer = np.minimum(first, second) <= 20, first < second
    assert (targets["heatmaps"][0] == disk).all() and targets["heatmaps_weights"].all()
    short, forward = targets["short_offsets"][:2], targets["mid_offsets"][:2]
    assert (targets["short_offsets_weights"][:2] == disk).all() and (targets["mid_offsets_weights"][:2] == disk).all()
    np.testing.assert_allclose(short[:, disk & nearer], np.stack([20 - cols, 40 - rows])[:, disk & nearer])
    np.testing.assert_allclose(short[:, disk & ~nearer], np.stack([44 - cols, 40 - rows])[:, disk & ~nearer])
    np.testing.assert_allclose(forward[:, disk & nearer], np.stack([60 - cols, 40 - rows])[:, disk & nearer])
    # The second person has no keypoint c, so its b has no offset to c. Backward edges come after all forward edges.
    b = np.stack([np.hypot(cols - 60, rows - y) for y in (40, 20)])
    assert (targets["mid_offsets_weights"][2] == ((b[0] <= 20) & (b[0] < b[1]))).all()
    owned = (b[0] <= 20) & (b[0] < b[1])
    np.testing.assert_allclose(targets["mid_offsets"][4:6, owned], np.stack([20 - cols, 40 - rows])[:, owned])


def test_masks_give_long_offsets_and_segmentation() -> None:
    people_map = np.zeros((96, 128), np.uint8)
    people_map[:, :40], people_map[:, 80:] = 1, 2
    example = make_sample(
        *([[20, 40], [60, 40], [90, 80]], [[44, 40], [60, 20], [90, 20]]),
        states=[[LABELLED] * 3, [ABSENT] * 3],
        people_map=people_map,
    )
    targets = make_targets(example, spec_with_heads(*PERSONLAB), TargetConfig())
    assert (targets["segmentation"][0, :, :5] == 1).all() and (targets["segmentation"][0, :, 5:10] == 0).all()
    assert targets["segmentation_weights"].all()
    weights = targets["long_offsets_weights"]
    assert weights[:, :, :5].all() and not weights[:, :, 5:].any()
    assert channels_at(targets["long_offsets"], 3.5, 11.5).tolist() == [16.5, 28.5, 56.5, 28.5, 86.5, 68.5]


@pytest.mark.parametrize(("people", "known"), [(0, True), (1, False)])
def test_without_masks_only_empty_images_have_segmentation_weights(people: int, known: bool) -> None:
    example = make_sample(*[[[20, 40], [60, 40], [90, 80]]] * people)
    targets = make_targets(example, spec_with_heads(*PERSONLAB), TargetConfig())
    assert targets["segmentation_weights"].all() == known == targets["segmentation_weights"].any()
    assert not targets["segmentation"].any() and not targets["long_offsets_weights"].any()


def test_centres_have_sizes_and_keypoint_offsets() -> None:
    example = make_sample(
        [[20, 40], [60, 40], [90, 80]], states=[LABELLED, UNKNOWN, LABELLED], box=(21.5, 13.5, 61.5, 45.5)
    )
    targets = make_targets(example, spec_with_heads(*CENTERNET), TargetConfig(heatmap_form="centernet"))
    row, col = 3, 4  # (41.5 - 3.5) / 8 = 4.75, (29.5 - 3.5) / 8 = 3.25
    assert np.argwhere(targets["centres"] == 1).tolist() == [[0, row, col]] and targets["centres_weights"].all()
    values = {name: targets[name][:, row, col].tolist() for name in CENTERNET[2:-1]}
    assert values["centre_offsets"] == [0.75, 0.25] and values["sizes"] == [5, 4]
    np.testing.assert_allclose(
        values["keypoint_offsets"], [16.5 / 8 - 4, 36.5 / 8 - 3, 0, 0, 86.5 / 8 - 4, 76.5 / 8 - 3]
    )
    assert targets["keypoint_offsets_weights"][:, row, col].tolist() == [1, 1, 0, 0, 1, 1]
    assert [targets[f"{name}_weights"].sum() for name in ("centre_offsets", "sizes", "heatmap_offsets")] == [1, 1, 2]
    np.testing.assert_allclose(targets["heatmap_offsets"][:, 4, 2], [16.5 / 8 - 2, 36.5 / 8 - 4])


@pytest.mark.parametrize("form", ["rounded", "centernet"])
def test_each_keypoint_can_have_its_own_peak_offsets(form: str) -> None:
    example = make_sample([[20, 40], [21, 40], [90, 80]], states=[LABELLED, LABELLED, UNKNOWN])
    config = TargetConfig(heatmap_form=form, offset_form="each")
    targets = make_targets(example, spec_with_heads("heatmap_offsets"), config)
    row, col = (5, 2) if form == "rounded" else (4, 2)  # (40 - 3.5) / 8 = 4.56, (20 - 3.5) / 8 = 2.06
    expected = [16.5 / 8 - col, 36.5 / 8 - row, 17.5 / 8 - col, 36.5 / 8 - row, 0, 0]
    np.testing.assert_allclose(targets["heatmap_offsets"][:, row, col], expected)
    assert targets["heatmap_offsets_weights"][:, row, col].tolist() == [1, 1, 1, 1, 0, 0]
    assert targets["heatmap_offsets_weights"].sum() == 4


def test_other_keypoints_and_fields_without_target_are_refused() -> None:
    other = replace(SPEC, skeleton=Skeleton("pair", ("a", "b"), ((0, 1),)), limbs=((0, 1),))
    with pytest.raises(ValueError, match="sample: expected the 2 keypoints of pair, got 3"):
        make_targets(make_sample([[30, 30], [60, 40], [90, 80]]), other, TargetConfig())
    with pytest.raises(ValueError, match=r"heads: expected tags, heatmaps, .* got peaks"):
        make_targets(make_sample(), spec_with_heads("peaks"), TargetConfig())


@pytest.mark.parametrize("change", [{"heatmap_form": "square"}, {"heatmap_sigma": 0.0}, {"most_people": 0}], ids=str)
def test_settings_are_checked(change: dict) -> None:
    with pytest.raises(ValueError, match="TargetConfig"):
        TargetConfig(**change)


def test_tag_cells_may_be_the_four_around_a_keypoint() -> None:
    example = make_sample([[30, 30], [0, 40], [90, 80]])
    nearest = make_targets(example, SPEC, TargetConfig())["tag_cells"]
    around = make_targets(example, SPEC, TargetConfig(tag_reading="around"))["tag_cells"]
    assert around.shape == (*nearest.shape, 4) and (around[1:] == -1).all()
    for one, four in zip(nearest[0], around[0], strict=True):
        assert one in four
        row, col = np.divmod(four[four >= 0], 16)
        assert np.ptp(row) <= 1 and np.ptp(col) <= 1


@pytest.mark.parametrize("reading", ["nearest", "around"])
def test_an_image_without_people_has_no_tags(reading: str) -> None:
    cells = make_targets(make_sample(), SPEC, TargetConfig(tag_reading=reading))["tag_cells"]
    assert len(cells) == 30 and (cells == -1).all()
